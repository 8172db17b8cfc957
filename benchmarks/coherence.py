"""Coherence of every feature's top tokens, against the study's loop over pairs of words.

Both start from the top tokens and their weights. Ours gives the de-duplicated score as well, and looks words up in the
vocabulary's table of vector rows, which a survey makes once. Three tokens in ten have no vector.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchmarks.material.words import make_word_vectors, spell
from benchmarks.measure import Arm, equal, faster, race, row
from benchmarks.published import score_features
from benchmarks.records import Result, Setting
from tools.survey.coherence import Coherence, published_rows, score_coherence, word_rows
from tools.survey.keywords import token_words


class Size(NamedTuple):
    """How much there is."""

    features: int
    sample: int
    """Features that the baseline scores."""
    d_vocab: int
    words: int
    dim: int


SIZES = {
    "small": Size(features=300, sample=60, d_vocab=1000, words=2000, dim=20),
    "full": Size(features=24_576, sample=2_000, d_vocab=50_257, words=400_000, dim=100),
}
TOP_K = 10
WITHOUT_VECTOR = 0.3
TIMES, TOLERANCE = 40.0, 1e-6


def measure(setting: Setting) -> list[Result]:
    """All features in one call, beside a sample of them in loops."""
    size = SIZES[setting.scale]
    rng = np.random.default_rng(0)
    vectors = make_word_vectors(size.words, size.dim)
    known = rng.permutation(size.words)[: size.d_vocab]
    known[rng.random(size.d_vocab) < WITHOUT_VECTOR] = -1
    # A word that is not in the list: five letters, where all in the list have four.
    tokens = [
        f" {spell(number)}" if number >= 0 else f" x{spell(place)}" for place, number in enumerate(known.tolist())
    ]
    ids = rng.integers(0, size.d_vocab, (size.features, TOP_K))
    weights = -np.sort(-rng.uniform(0.5, 4.0, ids.shape).astype(np.float32), axis=1)
    by_published, by_word = published_rows(tokens, vectors), word_rows(token_words(tokens, vectors.words), vectors)
    named = [[tokens[i] for i in row] for row in ids[: size.sample].tolist()]
    by_name = dict(zip(vectors.words, vectors.matrix, strict=True))

    def ours() -> Coherence:
        return score_coherence(by_published[ids], by_word[ids], weights, vectors)

    def baseline() -> list[float]:
        return score_features(named, weights[: size.sample], by_name)

    share = size.sample / size.features
    found = race(Arm("the study's loop, cosine by scipy", baseline, share), Arm("", ours), setting.rounds)
    return [
        row(
            "coherence",
            f"{size.features:,} features, {TOP_K} tokens, {size.words:,} vectors of {size.dim}",
            found,
            reaches=[
                faster(found, TIMES, judged=setting.scale == "full"),
                equal(
                    "largest difference from the loop",
                    difference(np.array(found.baseline_result), found.ours_result.weighted[: size.sample]),
                    TOLERANCE,
                ),
            ],
        )
    ]


def difference(left: np.ndarray, right: np.ndarray) -> float:
    """Largest absolute difference; infinite if one has a value where the other has none."""
    if not np.array_equal(np.isnan(left), np.isnan(right)):
        return float("inf")
    return float(np.nanmax(np.abs(left - right)))
