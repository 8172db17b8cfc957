"""Whether a part of the files can have come from a whole with the published figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from evals.audit.checks import Finding

Group = Sequence[float]
"""Values of one feature."""
Statistic = Callable[..., float]
"""Of one or more arrays of values."""
_RESAMPLES = 199
_Z = 2.5758
"""99 %, two-sided."""


def rounds_to(value: float, published: float, digits: int) -> bool:
    """The value, rounded to as many digits, is the published one."""
    return abs(value - published) <= 0.5 * 10**-digits + 1e-9


def fit_statistic(
    statistic: Statistic, arms: Sequence[Sequence[Group]], wholes: Sequence[int], published: float, digits: int
) -> Finding:
    """A statistic against its published value.

    Args:
        statistic: of one array of values for each arm.
        arms: for each arm the values of each feature that is here.
        wholes: how many features each arm has in the whole.
        published: the value.
        digits: that it is published to.

    Returns:
        With all features there, whether it agrees to the last digit. With a part, whether it lies within 2.6 standard
        errors of a random part of that size: a bootstrap over features, shrunk as sampling without return asks.
    """
    value = statistic(*(np.concatenate([np.asarray(group) for group in arm]) for arm in arms))
    counts = ", ".join(_count(len(arm), whole) for arm, whole in zip(arms, wholes, strict=True))
    recorded = f"{value:.{digits}f} ({counts})"
    if all(len(arm) >= whole for arm, whole in zip(arms, wholes, strict=True)):
        return Finding(recorded, "agrees" if rounds_to(value, published, digits) else "differs")
    error = _standard_error(statistic, arms, wholes)
    fits = abs(value - published) <= _Z * error + 0.5 * 10**-digits
    return Finding(recorded, "fits so far" if fits else "differs")


def _count(n: int, whole: int) -> str:
    return f"{n:,} features" if n >= whole else f"{n:,} of {whole:,} features"


def _standard_error(statistic: Statistic, arms: Sequence[Sequence[Group]], wholes: Sequence[int]) -> float:
    rng = np.random.default_rng(0)
    draws = [_Draws([np.asarray(group, dtype=float) for group in arm]) for arm in arms]
    values = [statistic(*(draw.resample(rng) for draw in draws)) for _ in range(_RESAMPLES)]
    left_out = [max(0.0, 1 - len(arm) / whole) for arm, whole in zip(arms, wholes, strict=True)]
    return float(np.std(values, ddof=1) * np.sqrt(np.mean(left_out)))


class _Draws:
    """Values of an arm, drawn again by feature."""

    def __init__(self, groups: list[np.ndarray]) -> None:
        self._groups = groups
        self._single = np.concatenate(groups) if all(len(group) == 1 for group in groups) else None

    def resample(self, rng: np.random.Generator) -> np.ndarray:
        rows = rng.integers(len(self._groups), size=len(self._groups))
        if self._single is not None:  # thousands of features, one value each
            return self._single[rows]
        return np.concatenate([self._groups[row] for row in rows])
