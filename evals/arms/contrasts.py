"""All measures of two arms side by side, with their p-values corrected for their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from evals.arms.inference import adjust, compare_samples
from evals.arms.measures import MEASURES, Measure
from evals.arms.results import ArmSummary, Measured, SeedTest, Spread
from evals.arms.runs import Arm
from evals.arms.seeds import Seeds, compare_over_seeds


def contrast_arms(
    base: Arm,
    finetuned: Arm,
    seeds: Seeds,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> list[Measured]:
    """Every measure in both arms, tested over features and, where there are several SAEs, over these.

    Args:
        base: the first arm.
        finetuned: the second.
        seeds: the SAEs of either arm.
        seed: of resamples and permutations.
        advance: called after each measure.
    """
    found: list[Measured] = []
    tests, bounds = compare_over_seeds(seeds), bound_difference(seeds.base, seeds.finetuned)
    for measure in MEASURES:
        one = _contrast(measure, base, finetuned, tests.get(measure.key), seed)
        bounded = measure.key == "relevant" and one.lost is None
        found.append(one.model_copy(update={"bounds": bounds}) if bounded else one)
        advance()
    return _correct_seeds(_correct(found))


def bound_difference(base: Sequence[ArmSummary], finetuned: Sequence[ArmSummary]) -> tuple[float, float] | None:
    """The difference of the shares of relevant features, whatever the candidates are of which nothing is known."""
    sides = [[one.relevant_bounds for one in side] for side in (base, finetuned)]
    known = [[ends for ends in side if ends is not None] for side in sides]
    if known != sides or all(low == high for side in known for low, high in side):
        return None
    (low, high), (other_low, other_high) = (np.mean(side, axis=0) for side in known)
    return float(other_low - high), float(other_high - low)


def _contrast(measure: Measure, base: Arm, finetuned: Arm, test: SeedTest | None, seed: int) -> Measured:
    left, right = measure.sample(base), measure.sample(finetuned)
    lost = [f"arm {arm.name}: {why}" for arm in (base, finetuned) if (why := measure.why_lost(arm))]
    differs = compare_samples(left, right, measure.is_share, seed)
    return Measured(
        key=measure.key,
        name=measure.name,
        definition=measure.definition,
        over=measure.over,
        claim=measure.claim,
        is_share=measure.is_share,
        base=differs.base,
        finetuned=differs.finetuned,
        n_base=left.n,
        n_finetuned=right.n,
        difference=differs.difference,
        p=differs.p,
        test=differs.test,
        effect=differs.effect,
        seeds=None if lost else test,
        lost="; ".join(lost) or None,
    )


def _correct(measured: Sequence[Measured]) -> list[Measured]:
    """Holm over the measures that verdicts rest on, Benjamini and Hochberg over the others."""
    found = list(measured)
    for of_verdicts, method in ((True, "holm"), (False, "fdr_bh")):
        chosen = [(row, one.p) for row, one in enumerate(found) if (one.claim is not None) == of_verdicts]
        known = [(row, p) for row, p in chosen if p is not None]
        for (row, _), adjusted in zip(known, adjust([p for _, p in known], method), strict=True):
            found[row] = found[row].model_copy(update={"p_adjusted": adjusted})
    return found


def _correct_seeds(measured: Sequence[Measured]) -> list[Measured]:
    """Holm over the measures that verdicts rest on, as tested over SAEs."""
    found = list(measured)
    tests = [(row, one.seeds) for row, one in enumerate(found) if one.claim is not None and one.seeds is not None]
    for (row, test), adjusted in zip(tests, adjust([test.p for _, test in tests], "holm"), strict=True):
        found[row] = found[row].model_copy(update={"seeds": test.model_copy(update={"p_adjusted": adjusted})})
    return found


_SPREADS = ("coherence_hits", "coherence_published", "coherence_relevant", "coherence_all", "coherence_random")


def describe_spreads(base: Arm, finetuned: Arm) -> list[Spread]:
    """Table 2 of the published study, by both definitions; sets that are empty in an arm are left out."""
    found: list[Spread] = []
    for measure in MEASURES:
        if measure.key not in _SPREADS:
            continue
        left, right = measure.sample(base).values, measure.sample(finetuned).values
        if not len(left) or not len(right):
            continue
        difference = float(right.mean() - left.mean())
        ranges = [float(np.ptp(values)) for values in (left, right)]
        found.append(
            Spread(
                definition=measure.definition,
                over=measure.over,
                n=(len(left), len(right)),
                mean=(float(left.mean()), float(right.mean())),
                median=(float(np.median(left)), float(np.median(right))),
                lowest=(float(left.min()), float(right.min())),
                highest=(float(left.max()), float(right.max())),
                difference=difference,
                normalised=abs(difference) / (sum(ranges) / 2) if sum(ranges) > 0 else None,
            )
        )
    return found
