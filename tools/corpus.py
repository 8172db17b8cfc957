"""Passages of text that features are observed on, with their split by document."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from tools.errors import StudyError
from tools.studies import SplitName, Study


class Passage(NamedTuple):
    """One stretch of text."""

    document: str
    topic: str | None
    text: str


class TokenRows(NamedTuple):
    """Passages cut into rows, each opened by BOS; padding lies on the right, where a causal model never sees it."""

    tokens: Int64[np.ndarray, "rows width"]
    real: Bool[np.ndarray, "rows width"]
    """True at text, False at BOS and padding."""
    documents: tuple[str, ...]


def load_passages(study: Study, split: SplitName) -> list[Passage]:
    """Passages of one split. A document is in `held_out` by the hash of its name, whatever else the corpus holds.

    Raises:
        StudyError: a file is missing or a line of it is malformed.
    """
    passages: list[Passage] = []
    if study.corpus.file:
        passages += _read_jsonl(study.asset(study.corpus.file))
    for name in study.corpus.gensim_test_data:
        passages += _read_gensim(name)
    if not passages:
        raise StudyError(f"study {study.name} names no corpus: set corpus.file or corpus.gensim_test_data")
    wanted = split == "held_out"
    return [p for p in passages if _is_held_out(p.document, study.corpus.held_out_share) == wanted]


def cut_rows(token_ids: Sequence[Sequence[int]], documents: Sequence[str], width: int, bos: int) -> TokenRows:
    """Rows of at most `width` tokens with BOS; a text longer than that continues in the next row."""
    pieces = [
        (document, list(ids[start : start + width - 1]))
        for document, ids in zip(documents, token_ids, strict=True)
        for start in range(0, len(ids), width - 1)
    ]
    tokens = np.full((len(pieces), width), bos, dtype=np.int64)
    real = np.zeros((len(pieces), width), dtype=bool)
    for row, (_, ids) in enumerate(pieces):
        tokens[row, 1 : 1 + len(ids)] = ids
        real[row, 1 : 1 + len(ids)] = True
    return TokenRows(tokens, real, tuple(document for document, _ in pieces))


def _is_held_out(document: str, share: float) -> bool:
    digest = hashlib.sha256(document.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share


def _read_jsonl(path: Path) -> list[Passage]:
    passages: list[Passage] = []
    lines = [line for line in path.read_text("utf-8").split("\n") if line.strip()]
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            passages.append(Passage(str(entry["document"]), entry.get("topic"), str(entry["text"])))
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise StudyError(f"{path}:{number}: not a passage with document and text: {error}") from error
    return passages


def _read_gensim(name: str) -> list[Passage]:
    from gensim.test.utils import datapath

    path = Path(datapath(name))
    if not path.is_file():
        raise StudyError(f"gensim's test data has no file {name!r}")
    lines = path.read_text("utf-8", errors="replace").splitlines()
    return [Passage(f"{name}:{number}", None, line) for number, line in enumerate(lines, 1) if line.strip()]
