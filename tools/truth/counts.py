"""How often each feature, above each threshold, fires where each variable is true.

A threshold is a share of the largest activation that the feature has on the training split: the classifier of feature i at t
says yes where `f_i > t * max(f_i)`. Nearly all activations are 0, so only the others are looked at: each is put on the highest
threshold that it exceeds, and sums over thresholds are taken at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int32, Int64
from scipy import sparse

from tools.truth.examples import Stream, read

THRESHOLDS = tuple(i / 10 for i in range(10))


class Counts(NamedTuple):
    """Of examples. Memory: 4 bytes a threshold, feature and variable, twice."""

    hits: Int32[np.ndarray, "t d g"]
    """At which the feature fires above the threshold and the variable is true."""
    fired: Int64[np.ndarray, "t d"]
    true: Int64[np.ndarray, " g"]
    examples: int
    thresholds: tuple[float, ...]
    maxima: Float[np.ndarray, " d"]

    def f1(self, t: int) -> Float[np.ndarray, "d g"]:
        """Of every feature for every variable above the threshold of that place; 0 where nothing fires and nothing is true."""
        return f1_of(self.hits[t], self.fired[t][:, None], self.true)

    def precision(self, t: int) -> Float[np.ndarray, "d g"]:
        """Share of the examples a feature fires at at which the variable is true; 0 where it never fires."""
        return self.hits[t] / np.maximum(self.fired[t], 1)[:, None]

    @property
    def varies(self) -> np.ndarray:
        """Which variables are true of some examples and not of others: of the rest nothing can be found out."""
        return (self.true > 0) & (self.true < self.examples)


def f1_of(hits: np.ndarray, asserted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """F1 from counts, in float64; 0 where all are 0."""
    return 2.0 * hits / np.maximum(asserted + true, 1)


def constant_f1(prevalence: float) -> float:
    """F1 of what always says yes: the least that a feature which is always active scores for nothing."""
    return 2 * prevalence / (1 + prevalence)


def measure_maxima(stream: Stream) -> Float[np.ndarray, " d"]:
    """The largest activation of each feature; 0 where it is never active.

    Raises:
        ValueError: there is no example.
    """
    maxima: np.ndarray | None = None
    for chunk in read(stream):
        highest = chunk.activations.max(axis=0).astype(np.float64)
        maxima = np.maximum(highest, 0) if maxima is None else np.maximum(maxima, highest)
    assert maxima is not None
    return maxima


def count(stream: Stream, maxima: Float[np.ndarray, " d"], thresholds: Sequence[float] = THRESHOLDS) -> Counts:
    """Count over a split.

    Args:
        stream: the split.
        maxima: of each feature, on the training split.
        thresholds: shares of the maxima, rising.

    Raises:
        ValueError: there is no example, or thresholds do not rise from 0 or more.
    """
    shares = np.asarray(thresholds, dtype=np.float64)
    if len(shares) == 0 or shares[0] < 0 or (np.diff(shares) <= 0).any():
        raise ValueError(f"thresholds have to rise from 0 or more: {tuple(thresholds)}")
    d, t = len(maxima), len(shares)
    hits: np.ndarray | None = None
    fired, true, examples = np.zeros(t * d, dtype=np.int64), np.int64(0), 0
    for chunk in read(stream):
        exact = _exact_places(chunk.activations, maxima, shares)
        found = exact @ chunk.truths.astype(np.int32)
        hits = found if hits is None else np.add(hits, found, out=hits)
        fired += np.asarray(exact.sum(axis=1)).ravel()
        true = true + chunk.truths.sum(axis=0, dtype=np.int64)
        examples += len(chunk.truths)
    assert hits is not None
    above = _sum_from_above(hits.reshape(t, d, -1))
    return Counts(above, _sum_from_above(fired.reshape(t, d)), np.asarray(true), examples, tuple(thresholds), maxima)


def _exact_places(
    activations: Float[np.ndarray, "n d"], maxima: Float[np.ndarray, " d"], shares: Float[np.ndarray, " t"]
) -> sparse.csr_array:
    """For each threshold and feature [t * d], the examples [n] at which that threshold is the highest one exceeded."""
    n, d = activations.shape
    example, feature = np.nonzero(activations > 0)
    values, highest = activations[example, feature].astype(np.float64), maxima[feature]
    level = np.zeros(len(values), dtype=np.int64)
    for share in shares:
        level += values > share * highest
    some = level > 0
    keys = (level[some] - 1) * d + feature[some]
    return sparse.csr_array((np.ones(len(keys), dtype=np.int32), (keys, example[some])), shape=(len(shares) * d, n))


def _sum_from_above(exact: np.ndarray) -> np.ndarray:
    """From counts at each threshold to counts above it, in place."""
    for t in range(len(exact) - 2, -1, -1):
        exact[t] += exact[t + 1]
    return exact
