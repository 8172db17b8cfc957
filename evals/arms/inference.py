"""Differences between two arms: intervals, tests and effect sizes over features.

Over features, an arm's features are taken for a sample of those that such an SAE may have; that says whether two SAEs differ,
not whether fine-tuning did it. Only SAEs of other seeds say how much two SAEs of the same model differ anyway.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import fisher_exact
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_effectsize

from evals.arms.results import Test
from evals.arms.samples import Sample
from evals.statistics.bootstrap import RESAMPLES, Statistic, gather_units, resample
from evals.statistics.estimate import Estimate, estimate_share, estimate_statistic

PERMUTATIONS = 9999
EXACT = 20_000
"""Ways to deal features to two arms up to which all of them are tried."""
BLOCK = 8_000_000
"""Numbers drawn at a time by the bootstrap: 64 MB."""
NO_TAIL = 1e-12


class Differs(NamedTuple):
    """One measure in two arms."""

    base: Estimate
    finetuned: Estimate
    difference: Estimate
    p: float | None
    test: Test
    effect: float | None


def compare_samples(base: Sample, finetuned: Sample, is_share: bool, seed: int) -> Differs:
    """Both figures, their difference with a bootstrap interval within strata, a test and an effect size.

    Args:
        base: the first arm's values.
        finetuned: the second's; differences are this less the first.
        is_share: whether values are 0 or 1.
        seed: of resamples and permutations.
    """
    left, right = base.value, finetuned.value
    if left is None or right is None:
        return Differs(Estimate(value=left), Estimate(value=right), Estimate(value=None), None, "none", None)
    drawn = _Resampled(base, finetuned, seed)
    difference = drawn.estimate(_difference(base, finetuned))
    simple = base.plain and finetuned.plain
    if not simple:
        p, test = drawn.tail(_difference(base, finetuned)), "bootstrap"
    elif is_share:
        p, test = _fisher(base.values, finetuned.values), "exact"
    else:
        p, test = permutation_p(base.values, finetuned.values, seed), "permutation"
    return Differs(
        base=_share(base) if base.plain and is_share else drawn.estimate(_figure(base, 0)),
        finetuned=_share(finetuned) if finetuned.plain and is_share else drawn.estimate(_figure(finetuned, 1)),
        difference=difference,
        p=p,
        test=test,
        effect=cohen_h(left, right) if is_share else hedges_g(base, finetuned),
    )


class _Resampled:
    """Both arms' features drawn again within their groups: sums and counts by arm and group."""

    def __init__(self, base: Sample, finetuned: Sample, seed: int) -> None:
        n_groups = max(len(base.weights), len(finetuned.weights))
        samples = (base, finetuned)
        groups = np.concatenate([arm * n_groups + sample.groups for arm, sample in enumerate(samples)])
        values = np.concatenate([sample.values for sample in samples])
        cells = np.zeros((len(values), 2, n_groups, 2))
        cells.reshape(len(values), -1, 2)[np.arange(len(values)), groups] = np.stack([values, np.ones_like(values)], 1)
        self.units = gather_units(cells, groups)
        at_once = max(1, BLOCK // max(1, len(self.units.sizes)))
        starts = range(0, RESAMPLES, at_once)
        self.sums = np.concatenate(
            [resample(self.units, seed + start, min(at_once, RESAMPLES - start)) for start in starts]
        )

    def estimate(self, statistic: Statistic) -> Estimate:
        return estimate_statistic(statistic, self.units, self.sums)

    def tail(self, statistic: Statistic) -> float:
        """Twice the smaller share of resamples beyond 0, never 0."""
        found = statistic(self.sums)
        found = found[~np.isnan(found)]
        below, above = ((1 + side.sum()) / (1 + len(found)) for side in (found <= 0, found >= 0))
        return float(min(1.0, 2 * min(below, above)))


def _figure(sample: Sample, arm: int) -> Statistic:
    weights = sample.weights

    def figure(sums: np.ndarray) -> np.ndarray:
        own = sums[..., arm, : len(weights), :]
        counts = own[..., 1]
        means = np.where(counts > 0, own[..., 0] / np.where(counts > 0, counts, 1), np.nan)
        return means @ weights

    return figure


def _difference(base: Sample, finetuned: Sample) -> Statistic:
    left, right = _figure(base, 0), _figure(finetuned, 1)
    return lambda sums: right(sums) - left(sums)


def _share(sample: Sample) -> Estimate:
    return estimate_share(float(sample.values.sum()), len(sample.values))


def _fisher(base: Float[np.ndarray, " n"], finetuned: Float[np.ndarray, " m"]) -> float:
    yes = [round(float(side.sum())) for side in (base, finetuned)]
    table = [[count, len(side) - count] for count, side in zip(yes, (base, finetuned), strict=True)]
    tested: Any = fisher_exact(table)
    return float(tested.pvalue)


def permutation_p(base: Float[np.ndarray, " n"], finetuned: Float[np.ndarray, " m"], seed: int) -> float | None:
    """Two-sided p-value of Welch's t under dealing all values anew to the two arms.

    All deals are tried where there are few; else a sample of them, whose p-value is never 0 (Phipson and Smyth 2010).
    Welch's statistic keeps the test near its level when the arms differ in spread alone (Chung and Romano 2013). None
    with fewer than two values on a side. Not `scipy.stats.ttest_ind` with permutations: it doubles the smaller tail, and
    arms of unequal size have two unequal ones; here both tails count by the size of t.
    """
    n = len(base)
    if min(n, len(finetuned)) < 2:
        return None
    pooled = np.concatenate([base, finetuned])
    totals = np.array([pooled.sum(), (pooled**2).sum()])
    observed = _welch(base.sum(), (base**2).sum(), n, totals, len(pooled))
    if math.comb(len(pooled), n) <= EXACT:
        deals = np.array(list(itertools.combinations(range(len(pooled)), n)))
        found = _welch(pooled[deals].sum(1), (pooled[deals] ** 2).sum(1), n, totals, len(pooled))
        return float((found >= observed * (1 - 1e-9)).mean())
    rng = np.random.default_rng(seed)
    sums = np.empty((PERMUTATIONS, 2))
    for row in range(PERMUTATIONS):
        dealt = pooled[rng.permutation(len(pooled))[:n]]
        sums[row] = dealt.sum(), dealt @ dealt
    found = _welch(sums[:, 0], sums[:, 1], n, totals, len(pooled))
    return float((1 + (found >= observed * (1 - 1e-9)).sum()) / (1 + PERMUTATIONS))


def _welch(
    sums: Float[np.ndarray, " *deals"],
    squares: Float[np.ndarray, " *deals"],
    n: int,
    totals: Float[np.ndarray, 2],
    n_all: int,
) -> Float[np.ndarray, " *deals"]:
    """Size of Welch's t of the first n values against the rest, from sums and sums of squares."""
    m = n_all - n
    mean, other = sums / n, (totals[0] - sums) / m
    spread: np.ndarray = np.maximum(squares - n * mean**2, 0) / (n * (n - 1))
    spread = spread + np.maximum(totals[1] - squares - m * other**2, 0) / (m * (m - 1))
    return np.abs(mean - other) / np.sqrt(np.maximum(spread, NO_TAIL))


def adjust(p_values: Sequence[float], method: str) -> list[float]:
    """P-values corrected for their number, so that the chance of any false finding, or their expected share, is kept.

    Args:
        p_values: of the tests.
        method: `holm` for the chance (Holm 1979), `fdr_bh` for the share (Benjamini and Hochberg 1995).
    """
    corrected: Any = multipletests(p_values, method=method)[1] if p_values else np.empty(0)
    return corrected.tolist()


def cohen_h(base: float, finetuned: float) -> float:
    """Difference of two shares on the arcsine scale: 0.2 small, 0.5 middling, 0.8 large (Cohen 1988)."""
    return float(proportion_effectsize(*np.clip((finetuned, base), 0, 1)))


def hedges_g(base: Sample, finetuned: Sample) -> float | None:
    """Difference over the standard deviation of features within strata, corrected for small samples (Hedges 1981)."""
    squares, freedom = 0.0, 0
    for sample in (base, finetuned):
        for group in range(len(sample.weights)):
            values = sample.values[sample.groups == group]
            squares += float(((values - values.mean()) ** 2).sum())
            freedom += len(values) - 1
    left, right = base.value, finetuned.value
    if left is None or right is None or freedom < 2 or squares <= 0:
        return None
    return (right - left) / math.sqrt(squares / freedom) * (1 - 3 / (4 * freedom - 1))
