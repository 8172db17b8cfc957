"""Text that nobody labelled from, as tokens by document: a study's held-out split, or a user's own, read as far as wanted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from rich.progress import Progress

from tools.bench.workbench import Workbench
from tools.errors import StudyError
from tools.study.corpus import leave_out_copies
from tools.study.texts import Passage, stream_texts


class HeldText(NamedTuple):
    """A text as tokens."""

    documents: tuple[str, ...]
    """Of each passage, the document that it is of."""
    ids: tuple[Int64[np.ndarray, " _"], ...]
    left_out: int = 0
    """Documents that are copies of what labels were made from."""

    @property
    def sha256(self) -> str:
        """Over documents and tokens."""
        digest = hashlib.sha256()
        for document, ids in zip(self.documents, self.ids, strict=True):
            digest.update(f"{document} {len(ids)} ".encode())
            digest.update(ids.astype(np.int64).tobytes())
        return digest.hexdigest()


def tokenize_passages(bench: Workbench, passages: Iterable[Passage]) -> HeldText:
    """All of them."""
    known = [(passage.document, np.array(bench.tokenize(passage.text), dtype=np.int64)) for passage in passages]
    return HeldText(tuple(document for document, _ in known), tuple(ids for _, ids in known))


def read_held_text(
    bench: Workbench,
    sources: Sequence[str],
    labelled_from: Iterable[Passage],
    most: int,
    progress: Progress | None = None,
) -> HeldText:
    """Documents of some sources, in order, until there are so many tokens; no more than a document is held as text.

    Args:
        bench: whose tokenizer.
        sources: files, folders or data sets on the hub (`tools.study.texts`).
        labelled_from: text whose copies are left out.
        most: tokens; the document that reaches them is the last.
        progress: where it is shown how far it is.

    Raises:
        StudyError, LoadError: a source cannot be read, or no text is left.
    """
    passages = chain.from_iterable(stream_texts(source, Path()) for source in sources)
    seen = _Counted(passages)
    documents, ids, n = list[str](), list[Int64[np.ndarray, " _"]](), 0
    task = progress.add_task("read         tokens", total=most) if progress else None
    for passage in leave_out_copies(seen, labelled_from):
        tokens = np.array(bench.tokenize(passage.text), dtype=np.int64)
        documents.append(passage.document)
        ids.append(tokens)
        n += len(tokens)
        if progress and task is not None:
            progress.update(task, completed=min(n, most))
        if n >= most:
            break
    if not n:
        raise StudyError(f"{', '.join(sources)}: no text is left that labels were not made from")
    if progress and task is not None:
        progress.update(task, total=min(n, most), completed=min(n, most))
    return HeldText(tuple(documents), tuple(ids), seen.n - len(documents))


class _Counted:
    """Passages, and how many of them were taken."""

    def __init__(self, passages: Iterable[Passage]) -> None:
        self._passages, self.n = passages, 0

    def __iter__(self) -> Iterator[Passage]:
        for passage in self._passages:
            self.n += 1
            yield passage
