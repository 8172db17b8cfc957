"""A run's labels held against what its features are known to stand for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from agent.folder.records import Decision
from evals.agreement.calibration import Answered, calibrate
from evals.agreement.results import Calibration
from evals.statistics.estimate import Estimate, estimate_share
from evals.truths.matching import Match, Matcher, Pair
from evals.truths.naming import CONCEPT_OUTCOMES, PLACEBO_OUTCOMES, Held, Outcome, names_nothing, settle
from evals.truths.results import LabelRow, LabelsHeld, MatcherRef, OutcomeRow
from tools.maths import derangement
from tools.truth.known import Kind, KnownFeature

MOST_SWAPPED = 0.2
"""Of pairs that do not belong together called the same: with more, a yes says too little for labels to be called right."""
FEWEST_TO_CALIBRATE = 10


async def hold_labels(
    decisions: Sequence[Decision],
    known: Mapping[int, KnownFeature],
    matcher: Matcher,
    ref: MatcherRef,
    seed: int = 0,
) -> LabelsHeld | None:
    """Every decision on a known feature, held against what it stands for.

    Args:
        decisions: of the run.
        known: what features stand for, by their numbers.
        matcher: who says whether two descriptions are the same.
        ref: how it is recorded.
        seed: of which meanings are exchanged for the control, and of resamples.

    Returns:
        None where the run has no such feature.
    """
    about = [
        (by_input(decision), known[decision.feature.index])
        for decision in decisions
        if decision.feature.kind == "feature" and decision.feature.index in known
    ]
    if not about:
        return None
    asked = [(decision, concept) for decision, concept in about if _is_asked(decision, concept)]
    pairs = [Pair(decision.label or "", concept) for decision, concept in asked]
    swapped = swap(pairs, seed)
    answers = await matcher.match([*pairs, *swapped])
    own, others = answers[: len(pairs)], [match for match in answers[len(pairs) :] if match.same is not None]
    by_key = {decision.feature.key: match for (decision, _), match in zip(asked, own, strict=True)}
    held = [
        settle(decision, concept, by_key.get(decision.feature.key, Match(None)).same) for decision, concept in about
    ]
    told = [match.same for match in own if match.same is not None]
    return LabelsHeld(
        matcher=ref,
        rows=tuple(count_outcomes(held)),
        concepts=tuple(_describe(one, by_key.get(one.decision.feature.key)) for one in held),
        swapped=estimate_share(sum(bool(match.same) for match in others), len(others)),
        swapped_pairs=len(others),
        same_group=estimate_share(sum(told), len(told)),
        calibration=calibrate_labels(held, seed),
    )


def by_input(decision: Decision) -> Decision:
    """The decision under the label of where its feature is active, which is what is known; its own where sides were not kept."""
    side = decision.sides.input if decision.sides else None
    if side is None:
        return decision
    return decision.model_copy(update={"label": side.label, "confidence": side.confidence})


def swap(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """Every label with the meaning of another concept: pairs that do not belong together."""
    concepts = list({pair.concept.name: pair.concept for pair in pairs}.values())
    if len(concepts) < 2:
        return []
    order = derangement(len(concepts), seed)
    other = {concept.name: concepts[place] for concept, place in zip(concepts, order, strict=True)}
    return [Pair(pair.label, other[pair.concept.name]) for pair in pairs]


def count_outcomes(held: Sequence[Held]) -> list[OutcomeRow]:
    """A row for each kind of feature there is, and one for all placebos together."""
    kinds: tuple[Kind, ...] = ("concept", "shuffled", "random")
    groups: list[tuple[Kind | str, list[Held]]] = [
        (kind, [one for one in held if one.known.kind == kind]) for kind in kinds
    ]
    placebos = [one for one in held if one.known.kind != "concept"]
    return [_count(group, some) for group, some in [*groups, ("placebos", placebos)] if some]


def _count(group: str, held: Sequence[Held]) -> OutcomeRow:
    is_concept = group == "concept"
    wanted: tuple[Outcome, ...] = CONCEPT_OUTCOMES if is_concept else PLACEBO_OUTCOMES
    found = Counter(one.outcome for one in held)
    return OutcomeRow.model_validate(
        {
            "group": group,
            "features": len(held),
            "counts": {outcome: found[outcome] for outcome in wanted},
            "share": estimate_share(found["right" if is_concept else "named"], len(held)),
        }
    )


def calibrate_labels(held: Sequence[Held], seed: int) -> Calibration | None:
    """The confidence of labels that name something, against their being right; a name for a placebo is wrong.

    Returns:
        None with fewer than ten such labels, or where all are right or all wrong.
    """
    named = [one for one in held if one.outcome in ("right", "wrong", "named") and one.decision.confidence is not None]
    right = np.array([one.outcome == "right" for one in named], dtype=bool)
    if len(named) < FEWEST_TO_CALIBRATE or right.all() or not right.any():
        return None
    confidence = np.array([one.decision.confidence or 0.0 for one in named], dtype=float)
    return calibrate(Answered(confidence, right, np.arange(len(named))), len(held) - len(named), seed)


def is_yes_worth_something(swapped: Estimate) -> bool:
    """Whether a yes of the matcher tells anything: of pairs that do not belong together, few are called the same."""
    return swapped.value is None or swapped.value <= MOST_SWAPPED


def _is_asked(decision: Decision, concept: KnownFeature) -> bool:
    return concept.kind == "concept" and decision.status == "decided" and not names_nothing(decision)


def _describe(held: Held, match: Match | None) -> LabelRow:
    decision, known = held.decision, held.known
    failure = decision.failure
    why = f"{failure.type}: {failure.message}" if failure else match.why if match is not None else ""
    return LabelRow(
        feature=decision.feature,
        group=known.kind,
        name=known.name,
        meaning=known.meaning,
        label=decision.label,
        confidence=decision.confidence,
        outcome=held.outcome,
        why=why,
    )
