"""Arms over targets, and the comparisons that were named before anything was seen: a scheme against its controls and asking.

Everything is paired: a target's figure is a mean over what both arms have of it, beginning by beginning or document by
document. Means over targets have Student's intervals, for a bootstrap of eight is too narrow; differences are tested by
flipping signs of targets, and all of a report's tests are corrected together by Holm's method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, median
from typing import Any

import numpy as np
from scipy.stats import permutation_test
from statsmodels.stats.multitest import multipletests

from agent.folder.steered import Scheme
from evals.statistics.estimate import Estimate, estimate_student
from evals.steerings.results import ArmRow, Compared
from evals.steerings.runs import PROMPT, UNSTEERED, Arm, Together, Toward, Values

Measure = Callable[[Arm], Values]
MEASURES: dict[str, Measure] = {
    "likeness": lambda arm: arm.likeness,
    "nats": lambda arm: {spot: -value for spot, value in arm.nats.items()},
    "wins": lambda arm: arm.wins,
}
"""What is compared, each so that more is better: likeness by word vectors, likelihood of held-out text, wins before a model."""


def tabulate(together: Together) -> tuple[ArmRow, ...]:
    """A row an arm, unsteered writing first."""
    return tuple(_row(arm, together.targets) for arm in together.arms)


def compare(together: Together, seed: int) -> tuple[Compared, ...]:
    """Every named comparison that some target allows, with its test, corrected together."""
    found = [
        _compare(together.targets, scheme, other, measure, seed)
        for scheme in together.schemes
        for other in controls_of(scheme, together.arms)
        for measure in MEASURES
    ]
    found = [one for one in found if one.targets]
    tested = [one.p for one in found if one.p is not None]
    holm: Any = multipletests(tested, method="holm") if tested else ((), ())
    corrected = iter(map(float, holm[1]))
    return tuple(one if one.p is None else one.model_copy(update={"p_corrected": next(corrected)}) for one in found)


def controls_of(scheme: Scheme, arms: Sequence[str]) -> list[str]:
    """What a scheme is held against: its own with other scores, and the prompt that asks."""
    return [arm for arm in arms if arm.startswith(f"{scheme}, ") or arm == PROMPT]


def paired(own: Values, other: Values) -> float | None:
    """Mean difference over what both have; None where that is nothing."""
    both = own.keys() & other.keys()
    return fmean(own[spot] - other[spot] for spot in both) if both else None


def sign_test(differences: Sequence[float], seed: int) -> float | None:
    """Two-sided p-value of a mean if each difference could as well have had the other sign; None for fewer than two.

    Exact where there are at most 9,999 ways to flip them, else of so many drawn.
    """
    if len(differences) < 2:
        return None
    tested: Any = permutation_test(
        (np.array(differences),),
        lambda values, axis: np.mean(values, axis=axis),
        permutation_type="samples",
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(min(1.0, tested.pvalue))


def _compare(targets: Sequence[Toward], arm: str, against: str, measure: str, seed: int) -> Compared:
    take = MEASURES[measure]
    each = [paired(take(one.arms[arm]), take(one.arms[against])) for one in targets]
    differences = [value for value in each if value is not None]
    return Compared(
        measure=measure,
        arm=arm,
        against=against,
        targets=len(differences),
        difference=estimate_student(differences),
        p=sign_test(differences, seed),
        p_corrected=None,
    )


def _row(arm: str, targets: Sequence[Toward]) -> ArmRow:
    def over(figure: Callable[[Arm, Arm], float | None]) -> Estimate:
        each = [figure(one.arms[arm], one.arms[UNSTEERED]) for one in targets]
        return estimate_student([value for value in each if value is not None])

    def gained(take: Measure) -> Estimate:
        return Estimate(value=None) if arm == UNSTEERED else over(lambda own, plain: paired(take(own), take(plain)))

    return ArmRow(
        arm=arm,
        targets=sum(bool(one.arms[arm].likeness or one.arms[arm].nats) for one in targets),
        nats=gained(MEASURES["nats"]),
        likeness=gained(MEASURES["likeness"]),
        encoder=gained(lambda own: own.encoder),
        wins=over(lambda own, _: _mean(own.wins)),
        rated=over(lambda own, _: _mean(own.rated)),
        collapsed=over(lambda own, _: _mean(own.collapsed)),
        fluency=Estimate(value=None) if arm == UNSTEERED else over(_fluency_lost),
        kl=over(lambda own, _: _mean(own.kl)),
    )


def _mean(values: Values) -> float | None:
    return fmean(values.values()) if values else None


def _fluency_lost(own: Arm, plain: Arm) -> float | None:
    medians = [median(arm.perplexity.values()) if arm.perplexity else 0.0 for arm in (own, plain)]
    return math.log(medians[0] / medians[1]) if min(medians) > 0 else None
