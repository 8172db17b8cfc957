"""Passages of text that features are observed on, with their split by document."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from tools.errors import StudyError
from tools.maths import seed_of
from tools.study.definition import CorpusSource, SplitName, Study
from tools.study.texts import HUB, Passage, check_texts, read_gensim, read_jsonl, read_texts

RUN_WORDS = 13
"""Consecutive words that two texts do not share by chance: the unit in which copies of test data in training data are
commonly looked for (arXiv 2005.14165, appendix C)."""
COPIED_SHARE = 0.5


class TokenRows(NamedTuple):
    """Passages cut into rows, each opened by BOS; padding lies on the right, where a causal model never sees it."""

    tokens: Int64[np.ndarray, "rows width"]
    real: Bool[np.ndarray, "rows width"]
    """True at text, False at BOS and padding."""
    documents: tuple[str, ...]
    opens: Bool[np.ndarray, " rows"] | None = None
    """True for rows that begin a passage, False for those that go on with one; None where nobody needs to know."""


class Corpus:
    """The text of a study, read when any of it is first asked for and then kept: hand the object on, it is read once.

    Everything asked of it raises:
        StudyError: the study names no corpus, a source is missing, or a line of it is malformed.
        LoadError: a source is on the hub, which cannot be reached.
    """

    def __init__(self, study: Study) -> None:
        self.study = study

    def passages(self, split: SplitName) -> list[Passage]:
        """Passages of one split, copies left out (`drop_copies`).

        A document is in `held_out` by the hash of its name, whatever else the corpus holds.

        Raises:
            StudyError: the split is empty.
        """
        if not self._splits[split]:
            n = len({passage.document for passages in self._splits.values() for passage in passages})
            raise StudyError(
                f"study {self.study.name}: its corpus has too few documents ({n}): the {split} split is empty"
            )
        return self._splits[split]

    @cached_property
    def sha256(self) -> str:
        """Over all passages of both splits in order: the identity of a corpus wherever its texts come from."""
        digest = hashlib.sha256()
        for passage in self._everything:
            for part in (passage.document, passage.topic or "", passage.text):
                digest.update(part.encode() + b"\0")
        return digest.hexdigest()

    @cached_property
    def _everything(self) -> list[Passage]:
        study, source = self.study, self.study.corpus
        if not (source.file or source.gensim_test_data or source.texts):
            raise StudyError(
                f"study {study.name} names no corpus: set corpus.file, corpus.texts or corpus.gensim_test_data"
            )
        passages = list(read_jsonl(study.asset(source.file))) if source.file else []
        for name in source.gensim_test_data:
            passages += read_gensim(name)
        for texts in source.texts:
            passages += read_texts(texts, study.folder, source.documents)
        return passages

    @cached_property
    def _splits(self) -> dict[SplitName, list[Passage]]:
        splits: dict[SplitName, list[Passage]] = {"train": [], "held_out": []}
        for passage in drop_copies(self._everything):
            is_held_out = seed_of(passage.document) / 2**64 < self.study.corpus.held_out_share
            splits["held_out" if is_held_out else "train"].append(passage)
        return splits


def check_corpus(study: Study) -> None:
    """Find out early, without reading it, that a part of the corpus is missing.

    Raises:
        StudyError, LoadError: as `Corpus`.
    """
    if study.corpus.file:
        study.asset(study.corpus.file)
    for source in study.corpus.texts:
        check_texts(source, study.folder)


def replace_corpus(study: Study, texts: str) -> Study:
    """The study on a corpus of the user's own, split as its own is; what its SAEs claim was measured on other text.

    Args:
        study: any.
        texts: a file or folder, relative to the working directory, or `hub:NAME[:CONFIG]` (`tools.study.texts`).

    Raises:
        StudyError, LoadError: there are no such texts, or they cannot be reached.
    """
    source = texts if texts.startswith(HUB) else str(Path(texts).absolute())
    own = CorpusSource(texts=(source,), documents=study.corpus.documents, held_out_share=study.corpus.held_out_share)
    arms = {name: arm.model_copy(update={"explained_variance": None}) for name, arm in study.arms.items()}
    replaced = study.model_copy(update={"corpus": own, "arms": arms})
    check_corpus(replaced)
    return replaced


def drop_copies(passages: Iterable[Passage]) -> Iterator[Passage]:
    """Passages without those that an earlier document holds already: else one text could stand in both splits.

    A passage is a copy if at least half of its runs of `RUN_WORDS` words are in passages of other, earlier documents; a
    shorter one if all of it is. Case and white space make no difference.
    """
    first: dict[int, str] = {}
    for passage in passages:
        runs = _runs_of(passage)
        copied = sum(first.get(run, passage.document) != passage.document for run in runs)
        if copied < COPIED_SHARE * len(runs):
            for run in runs:
                first.setdefault(run, passage.document)
            yield passage


def leave_out_copies(passages: Iterable[Passage], known: Iterable[Passage]) -> Iterator[Passage]:
    """Passages without those of which at least half is in some known text, as `drop_copies` has it."""
    runs = {run for passage in known for run in _runs_of(passage)}
    for passage in passages:
        own = _runs_of(passage)
        if sum(run in runs for run in own) < COPIED_SHARE * len(own):
            yield passage


def share_of_runs(passages: Iterable[Passage], known: Iterable[Passage]) -> float:
    """Share of the runs of `RUN_WORDS` words of some passages that stand in known ones; of a shorter passage, all of it."""
    texts = [passage.text.lower().split() for passage in known]
    of_length: dict[int, set[int]] = {}
    shared = total = 0
    for passage in passages:
        words = passage.text.lower().split()
        n = min(RUN_WORDS, len(words))
        if n not in of_length:
            of_length[n] = {run for text in texts for run in _runs(text, n)}
        shared += sum(run in of_length[n] for run in _runs(words, n))
        total += len(words) - n + 1
    return shared / max(total, 1)


def _runs_of(passage: Passage) -> list[int]:
    words = passage.text.lower().split()
    return _runs(words, min(RUN_WORDS, len(words)))


def _runs(words: list[str], n: int) -> list[int]:
    return [hash(tuple(words[start : start + n])) for start in range(len(words) - n + 1)]


def cut_rows(
    token_ids: Sequence[Sequence[int] | Int64[np.ndarray, " _"]], documents: Sequence[str], width: int, bos: int
) -> TokenRows:
    """Rows of at most `width` tokens with BOS, as wide as the longest needs; a longer text goes on in the next row."""
    pieces = [
        (document, ids[start : start + width - 1], start == 0)
        for document, ids in zip(documents, token_ids, strict=True)
        for start in range(0, len(ids), width - 1)
    ]
    width = 1 + max((len(ids) for _, ids, _ in pieces), default=width - 1)
    tokens = np.full((len(pieces), width), bos, dtype=np.int64)
    real = np.zeros((len(pieces), width), dtype=bool)
    for row, (_, ids, _) in enumerate(pieces):
        tokens[row, 1 : 1 + len(ids)] = ids
        real[row, 1 : 1 + len(ids)] = True
    return TokenRows(
        tokens, real, tuple(document for document, *_ in pieces), np.array([new for *_, new in pieces], bool)
    )
