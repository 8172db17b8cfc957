"""A target: the text that features are sought for, read and parted before any model is loaded.

A part of its documents is held out: what is found by the others can only be tried on text it was not found by. The unit of
every test is the document, so that a text which is a single one is parted into paragraphs, lines or sentences.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tools.border.text_files import MOST
from tools.errors import StudyError
from tools.study.corpus import drop_copies
from tools.study.texts import Passage, stream_texts

LEAST_DOCUMENTS = 4
"""Three to find features by and one to try them on."""
LEAST_LETTERS = 100
"""Of the whole text: a line or two says nothing about thousands of features."""
MOST_DOCUMENTS = 1000
MOST_CHARACTERS = 20_000
"""Read of one document: many documents say more than a long one."""
_PARTS = {
    "paragraphs": re.compile(r"\n\s*\n"),
    "lines": re.compile(r"\n"),
    "sentences": re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+|(?<=[。！？])"),
}
"""What a text of too few documents is parted into: the first of these that gives enough."""
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
"""Control characters that no editor writes; escape sequences of terminals may stand in a log."""


class Target(NamedTuple):
    """A text in documents, none of which is a copy of another."""

    name: str
    """The file's."""
    sha256: str
    """Of the file's bytes."""
    documents: tuple[str, ...]
    """What features are scored by."""
    held_out: tuple[str, ...]
    """What nothing is chosen by."""
    unit: str = "documents"
    """What one document is: `paragraphs`, `lines` or `sentences` where the file had too few of its own."""

    @property
    def sentence(self) -> str:
        """For the console."""
        return f"{self.name}: {len(self.documents)} {self.unit} to score features by, {len(self.held_out)} held out"


def read_target(path: str | Path, held_out_share: float = 0.25, seed: int = 0) -> Target:
    """Read a text file (.txt, .jsonl or .parquet, as `tools.study.texts` has it) and hold a part of it out.

    Args:
        path: of the file.
        held_out_share: of its documents, at least one and never so many that fewer than three are left.
        seed: decides which.

    Raises:
        StudyError: it is missing, a folder, no text, in another encoding, or too little to hold anything out.
        ValueError: the share is not between 0 and 1.
    """
    if not 0 < held_out_share < 1:
        raise ValueError(f"a share of {held_out_share:g} cannot be held out")
    file = Path(path)
    documents, unit = part(read_documents(file, "a target"))
    if len(documents) < LEAST_DOCUMENTS or sum(map(len, documents)) < LEAST_LETTERS:
        raise StudyError(
            f"{file} holds too little text to hold any of it out: give {LEAST_DOCUMENTS} passages or more, as paragraphs "
            f"or sentences, of {LEAST_LETTERS} letters or more together"
        )
    n = len(documents)
    n_held = min(n - LEAST_DOCUMENTS + 1, max(1, round(held_out_share * n)))
    held = set(np.random.default_rng(seed).permutation(n)[:n_held].tolist())
    return Target(
        name=file.name,
        sha256=hash_text(file),
        documents=tuple(text for i, text in enumerate(documents) if i not in held),
        held_out=tuple(text for i, text in enumerate(documents) if i in held),
        unit=unit,
    )


def read_documents(file: Path, what: str = "a text") -> list[str]:
    """The documents of a text file, copies left out; passages of one name are one document.

    Args:
        file: .txt, .jsonl or .parquet, the first two perhaps gzipped.
        what: it is needed as, for errors.

    Raises:
        StudyError: it is missing, a folder, empty, no text, or in another encoding.
    """
    _check_file(file, what)
    # By its absolute path: a name such as `hub:x` is a file's here.
    passages = drop_copies(join_passages(islice(stream_texts(str(file.absolute()), Path()), 100 * MOST_DOCUMENTS)))
    documents = [passage.text[:MOST_CHARACTERS].strip() for passage in islice(passages, MOST_DOCUMENTS)]
    if not documents:
        raise StudyError(f"{file} holds no text")
    if any(_NO_TEXT.search(text) for text in documents):
        raise StudyError(f"{file} is no text: it holds characters that only programs read")
    return documents


def part(documents: list[str]) -> tuple[list[str], str]:
    """Documents, or where they are too few, their paragraphs, lines or sentences; and which of these they are."""
    best = documents, "documents"
    for unit, between in _PARTS.items():
        if len(best[0]) >= LEAST_DOCUMENTS:
            break
        pieces = [piece.strip() for text in documents for piece in between.split(text)]
        parted = [Passage(str(i), None, piece) for i, piece in enumerate(pieces) if piece]
        best = [passage.text for passage in drop_copies(parted)], unit
    return best


def join_passages(passages: Iterable[Passage]) -> list[Passage]:
    """Documents, each as one passage."""
    texts: dict[str, list[str]] = {}
    for passage in passages:
        texts.setdefault(passage.document, []).append(passage.text)
    return [Passage(document, None, "\n".join(parts)) for document, parts in texts.items()]


def hash_text(file: Path) -> str:
    """sha256 of a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _check_file(file: Path, what: str) -> None:
    try:
        if file.is_dir():
            raise StudyError(f"{file} is a folder: {what} is one file, .txt, .jsonl or .parquet")
        if not file.exists():
            raise StudyError(f"there is no file {file}: {what} is a text, .txt, .jsonl or .parquet")
        if not file.is_file():  # reading a pipe or a device may never end
            raise StudyError(f"{file} is no plain file")
        if file.stat().st_size > MOST:
            raise StudyError(f"{file} is larger than {MOST:,} bytes, the most that is read of such a file")
    except (OSError, ValueError) as failure:  # a name that no file can have
        raise StudyError(f"{str(file)!r} cannot be read: {getattr(failure, 'strerror', None) or failure}") from None
