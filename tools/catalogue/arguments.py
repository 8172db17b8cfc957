"""What a language model gives an instrument, checked, and in the shape in which the bench takes it.

All of these raise `ToolError` with what is wrong, which the model reads.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tools.catalogue.findings import RefusedWord
from tools.catalogue.subject import Subject
from tools.errors import ToolError

SHOWN_WORD = 60
"""Most characters of a refused word."""
MOST_PIECES = 8
"""Most tokens of a word: each but the first costs a pass of the model for every beginning."""
WEAKEST, STRONGEST = 0.05, 4.0
"""Of what is added, in mean lengths of the residual stream."""


class Spelt(NamedTuple):
    """A word as tokens."""

    ids: list[int]
    joined: bool
    """It goes on with a word."""


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


def spelt_tokens(subject: Subject, listed: str) -> Spelt:
    """The ids of a word or a piece of one, as it is listed.

    With a blank before it, it is a word as it stands within a text. Without, it is that too where it is a single token
    so; else the single token that reads exactly like it, a piece; else the word's whole sequence of tokens.
    """
    word = word_tokens(subject, listed)
    pieces = subject.bench.token_strings
    if len(word) > 1 and listed == listed.strip() and listed in pieces:
        return Spelt([pieces.index(listed)], joined=True)
    if len(word) > MOST_PIECES:
        raise ToolError(f"{listed[:40]!r} has {len(word)} tokens, and at most {MOST_PIECES} are read")
    return Spelt(word, joined=False)


def spell_words(subject: Subject, words: list[str]) -> tuple[dict[str, Spelt], tuple[RefusedWord, ...]]:
    """Words as tokens, and those that are none, each with the reason; with no word at all that is an error."""
    spelt, refused = dict[str, Spelt](), list[RefusedWord]()
    for word in dict.fromkeys(words):
        try:
            spelt[word] = spelt_tokens(subject, word)
        except ToolError as error:
            refused.append(RefusedWord(word=word[:SHOWN_WORD], why=str(error)))
    if not spelt:
        raise ToolError("; ".join(one.why for one in refused))
    return spelt, tuple(refused)


def check_number(items: list[str], most: int, name: str) -> None:
    """That there are some, and not too many."""
    if not 1 <= len(items) <= most:
        raise ToolError(f"{name} are 1 to {most}, not {len(items)}")


def check_range(value: int, low: int, high: int, name: str) -> None:
    """That a number is within its bounds, both included."""
    if not low <= value <= high:
        raise ToolError(f"{name} is {low} to {high}, not {value}")
