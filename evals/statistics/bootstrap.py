"""Bootstrap intervals over features: the feature is what was drawn, so it is what is drawn again, with all its answers.

A statistic is a function of summed counts, so a resample is a weighted sum of features' counts. Features with equal
counts are drawn together (a multinomial draw), which makes thousands of resamples a matter of milliseconds.
`scipy.stats.bootstrap` knows no strata and no clusters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm

from tools.maths import Interval

RESAMPLES = 4000
LEVEL = 0.95
FEWEST_DEFINED = 0.5
"""Resamples in which the statistic exists; with fewer there is no interval."""

Statistic = Callable[[np.ndarray], np.ndarray]
"""Sums of counts, with any leading dimensions -> one number each."""


class Units(NamedTuple):
    """Features with equal counts in the same group, taken together."""

    cells: Float[np.ndarray, "units ..."]
    sizes: Int[np.ndarray, " units"]
    groups: Int[np.ndarray, " units"]

    @property
    def total(self) -> Float[np.ndarray, "*cell"]:
        """Counts of all features."""
        return np.tensordot(self.sizes.astype(float), self.cells, 1)


def gather_units(cells: Float[np.ndarray, "n ..."], groups: Int[np.ndarray, " n"] | None = None) -> Units:
    """Features' counts, equal ones taken together.

    Args:
        cells: counts of each feature.
        groups: features are drawn again within their group; one group if None.
    """
    group = np.zeros(len(cells), dtype=np.int64) if groups is None else groups
    table = np.column_stack([group, cells.reshape(len(cells), -1)])
    rows, sizes = np.unique(table, axis=0, return_counts=True)
    return Units(rows[:, 1:].reshape(-1, *cells.shape[1:]), sizes, rows[:, 0].astype(np.int64))


def resample(units: Units, seed: int, resamples: int = RESAMPLES) -> Float[np.ndarray, "resamples ..."]:
    """Sums of counts over features drawn again with replacement, as many in each group as there are."""
    rng = np.random.default_rng(seed)
    drawn = np.zeros((resamples, len(units.sizes)))
    for group in np.unique(units.groups):
        members = units.groups == group
        n = int(units.sizes[members].sum())
        drawn[:, members] = rng.multinomial(n, units.sizes[members] / n, size=resamples)
    return np.tensordot(drawn, units.cells, 1)


def bca_interval(
    units: Units, sums: Float[np.ndarray, "resamples ..."], statistic: Statistic, level: float = LEVEL
) -> Interval | None:
    """Bias-corrected and accelerated bootstrap interval (Efron 1987); None where the statistic is seldom defined.

    Args:
        units: of the sample.
        sums: of its resamples.
        statistic: of summed counts.
        level: of confidence.
    """
    value, replicates = float(statistic(units.total)), statistic(sums)
    replicates = np.sort(replicates[~np.isnan(replicates)])
    if np.isnan(value) or len(replicates) < FEWEST_DEFINED * len(sums):
        return None
    # Rounding makes equal replicates differ in their last bits: what is within it counts as equal.
    below = np.searchsorted(replicates, value - 1e-12, "left") + np.searchsorted(replicates, value + 1e-12, "right")
    if replicates[0] >= value - 1e-12 and replicates[-1] <= value + 1e-12:
        return Interval(value, value)
    share = np.clip(below / (2 * len(replicates)), 1 / len(replicates), 1 - 1 / len(replicates))
    bias, acceleration = norm.ppf(share), _acceleration(units, statistic)
    ends = bias + norm.ppf([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(replicates, norm.cdf(bias + ends / (1 - acceleration * ends)))
    return Interval(float(min(low, value)), float(max(high, value)))


def _acceleration(units: Units, statistic: Statistic) -> float:
    """From leaving out one feature at a time, group by group (Davison and Hinkley 1997, section 5.3)."""
    left = statistic(units.total - units.cells)
    known = ~np.isnan(left)
    influence, group_sizes = np.zeros(len(left)), np.ones(len(left))
    for group in np.unique(units.groups):
        members = (units.groups == group) & known
        n = units.sizes[units.groups == group].sum()
        group_sizes[units.groups == group] = n
        if members.any():
            mean = np.average(left[members], weights=units.sizes[members])
            influence[members] = (n - 1) * (mean - left[members])
    second = float((units.sizes * influence**2 / group_sizes**2).sum())
    third = float((units.sizes * influence**3 / group_sizes**3).sum())
    return third / (6 * second**1.5) if second > 0 else 0.0
