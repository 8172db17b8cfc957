"""One examination: a run's decisions beside labels, everything that can be said of the two, and what it rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from agent.folder.records import Decision, Manifest
from evals.agreement.calibration import Answered, calibrate
from evals.agreement.controls import random_direction_row
from evals.agreement.names import collect_figures
from evals.agreement.pairing import (
    FAILED,
    POOLED,
    UNDECIDED,
    Matching,
    answer_of,
    code,
    match,
)
from evals.agreement.prevalence import estimate_prevalence
from evals.agreement.results import Agreement, AltTest, Calibration, Disagreement, PairedTest, Plan, Prevalence, Row
from evals.agreement.rows import HEADLINE, compare, compare_judges, compare_side, confuse
from evals.agreement.sampling import plan_labels, weigh_labels
from evals.agreement.settled import compare_settled, say_settled
from evals.agreement.stand_in import EPSILON, try_stand_ins
from evals.agreement.strata import judge_features, label_features, sample_strata
from evals.errors import LabelError
from evals.manual.records import INPUT, OUTPUT, RELEVANT, Label
from tools.proof.floors import DeadFloor

NEXT = 20
SIDES = {INPUT: "input side", OUTPUT: "output side"}


def examine(
    manifest: Manifest,
    decisions: Sequence[Decision],
    labels: Sequence[Label],
    question: str,
    other: tuple[str, Sequence[Decision]] | None = None,
    epsilon: float = EPSILON,
    n_next: int = NEXT,
    seed: int = 0,
    programs: bool = False,
    floors: Sequence[DeadFloor] = (),
    outcomes: Sequence[Label] = (),
) -> Agreement:
    """Compare a run with labels in every way there is.

    Args:
        manifest: of the run.
        decisions: of the run.
        labels: settled.
        question: what to compare, as in `evals.agreement.pairing.match`.
        other: name and decisions of another run on the same features, to test this one against.
        epsilon: of the alternative annotator test.
        n_next: features to propose for labelling.
        seed: of resamples, shuffles, halves and choices.
        programs: labels that programs made count like people's.
        floors: instruments that measured nothing in the run.
        outcomes: answers that settle a question, one a question.

    Raises:
        LabelError: no label fits.
    """
    matching = match(decisions, labels, question, programs)
    sides = _match_sides(decisions, labels, programs) if question == RELEVANT else {}
    beyond = _look_beyond(manifest, decisions, matching, n_next, seed) if question == RELEVANT else _Beyond()
    pooled = ["a feature's ratings go together: the p-value against the other run is smaller than it should be"]
    remarks = [
        *manifest.caveats,
        *_remarks(matching),
        *_say_mapped(sides.values()),
        *say_settled((matching, *sides.values()), outcomes),
        *_say_floors(floors, looked_at=manifest.floors is not None),
        *(pooled if other is not None and question == POOLED else ()),
        *beyond.remarks,
    ]
    return _assemble(
        manifest,
        decisions,
        matching,
        (*compare(matching, seed), *compare_settled(matching, HEADLINE, outcomes, seed), *beyond.rows),
        sides=tuple(_compare_sides(sides, outcomes, seed)),
        paired=None if other is None else _paired(matching, *other),
        alternative=try_stand_ins(matching, epsilon, seed),
        calibration=_calibration(matching, seed),
        prevalence=beyond.prevalence,
        plan=beyond.plan,
        disagreements=_disagreements(matching),
        remarks=tuple(remarks),
    )


class _Beyond(NamedTuple):
    """What labels say of features that have none."""

    rows: tuple[Row, ...] = ()
    prevalence: Prevalence | None = None
    plan: Plan | None = None
    remarks: tuple[str, ...] = ()


def _look_beyond(
    manifest: Manifest, decisions: Sequence[Decision], matching: Matching, n_next: int, seed: int
) -> _Beyond:
    known = label_features(matching)
    features = judge_features(decisions, known)
    rows = (random_direction_row(decisions), weigh_labels(features, seed))
    samples = sample_strata(manifest.selection, decisions, known)
    return _Beyond(
        rows=tuple(row for row in rows if row is not None),
        prevalence=estimate_prevalence(samples),
        plan=plan_labels(features, n_next, seed),
        remarks=tuple(
            f"no label among the {sample.stratum}: the share in the whole SAE cannot be estimated"
            for sample in samples
            if sample.population and not len(sample.seen[0])
        ),
    )


def _match_sides(decisions: Sequence[Decision], labels: Sequence[Label], programs: bool) -> dict[str, Matching]:
    """The answers about each side that was judged, by the side's name."""
    found: dict[str, Matching] = {}
    if any(decision.sides for decision in decisions):
        for question, name in SIDES.items():
            with suppress(LabelError):  # that side was seen of no feature with a label
                found[name] = match(decisions, labels, question, programs)
    return found


def _compare_sides(sides: Mapping[str, Matching], outcomes: Sequence[Label], seed: int) -> Iterator[Row]:
    for name, matching in sides.items():
        yield compare_side(matching, name, seed)
        yield from compare_settled(matching, name, outcomes, seed)


