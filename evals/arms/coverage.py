"""Embedding coverage: how many of the tokens in features' lists a set of word vectors knows.

The published study reports it in total and over different tokens, after its own cleaning; no cell of its notebooks computes it.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from agent.errors import RunError
from evals.arms.results import Coverage
from evals.arms.runs import Arm
from tools.border.text_files import read_text
from tools.study.definition import Study
from tools.survey.coherence import clean_token

_SAFETENSORS = ".safetensors"


class WordList(NamedTuple):
    """The words of a study's vectors, most frequent first."""

    name: str
    words: tuple[str, ...]

    @property
    def known(self) -> frozenset[str]:
        """Without their order."""
        return frozenset(self.words)


def study_word_list(study: Study) -> WordList:
    """Name of the study's vectors, and their words.

    Raises:
        StudyError, LoadError: they are not there, or cannot be had.
    """
    source = study.vectors
    if source.words is not None:
        return WordList(source.file or source.words, tuple(read_text(study.asset(source.words)).split()))
    from tools.survey.lexicon import load_study_vectors

    return WordList(source.gensim or study.name, load_study_vectors(study).words)


def read_word_list(file: Path) -> frozenset[str]:
    """Words of a set of vectors: the first column of a text file (a word list, GloVe's or word2vec's form, also gzipped).

    Of a safetensors file, the list of the same name that ends in `.words.txt` or `.txt`, or `words.txt` beside it.

    Raises:
        RunError: it cannot be read, or holds no word.
    """
    listed = _list_beside(file) if file.suffix == _SAFETENSORS else file
    opener = gzip.open if listed.suffix == ".gz" else open
    try:
        with opener(listed, "rt", encoding="utf-8") as opened:
            words = frozenset(line.split(None, 1)[0] for line in opened if line.strip())
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise RunError(f"{listed} holds no readable words: {error}") from error
    if not words:
        raise RunError(f"{listed} holds no word")
    return words


def _list_beside(file: Path) -> Path:
    for beside in (file.with_suffix(".words.txt"), file.with_suffix(".txt"), file.with_name("words.txt")):
        if beside.is_file():
            return beside
    raise RunError(f"{file} has no word list beside it: write {file.with_suffix('.txt').name}, one word a line")


def measure_coverage(arm: Arm, vectors: str, words: frozenset[str]) -> list[Coverage]:
    """Coverage of the lists of the keyword features, of the relevant ones, and of all."""
    table, tokens = arm.table, arm.survey["top_tokens"]
    sets = {
        "keyword features": tokens[(table["hits"] >= arm.thresholds.hits).to_numpy()],
        "judged relevant": tokens[(table["judged"] == "yes").to_numpy()],
        "all": tokens,
    }
    return [_count(arm.name, vectors, words, over, lists) for over, lists in sets.items()]


def _count(arm: str, vectors: str, words: frozenset[str], over: str, lists: Iterable[Sequence[str]]) -> Coverage:
    cleaned = [text for tokens in lists for token in tokens if (text := clean_token(token))]
    different = set(cleaned)
    return Coverage(
        vectors=vectors,
        arm=arm,
        over=over,
        tokens=len(cleaned),
        known=sum(text in words for text in cleaned),
        different=len(different),
        different_known=len(different & words),
    )
