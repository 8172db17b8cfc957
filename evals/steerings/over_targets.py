"""Statistics whose unit is the target: a statistic is a function of how often each target is drawn.

So every interval here comes of drawing targets again, with all their beginnings: the beginnings of one target are alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from evals.statistics.bootstrap import Statistic, gather_units, resample
from evals.statistics.estimate import Estimate, estimate_statistic

Weights = Float[np.ndarray, "*many targets"]
Above = Float[np.ndarray, "targets targets"]


def estimate_over(n: int, statistic: Statistic, seed: int) -> Estimate:
    """A statistic with its interval over targets.

    Args:
        n: number of targets.
        statistic: of how often each was drawn.
        seed: of the resamples.
    """
    if n == 0:
        return Estimate(value=None)
    units = gather_units(np.eye(n))  # a target is a count of itself, so that sums of counts say how often each is drawn
    return estimate_statistic(statistic, units, resample(units, seed))


def share_of(counts: Sequence[tuple[int, int]]) -> Statistic:
    """Successes over trials, of all targets together."""
    table = np.array(counts, dtype=float).reshape(-1, 2)

    def share(weights: Weights) -> np.ndarray:
        sums = weights @ table
        return np.where(sums[..., 1] > 0, sums[..., 0] / np.where(sums[..., 1] > 0, sums[..., 1], 1), np.nan)

    return share


def auroc_of(above: Above, counts: Sequence[tuple[int, int]]) -> Statistic:
    """How often a success is held surer than a failure; not defined without either.

    Args:
        above: whether the row's target is held surer than the column's, a half where neither is.
        counts: successes and beginnings.
    """
    table = np.array(counts, dtype=float).reshape(-1, 2)
    won, lost = table[:, 0], table[:, 1] - table[:, 0]

    def auroc(weights: Weights) -> np.ndarray:
        positive, negative = weights * won, weights * lost
        pairs = positive.sum(-1) * negative.sum(-1)
        right = ((positive @ above) * negative).sum(-1)
        return np.where(pairs > 0, right / np.where(pairs > 0, pairs, 1), np.nan)

    return auroc


def by_score(scores: Sequence[float]) -> Above:
    """Which target is above which, by a score of each."""
    values = np.array(scores, dtype=float)
    return (values[:, None] > values[None, :]) + 0.5 * (values[:, None] == values[None, :])


def of_tables(statistic: Statistic, tables: Float[np.ndarray, "targets k k"]) -> Statistic:
    """A statistic of summed tables, such as an agreement, as one of how often each target is drawn."""
    return lambda weights: statistic(np.tensordot(weights, tables, 1))
