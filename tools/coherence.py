"""How much a feature's top tokens mean the same: weighted mean cosine of their word vectors.

Two scores stand side by side. The published one (Gupta and Sica 2024, cleaned tokens) is inflated by spelling variants
of one word, which become equal vectors with cosine 1; the de-duplicated one counts each word once, at its first and
heaviest token. A feature with fewer than two usable words has no score: NaN here, None in records, never 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from tools.errors import LoadError, StudyError
from tools.keywords import TokenWord

_EPSILON = 1e-8
"""In the denominator, as published."""


class WordVectors(NamedTuple):
    """Unit word vectors, words in order of falling frequency."""

    words: tuple[str, ...]
    matrix: Float[np.ndarray, "words dim"]
    row: dict[str, int]


class Coherence(NamedTuple):
    """Scores of n features; NaN where there is no value."""

    weighted: Float[np.ndarray, " n"]
    deduplicated: Float[np.ndarray, " n"]
    n_valid: Int64[np.ndarray, " n"]
    """Top tokens with a word vector."""


def make_vectors(words: Sequence[str], matrix: Float[np.ndarray, "words dim"]) -> WordVectors:
    """Normalise rows to unit length and index them by word."""
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    unit = (matrix / np.maximum(norms, 1e-12)).astype(np.float32)
    return WordVectors(tuple(words), unit, {word: row for row, word in enumerate(words)})


def load_vectors(weights: Path, words: Path) -> WordVectors:
    """Vectors from a safetensors file with one tensor `vectors` [words, dim], and its word list, one a line.

    Raises:
        LoadError: the file is corrupt or does not hold that tensor.
        StudyError: numbers of words and rows differ.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        matrix = load_file(weights)["vectors"].astype(np.float32)
    except (SafetensorError, KeyError) as error:
        raise LoadError(f"{weights} is not a readable safetensors file with a tensor 'vectors': {error}") from error
    listed = words.read_text("utf-8").split()
    if len(listed) != len(matrix):
        raise StudyError(f"{weights} has {len(matrix)} rows but {words} has {len(listed)} words")
    return make_vectors(listed, matrix)


def clean_token(token: str) -> str:
    """The published cleaning (its second version): strip the space, lower-case, keep a-z."""
    return re.sub(r"[^a-z]", "", token.strip().lower())


def published_rows(tokens: Sequence[str], vectors: WordVectors) -> Int64[np.ndarray, " vocab"]:
    """For each vocabulary entry the vector row of its cleaned text, or -1."""
    return np.array([vectors.row.get(clean_token(token), -1) for token in tokens], dtype=np.int64)


def word_rows(words: Sequence[TokenWord], vectors: WordVectors) -> Int64[np.ndarray, " vocab"]:
    """For each vocabulary entry the vector row of the word it stands for, or -1: pieces have none."""
    return np.array([-1 if entry.word is None else vectors.row.get(entry.word, -1) for entry in words], dtype=np.int64)


def score_coherence(
    published: Int64[np.ndarray, "n k"],
    deduplicated: Int64[np.ndarray, "n k"],
    weights: Float[np.ndarray, "n k"],
    vectors: WordVectors,
) -> Coherence:
    """Both scores for n features with k top tokens each, in falling order of weight.

    Args:
        published: vector rows of the tokens by the published cleaning, -1 for none.
        deduplicated: vector rows of the words the tokens stand for, -1 for none.
        weights: logit weights of the tokens.
        vectors: unit word vectors.
    """
    valid = published >= 0
    first = _first_of_its_row(deduplicated)
    return Coherence(
        weighted=_weighted_cosine(published, weights, valid, vectors.matrix),
        deduplicated=_weighted_cosine(deduplicated, weights, first, vectors.matrix),
        n_valid=valid.sum(axis=1),
    )


def _weighted_cosine(
    rows: Int64[np.ndarray, "n k"],
    weights: Float[np.ndarray, "n k"],
    use: Bool[np.ndarray, "n k"],
    matrix: Float[np.ndarray, "words dim"],
) -> Float[np.ndarray, " n"]:
    """sum_{i<j} w_i w_j cos_ij / (sum_{i<j} w_i w_j + 1e-8) from sums alone: pairs are never formed.

    With s = sum w_i x_i the numerator is (|s|^2 - sum w_i^2 |x_i|^2) / 2, and likewise with numbers for the denominator.
    """
    w = np.where(use, weights, 0.0).astype(np.float64)
    x = matrix[np.where(use, rows, 0)].astype(np.float64)  # [n, k, dim]
    summed = np.einsum("nk,nkd->nd", w, x)
    lengths = np.einsum("nkd,nkd->nk", x, x)
    numerator = ((summed**2).sum(1) - (w**2 * lengths).sum(1)) / 2
    denominator = (w.sum(1) ** 2 - (w**2).sum(1)) / 2
    score = numerator / (denominator + _EPSILON)
    return np.where(use.sum(1) >= 2, score, np.nan)


def _first_of_its_row(rows: Int64[np.ndarray, "n k"]) -> Bool[np.ndarray, "n k"]:
    """True where a row number occurs for the first time in its line and is not -1."""
    repeated = np.zeros(rows.shape, dtype=bool)
    for place in range(1, rows.shape[1]):
        repeated[:, place] = (rows[:, :place] == rows[:, place : place + 1]).any(axis=1)
    return ~repeated & (rows >= 0)
