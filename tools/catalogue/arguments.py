"""What a language model gives an instrument, checked, and in the shape in which the bench takes it.

All of these raise `ToolError` with what is wrong, which the model reads.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tools.catalogue.subject import Subject
from tools.errors import ToolError

WEAKEST, STRONGEST = 0.05, 4.0
"""Of what is added, in mean lengths of the residual stream."""


def row_of(subject: Subject, text: str) -> Int64[Tensor, "1 positions"]:
    """The text as one row that opens with BOS."""
    return torch.tensor([[subject.bench.bos, *subject.tokenize(text)]], dtype=torch.int64)


def scaled(subject: Subject, strength: float) -> Float[Tensor, " d_model"]:
    """The direction, so many mean lengths of the residual stream long."""
    if not WEAKEST <= strength <= STRONGEST:
        raise ToolError(f"strength is {WEAKEST} to {STRONGEST:g} mean residual norms, not {strength:g}")
    return subject.direction * (strength * subject.sample.residual_norm)


def word_tokens(subject: Subject, word: str) -> list[int]:
    """The ids of a single word as it stands within a text."""
    ids = subject.bench.reader.word(word.strip())
    if not word.strip() or len(word.split()) > 1 or not ids:
        raise ToolError(f"{word[:40]!r} is not a single word")
    return ids


def check_number(items: list[str], most: int, name: str) -> None:
    """That there are some, and not too many."""
    if not 1 <= len(items) <= most:
        raise ToolError(f"{name} are 1 to {most}, not {len(items)}")


def check_range(value: int, low: int, high: int, name: str) -> None:
    """That a number is within its bounds, both included."""
    if not low <= value <= high:
        raise ToolError(f"{name} is {low} to {high}, not {value}")
