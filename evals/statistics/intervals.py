"""Intervals of proportions that are put together from others: weighted strata, ratios, corrected tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from statsmodels.stats.proportion import proportion_confint

from evals.statistics.estimate import Estimate
from tools.maths import Interval

Z = 1.959964
"""Of 95 %, two-sided."""


class Part(NamedTuple):
    """A stratum's share with its interval."""

    value: float
    low: float
    high: float


def sample_worth(variance: float) -> float:
    """The size of a simple random sample with that variance, in units of the variance of one draw."""
    return 1 / variance if variance > 0 else math.inf


def wilson_at(value: float, n: float) -> Part:
    """Wilson's interval at a real-valued sample size."""
    if math.isinf(n):
        return Part(value, value, value)
    low, high = proportion_confint(value * n, n, method="wilson")
    return Part(value, min(value, float(low)), max(value, float(high)))


def join_strata(parts: Sequence[Part], weights: Float[np.ndarray, " strata"]) -> Estimate:
    """Weighted sum of independent estimates with the interval that their own intervals imply (MOVER)."""
    value, low, high = (np.array([getattr(part, side) for part in parts]) for side in ("value", "low", "high"))
    total = float(weights @ value)
    below, above = (float(np.sqrt(((weights * apart) ** 2).sum())) for apart in (value - low, high - value))
    return Estimate(value=total, low=max(0.0, total - below), high=min(1.0, total + above), method="mover")


def share_found(found: Estimate, missed: Estimate) -> Estimate:
    """What was found, over what was found and missed, of two independent estimates.

    The interval holds every share r for which (1 - r) found - r missed may be 0 (Fieller's argument, with MOVER's
    intervals): it needs nothing to have been seen on either side.
    """
    f, f_low, f_high = found.value or 0.0, found.low or 0.0, found.high or 0.0
    m, m_low, m_high = missed.value or 0.0, missed.low or 0.0, missed.high or 0.0
    if f + m == 0:
        return Estimate(value=None)

    def lowest(r: float) -> float:
        return (1 - r) * f - r * m - math.hypot((1 - r) * (f - f_low), r * (m_high - m))

    def highest(r: float) -> float:
        return (1 - r) * f - r * m + math.hypot((1 - r) * (f_high - f), r * (m - m_low))

    value = f / (f + m)
    low, high = _root(lowest, beyond=0.0), _root(highest, beyond=1.0)
    return Estimate(value=value, low=min(low, value), high=max(high, value), method="mover")


def _root(margin: Callable[[float], float], beyond: float) -> float:
    """Where a falling margin reaches 0 between 0 and 1; `beyond` if it does not."""
    if not margin(0) > 0 > margin(1):
        return beyond
    found: Any = brentq(margin, 0, 1)
    return float(found)


def lang_reiczigel_interval(
    share: float, n: float, sensitivity: float, n_yes: float, specificity: float, n_no: float
) -> Interval:
    """Interval of a prevalence corrected for an imperfect test with estimated error rates (Lang and Reiczigel 2014).

    Args:
        share: of positive tests, among `n`.
        n: number tested; infinite where all were.
        sensitivity: found on `n_yes` true cases.
        n_yes: their number.
        specificity: found on `n_no` others.
        n_no: their number.
    """
    p = share if math.isinf(n) else (n * share + Z * Z / 2) / (n + Z * Z)
    se, sp = (n_yes * sensitivity + 1) / (n_yes + 2), (n_no * specificity + 1) / (n_no + 2)
    better = se + sp - 1
    if better <= 0:
        return Interval(0.0, 1.0)
    value = (p + sp - 1) / better
    v_se, v_sp = se * (1 - se) / (n_yes + 2), sp * (1 - sp) / (n_no + 2)
    shift = 2 * Z * Z * (value * v_se - (1 - value) * v_sp)
    v_p = 0.0 if math.isinf(n) else p * (1 - p) / (n + Z * Z)
    error = math.sqrt(v_p + value**2 * v_se + (1 - value) ** 2 * v_sp) / better
    low, high = (min(1.0, max(0.0, value + shift + side * Z * error)) for side in (-1, 1))
    return Interval(low, high)
