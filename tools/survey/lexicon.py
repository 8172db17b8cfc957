"""The words of a model's vocabulary as the survey uses them: which tokens are words, which are the domain's, and their vectors."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from tools.border.gensim_data import load_named_vectors
from tools.errors import LoadError, StudyError
from tools.study.definition import Study
from tools.survey.coherence import (
    WordVectors,
    load_vectors,
    make_vectors,
    published_rows,
    word_rows,
)
from tools.survey.keywords import TokenWord, load_vocabulary, token_words

CONTENT_RANK = 150
"""Words more frequent than this rank are function words and carry no topic."""


class Lexicon(NamedTuple):
    """What a model's vocabulary means to a study: words, domain words, vectors."""

    tokens: tuple[str, ...]
    words: tuple[TokenWord, ...]
    vocabulary: frozenset[str]
    vectors: WordVectors
    published_rows: Int64[np.ndarray, " d_vocab"]
    word_rows: Int64[np.ndarray, " d_vocab"]
    is_domain: Bool[np.ndarray, " d_vocab"]
    likeness: Float[np.ndarray, " d_vocab"]
    """Cosine of each entry's word with the mean vector of the domain vocabulary; 0 without a vector."""


def load_study_vectors(study: Study) -> WordVectors:
    """The study's word vectors.

    Raises:
        StudyError: the study names none.
        LoadError: they are corrupt, or come from gensim's downloader and cannot be had.
    """
    source = study.vectors
    if source.file and source.words:
        return load_vectors(study.asset(source.file), study.asset(source.words))
    if not source.gensim:
        raise StudyError(
            f"study {study.name} names no word vectors: set vectors.file and vectors.words, or vectors.gensim"
        )
    try:
        keyed = load_named_vectors(source.gensim)
    except (OSError, ValueError) as error:
        raise LoadError(
            f"word vectors {source.gensim!r} are not in gensim's cache and cannot be fetched: {error}"
        ) from error
    return make_vectors(keyed.index_to_key, keyed.vectors)


def build_lexicon(tokens: Sequence[str], study: Study) -> Lexicon:
    """Read the study's vocabulary and vectors once, for a model's decoded token strings."""
    vocabulary = load_vocabulary(study.asset(study.domain.vocabulary))
    vectors = load_study_vectors(study)
    words = token_words(tokens, vectors.words)
    rows = rows_of_domain(vocabulary, vectors, study)
    centre = vectors.matrix[rows].mean(axis=0)
    of_words = word_rows(words, vectors)
    known = of_words >= 0
    likeness = np.zeros(len(tokens), dtype=np.float32)
    likeness[known] = vectors.matrix[of_words[known]] @ (centre / np.linalg.norm(centre))
    return Lexicon(
        tokens=tuple(tokens),
        words=tuple(words),
        vocabulary=vocabulary,
        vectors=vectors,
        published_rows=published_rows(tokens, vectors),
        word_rows=of_words,
        is_domain=np.array([entry.word is not None and entry.word in vocabulary for entry in words]),
        likeness=likeness,
    )


def rows_of_domain(vocabulary: Collection[str], vectors: WordVectors, study: Study) -> list[int]:
    """Rows of the word vectors that hold words of the domain.

    Raises:
        StudyError: there are none.
    """
    rows = [vectors.row[word] for word in sorted(vocabulary) if word in vectors.row]
    if not rows:
        raise StudyError(f"no word of {study.domain.vocabulary} has a word vector: vocabulary and vectors do not fit")
    return rows
