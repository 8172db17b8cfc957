"""Coverage: how well each variable is told by the one feature that tells it best (Karvonen et al. 2024).

Chosen and measured on the same examples it is the published figure, which has the best of many features by luck as well as by
merit; `tools.truth.scores` measures the features that were chosen here on examples that they were not chosen by.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from tools.truth.counts import Counts
from tools.truth.scores import Predict


class Detector(NamedTuple):
    """A feature above a threshold, as a classifier of one variable."""

    feature: int
    threshold: float
    """Share of the feature's largest activation."""
    f1: float
    precision: float
    recall: float


class Covered(NamedTuple):
    """A variable, and what tells it."""

    variable: str
    prevalence: float
    best: Detector
    runner_up: Detector | None
    """The best of the other features; None where there is no other."""


class Nearest(NamedTuple):
    """Each feature's two best variables, over all thresholds."""

    variable: Int64[np.ndarray, " d"]
    f1: Float[np.ndarray, " d"]
    second: Int64[np.ndarray, " d"]
    """-1 where there is only one variable."""
    second_f1: Float[np.ndarray, " d"]


class Coverage(NamedTuple):
    """Of an SAE, on the examples that were counted."""

    best: float
    """Mean over variables of the best F1 over features and thresholds."""
    one_threshold: float
    """The same with one threshold for all, the one that does best."""
    threshold: float
    variables: tuple[Covered, ...]
    left_out: tuple[str, ...]
    """Variables that are true of every example or of none; no mean has them."""
    nearest: Nearest
    names: tuple[str, ...]
    """Of all variables, in the order of `nearest`."""

    def true_labels(self, least: float = 0.9, most_second: float = 0.6) -> dict[int, str]:
        """The features that mean one variable and no other, with its name.

        Args:
            least: F1 with the best variable.
            most_second: F1 with the second best has to be below.
        """
        near = self.nearest
        sure = np.flatnonzero((near.f1 >= least) & (near.second_f1 < most_second))
        return {int(feature): self.names[near.variable[feature]] for feature in sure}

    def predictor(self, maxima: Float[np.ndarray, " d"]) -> Predict:
        """The chosen detectors as one predictor of all variables; what was left out is never asserted."""
        place = {name: i for i, name in enumerate(self.names)}
        columns = [place[covered.variable] for covered in self.variables]
        features = [covered.best.feature for covered in self.variables]
        bounds = np.array([covered.best.threshold for covered in self.variables]) * maxima[features]

        def predict(activations: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, "n g"]:
            said = np.zeros((len(activations), len(self.names)), dtype=bool)
            said[:, columns] = activations[:, features].astype(np.float64) > bounds
            return said

        return predict


def measure_coverage(counts: Counts, names: Sequence[str]) -> Coverage:
    """Coverage of the counted examples.

    Args:
        counts: of the examples.
        names: of the variables, in order.

    Raises:
        ValueError: no variable varies.
    """
    varies = counts.varies
    if not varies.any():
        raise ValueError("every variable is true of all examples or of none")
    best, at = counts.f1(0), np.zeros(counts.hits.shape[1:], dtype=np.int64)
    by_threshold = [float(best.max(axis=0)[varies].mean())]
    for t in range(1, len(counts.thresholds)):
        f1 = counts.f1(t)
        by_threshold.append(float(f1.max(axis=0)[varies].mean()))
        higher = f1 > best
        best[higher], at[higher] = f1[higher], t
    one = int(np.argmax(by_threshold))
    best[:, ~varies] = 0
    covered = tuple(_cover(counts, names[g], g, best[:, g], at[:, g]) for g in map(int, np.flatnonzero(varies)))
    return Coverage(
        best=float(np.mean([variable.best.f1 for variable in covered])),
        one_threshold=by_threshold[one],
        threshold=counts.thresholds[one],
        variables=covered,
        left_out=tuple(names[g] for g in map(int, np.flatnonzero(~varies))),
        nearest=_find_nearest(best),
        names=tuple(names),
    )


def _cover(counts: Counts, name: str, g: int, f1: Float[np.ndarray, " d"], at: Int64[np.ndarray, " d"]) -> Covered:
    order = np.argsort(-f1, kind="stable")[:2]

    def detector(feature: int) -> Detector:
        t = int(at[feature])
        hits = int(counts.hits[t, feature, g])
        precision = hits / max(1, int(counts.fired[t, feature]))
        return Detector(feature, counts.thresholds[t], float(f1[feature]), precision, hits / int(counts.true[g]))

    runner_up = detector(int(order[1])) if len(order) > 1 else None
    return Covered(name, int(counts.true[g]) / counts.examples, detector(int(order[0])), runner_up)


def _find_nearest(f1: Float[np.ndarray, "d g"]) -> Nearest:
    rows = np.arange(len(f1))
    first = f1.argmax(axis=1)
    highest = f1[rows, first]
    if f1.shape[1] == 1:
        return Nearest(first, highest, np.full(len(f1), -1), np.zeros(len(f1)))
    rest = f1.copy()
    rest[rows, first] = -1
    second = rest.argmax(axis=1)
    return Nearest(first, highest, second, f1[rows, second])
