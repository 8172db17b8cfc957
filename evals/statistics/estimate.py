"""A figure with its interval: how it is made from counts or a bootstrap, and how it is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.stats import t as student

from evals.statistics.bootstrap import Statistic, Units, bca_interval
from tools.maths import wilson_interval
from tools.records import Record

Method = Literal[
    "bca",
    "wilson",
    "percentile",
    "no disagreement",
    "one answer only",
    "permutations",
    "lang-reiczigel",
    "mover",
    "student",
    "none",
]
"""Of an interval. `percentile`: of a bootstrap. `no disagreement`: the exact bound of a rate of which nothing was seen. `one
answer only`: every resample gives the same figure. `permutations`: the middle 95 % under the null, no interval of
confidence."""


class Estimate(Record):
    """A figure and its 95 % interval."""

    value: float | None
    low: float | None = None
    high: float | None = None
    method: Method = "none"


def estimate_share(successes: float, n: float) -> Estimate:
    """A share of `n` independent answers with Wilson's interval; no figure where there is no answer."""
    if n == 0:
        return Estimate(value=None)
    interval = wilson_interval(round(successes), round(n))
    return Estimate(value=float(successes / n), low=interval.low, high=interval.high, method="wilson")


def estimate_student(values: Sequence[float]) -> Estimate:
    """A mean with Student's interval; without one for fewer than two values, or where all are the same.

    For means over few units, of which a bootstrap's interval is too narrow.
    """
    if not values:
        return Estimate(value=None)
    mean, n = float(np.mean(values)), len(values)
    if n < 2 or np.ptp(values) == 0:
        return Estimate(value=mean, method="none" if n < 2 else "one answer only")
    reach = float(student.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n))
    return Estimate(value=mean, low=mean - reach, high=mean + reach, method="student")


def estimate_statistic(
    statistic: Statistic, units: Units, sums: np.ndarray, extreme: np.ndarray | None = None
) -> Estimate:
    """A statistic of resampled features with its BCa interval.

    Where every resample gives the same figure there is no interval: features that happen to agree, or a single one, say
    nothing of how far others would lie, and an interval from a figure to itself would be read as certainty. The method
    `one answer only` says why there is none.

    Args:
        statistic: of summed counts.
        units: of the sample.
        sums: of its resamples.
        extreme: the farthest counts that such a sample may come from, where they are known; the interval then reaches there.
    """
    value = float(statistic(units.total))
    if math.isnan(value):
        return Estimate(value=None)
    interval = bca_interval(units, sums, statistic)
    if interval is None:
        return Estimate(value=value)
    if interval.low < interval.high:
        return Estimate(value=value, low=interval.low, high=interval.high, method="bca")
    end = math.nan if extreme is None else float(statistic(extreme))
    if math.isnan(end):
        return Estimate(value=value, method="one answer only")
    return Estimate(value=value, low=min(end, value), high=max(end, value), method="no disagreement")


def format_estimate(estimate: Estimate | None, form: str = ".2f") -> str:
    """`0.42 [0.31, 0.53]`, in any number format; a dash where there is none."""
    return "-" if estimate is None else format_figures(estimate.value, estimate.low, estimate.high, form)


def format_figures(value: float | None, low: float | None = None, high: float | None = None, form: str = ".2f") -> str:
    """The same of a figure and the ends of its interval; without one of the ends the figure alone."""
    if value is None:
        return "-"
    return f"{value:{form}}" if low is None or high is None else f"{value:{form}} [{low:{form}}, {high:{form}}]"


def list_cells(estimate: Estimate) -> tuple[str, ...]:
    """Value, ends and method for a CSV."""
    return (*map(format_cell, (estimate.value, estimate.low, estimate.high)), estimate.method)


def format_cell(value: float | None) -> str:
    """A figure for a CSV, empty if there is none."""
    return "" if value is None else f"{value:.6g}"
