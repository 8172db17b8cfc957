"""The unit that matters: SAEs of other seeds, and the difference of arm means against the noise between them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import ttest_ind

from evals.arms.guards import ComparisonError, compare_settings
from evals.arms.measures import MEASURES
from evals.arms.results import ArmSummary, SeedTest
from tools.maths import Interval

NO_NOISE = 1e-12


class Seeds(NamedTuple):
    """SAEs of each arm's model, the two compared ones first."""

    base: list[ArmSummary]
    finetuned: list[ArmSummary]
    faults: list[str]


def sort_seeds(base: ArmSummary, finetuned: ArmSummary, others: Iterable[ArmSummary]) -> Seeds:
    """Put each summary to the arm whose model it ran; of SAEs that are there already only what they share is read.

    Raises:
        ComparisonError: one ran neither model.
    """
    seeds = Seeds([base], [finetuned], [])
    for one in others:
        sides = [side for side in (seeds.base, seeds.finetuned) if side[0].model_sha256 == one.model_sha256]
        if not sides:
            raise ComparisonError(
                f"run {one.run_id} of arm {one.arm} ran neither arm's model: --replicates takes runs of the same two models "
                "with other SAEs"
            )
        side = sides[0]
        twin = next((place for place, known in enumerate(side) if known.sae_sha256 == one.sae_sha256), None)
        if twin is None:
            seeds.faults.extend(compare_settings(side[0], one).found)
            side.append(one)
        else:
            shared = {**one.shared_with, **side[twin].shared_with}
            side[twin] = side[twin].model_copy(update={"shared_with": shared})
    return seeds


def compare_over_seeds(seeds: Seeds) -> dict[str, SeedTest]:
    """Every measure over the SAEs; those that some SAE lacks, or that never vary, are left out."""
    found: dict[str, SeedTest] = {}
    for measure in MEASURES:
        sides = [[one.figures.get(measure.key) for one in side] for side in (seeds.base, seeds.finetuned)]
        known = [[value for value in side if value is not None] for side in sides]
        if [len(side) for side in known] != [len(side) for side in sides]:
            continue
        if (tested := compare_seeds(*known)) is not None:
            found[measure.key] = tested
    return found


def compare_seeds(base: Sequence[float], finetuned: Sequence[float]) -> SeedTest | None:
    """Arm means over SAE seeds against seed-to-seed noise; None with fewer than two SAEs in an arm."""
    left, right = np.array(base, dtype=float), np.array(finetuned, dtype=float)
    n, m = len(left), len(right)
    if min(n, m) < 2:
        return None
    noise = math.sqrt((((left - left.mean()) ** 2).sum() + ((right - right.mean()) ** 2).sum()) / (n + m - 2))
    difference = float(right.mean() - left.mean())
    interval, p = Interval(difference, difference), float(difference == 0)
    if noise > NO_NOISE:
        tested: Any = ttest_ind(right, left, equal_var=False)
        ends = tested.confidence_interval(0.95)
        interval, p = Interval(float(ends.low), float(ends.high)), float(tested.pvalue)
    return SeedTest(
        base=tuple(base),
        finetuned=tuple(finetuned),
        difference=difference,
        low=interval.low,
        high=interval.high,
        p=p,
        p_permutation=deal_p(left, right),
        least_p=least_p(n, m),
        noise=noise,
    )


def deal_p(base: Float[np.ndarray, " n"], finetuned: Float[np.ndarray, " m"]) -> float:
    """Exact two-sided p-value of a difference of means over all ways to deal the values to the arms.

    As `scipy.stats.permutation_test` where arms are equally large; where not, it doubles the smaller tail.
    """
    pooled = np.concatenate([base, finetuned])
    deals = np.array(list(itertools.combinations(range(len(pooled)), len(base))))
    chosen = pooled[deals].sum(1)
    found = np.abs((pooled.sum() - chosen) / len(finetuned) - chosen / len(base))
    return float((found >= abs(finetuned.mean() - base.mean()) - 1e-12).mean())


def least_p(n: int, m: int) -> float:
    """The smallest two-sided p-value of a permutation test with so many units: 0.1 for three against three."""
    return (2 if n == m else 1) / math.comb(n + m, n)
