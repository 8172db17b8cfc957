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
import torch
from jaxtyping import Bool, Float, Int64
from torch.nn.functional import embedding_bag

from tools.border.text_files import read_text
from tools.errors import LoadError, StudyError
from tools.survey.keywords import TokenWord

_EPSILON = 1e-8
"""In the denominator, as published."""
SAFE_SHARE = 0.2
"""Of the squared sum of the weights: with a denominator larger than this, float32 sums give a score to 1e-6."""


class WordVectors(NamedTuple):
    """Unit word vectors, words in order of falling frequency."""

    words: tuple[str, ...]
    matrix: Float[np.ndarray, "words dim"]
    squares: Float[np.ndarray, " words"]
    """Squared lengths: 1 but for rounding, and 0 for a word whose vector is zero."""
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
    squares = np.einsum("nd,nd->n", unit, unit, dtype=np.float64)
    return WordVectors(tuple(words), unit, squares, {word: row for row, word in enumerate(words)})


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
    listed = read_text(words).split()
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
        weighted=_weighted_cosine(published, weights, valid, vectors),
        deduplicated=_weighted_cosine(deduplicated, weights, first, vectors),
        n_valid=valid.sum(axis=1),
    )


def _weighted_cosine(
    rows: Int64[np.ndarray, "n k"],
    weights: Float[np.ndarray, "n k"],
    use: Bool[np.ndarray, "n k"],
    vectors: WordVectors,
) -> Float[np.ndarray, " n"]:
    """sum_{i<j} w_i w_j cos_ij / (sum_{i<j} w_i w_j + 1e-8) from sums alone: pairs are never formed.

    With s = sum w_i x_i the numerator is (|s|^2 - sum w_i^2 |x_i|^2) / 2, and likewise with numbers for the denominator.
    Vectors are summed in float32; where the denominator is a small difference of large numbers, again in float64.
    """
    w = np.where(use, weights, 0.0).astype(np.float64)
    chosen = np.where(use, rows, 0)
    squares = (w**2).sum(axis=1)
    denominator = (w.sum(axis=1) ** 2 - squares) / 2
    length = (_sum_vectors(chosen, w, vectors.matrix) ** 2).sum(axis=1)
    enough = use.sum(axis=1) >= 2
    small = enough & (np.abs(denominator) < SAFE_SHARE * np.abs(w).sum(axis=1) ** 2)
    length[small] = (np.einsum("nk,nkd->nd", w[small], vectors.matrix[chosen[small]]) ** 2).sum(axis=1)
    numerator = (length - (w**2 * vectors.squares[chosen]).sum(axis=1)) / 2
    return np.where(enough, numerator / (denominator + _EPSILON), np.nan)


def _sum_vectors(
    rows: Int64[np.ndarray, "n k"], weights: Float[np.ndarray, "n k"], matrix: Float[np.ndarray, "words dim"]
) -> Float[np.ndarray, "n dim"]:
    """Weighted sum of each line's vectors, none of which is copied."""
    summed = embedding_bag(
        torch.from_numpy(rows),
        torch.from_numpy(matrix),
        per_sample_weights=torch.from_numpy(weights.astype(np.float32)),
        mode="sum",
    )
    return summed.numpy().astype(np.float64)


def _first_of_its_row(rows: Int64[np.ndarray, "n k"]) -> Bool[np.ndarray, "n k"]:
    """True where a row number occurs for the first time in its line and is not -1."""
    repeated = np.zeros(rows.shape, dtype=bool)
    for place in range(1, rows.shape[1]):
        repeated[:, place] = (rows[:, :place] == rows[:, place : place + 1]).any(axis=1)
    return ~repeated & (rows >= 0)
