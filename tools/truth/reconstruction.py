"""Reconstruction: the state of a position, read from features that hardly ever assert what is not so.

On the training split a feature above a threshold asserts every variable that is true at 95 % or more of the examples it fires
at, of which there have to be ten. On other examples the predicted state is all that the active features assert. The published
code reports the threshold that does best on the examples it reports; here it is chosen on a development split, and that figure
stands beside.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int32, Int64
from scipy import sparse

from tools.truth.counts import Counts
from tools.truth.examples import Stream
from tools.truth.scores import Estimate, Predict, measure

LEAST_PRECISION = 0.95
LEAST_FIRED = 10


class Assertions(NamedTuple):
    """What features assert above one threshold."""

    threshold: float
    features: Int64[np.ndarray, " m"]
    """Those that assert anything."""
    bounds: Float[np.ndarray, " m"]
    """What the activation of each has to exceed."""
    asserts: Int32[np.ndarray, "m g"]
    """1 where the feature asserts the variable."""

    def predict(self, activations: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, "n g"]:
        """All that the active features assert."""
        active = activations[:, self.features].astype(np.float64) > self.bounds
        return sparse.csr_array(active, dtype=np.int32) @ self.asserts > 0


class Reconstruction(NamedTuple):
    """Of a test split."""

    threshold: float
    """The one that did best on the development split."""
    f1: Estimate
    """Of the variables asserted of an example, averaged over examples."""
    pooled: Estimate
    """Over all examples and variables together."""
    best_on_test: float
    """`f1` at the threshold that does best on the test split itself: as published."""
    asserting: int
    """Features that assert anything above the threshold."""


def find_assertions(
    counts: Counts, precision: float = LEAST_PRECISION, fired: int = LEAST_FIRED
) -> tuple[Assertions, ...]:
    """What features assert, by threshold.

    Args:
        counts: of the training split.
        precision: the least share of examples at which an asserted variable is true.
        fired: the fewest examples above the threshold.
    """
    found: list[Assertions] = []
    for t, share in enumerate(counts.thresholds):
        often = (counts.fired[t] >= fired)[:, None]
        asserts = (counts.precision(t) >= precision) & often
        some = np.flatnonzero(asserts.any(axis=1))
        found.append(Assertions(share, some, share * counts.maxima[some], asserts[some].astype(np.int32)))
    return tuple(found)


def reconstruct(assertions: tuple[Assertions, ...], development: Stream, test: Stream, seed: int = 0) -> Reconstruction:
    """Choose the threshold on one split and measure on another; the lower of equal thresholds.

    Raises:
        ValueError: a split has no example.
    """
    predictors: list[Predict] = [partial(Assertions.predict, one) for one in assertions]
    tried = [scores.mean_f1 for scores in measure(development, predictors)]
    chosen = int(np.argmax(tried))
    measured = measure(test, predictors)
    return Reconstruction(
        threshold=assertions[chosen].threshold,
        f1=measured[chosen].reconstruction(seed),
        pooled=measured[chosen].pooled(seed),
        best_on_test=max(scores.mean_f1 for scores in measured),
        asserting=len(assertions[chosen].features),
    )