def _say_mapped(sides: Collection[Matching]) -> list[str]:
    """How answers about the whole were taken for answers about a side."""
    if not (mapped := sum(matching.from_whole for matching in sides)):
        return []
    n = sum(int((matching.people >= UNDECIDED).sum()) for matching in sides)
    return [
        f"{mapped} of the {n} answers about a side were given to the one question about the whole feature: its yes is "
        "taken for a yes to either side, its no for a no, and what it left undecided, as it often did where the sides "
        "differ, is in no comparison"
    ]


def _assemble(
    manifest: Manifest,
    decisions: Sequence[Decision],
    matching: Matching,
    rows: tuple[Row, ...],
    *,
    sides: tuple[Row, ...],
    paired: PairedTest | None,
    alternative: tuple[AltTest, ...],
    calibration: Calibration | None,
    prevalence: Prevalence | None,
    plan: Plan | None,
    disagreements: tuple[Disagreement, ...],
    remarks: tuple[str, ...],
) -> Agreement:
    by_feature = {case.feature.key: one for case, one in zip(matching.cases, matching.judged, strict=True)}
    of_each = {
        name: len({case.feature.key for case in matching.cases if name in case.answers}) for name in matching.annotators
    }
    report = Agreement(
        run_id=manifest.run_id,
        judge=_name_judge(decisions),
        question=matching.question,
        ordinal=matching.ordinal,
        annotators=of_each,
        labelled=len(by_feature),
        failure_rate=sum(one == FAILED for one in by_feature.values()) / len(by_feature),
        undecided_rate=sum(one == UNDECIDED for one in by_feature.values()) / len(by_feature),
        people_undecided=int((matching.people == UNDECIDED).sum()),
        headline=rows[0].name,
        rows=rows,
        sides=sides,
        confusion=confuse(matching),
        paired=paired,
        alternative=alternative,
        calibration=calibration,
        prevalence=prevalence,
        disagreements=disagreements,
        plan=plan,
        remarks=remarks,
    )
    return report.model_copy(update={"figures": collect_figures(report)})


def _name_judge(decisions: Sequence[Decision]) -> str:
    """Who judged most of the run."""
    names = Counter(d.judge.model or d.judge.kind for d in decisions)
    return names.most_common(1)[0][0]


def _paired(matching: Matching, name: str, decisions: Sequence[Decision]) -> PairedTest:
    """Both judges on the features that both decided on."""
    theirs = {(d.feature.sae, d.feature.index, d.feature.kind): d for d in decisions}
    found = [theirs.get((case.feature.sae, case.feature.index, case.feature.kind)) for case in matching.cases]
    shared = np.array([decision is not None for decision in found])
    others = np.array(
        [
            FAILED if one is None else code(answer_of(one, case.question), matching.ordinal)
            for one, case in zip(found, matching.cases, strict=True)
        ]
    )
    return compare_judges(matching.reference[shared], matching.judged[shared], others[shared], name)


def _calibration(matching: Matching, seed: int) -> Calibration | None:
    known, right = matching.reference >= 0, matching.judged == matching.reference
    answered = known & (matching.judged >= 0)
    if answered.sum() < 2:
        return None
    confidence = np.array([case.confidence if case.confidence is not None else 0.5 for case in matching.cases])
    part = Answered(confidence[answered], right[answered], matching.owner[answered])
    return calibrate(part, int((known & ~answered).sum()), seed)


def _disagreements(matching: Matching) -> tuple[Disagreement, ...]:
    """Answers that differ from the people's, the judge's surest first."""
    differ = [
        case
        for case, given, one in zip(matching.cases, matching.reference, matching.judged, strict=True)
        if given >= 0 and one >= 0 and given != one
    ]
    return tuple(
        Disagreement(
            feature=case.feature,
            stratum=case.stratum,
            question=case.question,
            judged=str(case.judged),
            given={name: str(value) for name, value in case.answers.items()},
            confidence=case.confidence,
            label=case.label,
        )
        for case in sorted(differ, key=lambda case: -(case.confidence or 0))
    )


def _say_floors(floors: Sequence[DeadFloor], looked_at: bool) -> list[str]:
    what = "no rule used it" if looked_at else "nobody looked when it was judged, so that verdicts may rest on it"
    return [f"{floor.text}; {what}" for floor in floors]


def _remarks(matching: Matching) -> list[str]:
    remarks: list[str] = []
    if matching.unmatched:
        remarks.append(f"{matching.unmatched} labels are about features that this run did not decide on")
    if matching.programs:
        names = " and ".join(matching.programs)
        remarks.append(f"labels of {names} were made by a program: whatever is said of people here is said of them")
    if matching.machine:
        remarks.append(f"{matching.machine} labels were made by programs and are left out")
    ties = int(((matching.reference < 0) & ((matching.people >= 0).sum(1) > 1)).sum())
    if ties:
        remarks.append(f"on {ties} answers the people have no majority: they are in no test against a consensus")
    if any(case.stratum == "random directions" for case in matching.cases):
        remarks.append("some labels are about random directions; they count like any other answer")
    return remarks
