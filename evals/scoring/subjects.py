"""Which features of a run can be scored, and on what. None is dropped: what cannot be scored is listed with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from agent.errors import RunError
from agent.folder.records import Decision
from evals.errors import LabelError
from evals.manual.records import ANNOTATION, Label
from evals.scoring.detection import Item, detection_items
from evals.scoring.fuzzing import fuzzing_items
from evals.scoring.records import FeatureScore, Status, Task
from tools.activity.heldout import HeldOut

FEWEST = 5
"""Active held-out contexts that a feature needs to be scored."""


class Subject(NamedTuple):
    """One feature with a label and enough text."""

    decision: Decision
    label: str
    held_out: HeldOut
    items: dict[Task, list[Item]]
    graded: HeldOut | None = None
    """Drawn by level, for the tasks by level; None where nothing was."""
    why: str | None = None
    """It is scored by level alone: noise may leave no text in which nothing is active."""

    @property
    def key(self) -> str:
        """The feature's."""
        return self.decision.feature.key

    @property
    def real(self) -> bool:
        """It is a feature and no random direction."""
        return self.decision.feature.kind == "feature"


def choose_decisions(decisions: Sequence[Decision], chosen: Sequence[str] | None) -> list[Decision]:
    """Decisions on the features named, in their order in the run; all of them if none is.

    Args:
        decisions: of a run.
        chosen: numbers or keys; a number means a feature, not a random direction.

    Raises:
        RunError: there is no decision, or one of the features is not among them.
    """
    if not decisions:
        raise RunError("the run has no decision yet")
    if chosen is None:
        return list(decisions)
    wanted = set(chosen)
    names = {
        decision.feature.key: {decision.feature.key, str(decision.feature.index)}
        if decision.feature.kind == "feature"
        else {decision.feature.key}
        for decision in decisions
    }
    unknown = wanted - set().union(*names.values())
    if unknown:
        raise RunError(f"the run has no decision on: {', '.join(sorted(unknown))}; try {', '.join(list(names)[:4])}")
    return [decision for decision in decisions if names[decision.feature.key] & wanted]


class Labelled(NamedTuple):
    """Decisions with the labels that are scored."""

    decisions: list[Decision]
    by: str
    """Who named the features."""


def take_own_labels(decisions: Sequence[Decision]) -> Labelled:
    """The run's own labels, by the judge of most of it."""
    names = Counter(decision.judge.model or decision.judge.kind for decision in decisions)
    return Labelled(list(decisions), names.most_common(1)[0][0])


def take_annotations(decisions: Sequence[Decision], labels: Sequence[Label], annotator: str | None) -> Labelled:
    """Labels that somebody else gave the run's features, instead of the run's own.

    Args:
        decisions: of the run.
        labels: those that answer the question `annotation` count.
        annotator: whose; None if there is only one.

    Raises:
        LabelError: there are none, or of several annotators and none is named.
    """
    named = [label for label in labels if label.question == ANNOTATION and annotator in (None, label.annotator)]
    fitting = [
        (decision.feature.key, label) for decision in decisions for label in named if label.item.fits(decision.feature)
    ]
    people = sorted({label.annotator for _, label in fitting})
    if not people:
        raise LabelError("no annotation fits a feature of the run: what is scored answers the question 'annotation'")
    if len(people) > 1:
        raise LabelError(f"annotations of {', '.join(people)}: name one of them with --annotator")
    texts = {key: str(label.value) for key, label in fitting}
    given = [decision.model_copy(update={"label": texts.get(decision.feature.key)}) for decision in decisions]
    return Labelled(given, people[0])


def find_subjects(
    decisions: Sequence[Decision], held_out: Sequence[HeldOut], seed: int, graded: Sequence[HeldOut] = ()
) -> tuple[list[Subject], list[FeatureScore]]:
    """Features that can be scored, and what is said of the others: none is dropped.

    Args:
        decisions: those to be scored.
        held_out: of those among them that have a label, in any order.
        seed: of the items.
        graded: of the same, drawn by level (`evals.scoring.levels`); those that are not there are not scored by level.
    """
    by_key = {one.feature.key: one for one in held_out}
    by_level = {one.feature.key: one for one in graded}
    subjects: list[Subject] = []
    others: list[FeatureScore] = []
    for decision in decisions:
        found = by_key.get(decision.feature.key)
        if found is None or decision.label is None:
            failure = decision.failure
            why = f"{failure.type}: {failure.message}" if failure else "it has no label"
            others.append(describe(decision, None, "failed" if failure else "no label", why))
            continue
        items: dict[Task, list[Item]] = {
            "detection": detection_items(found, seed),
            "fuzzing": fuzzing_items(found, seed),
        }
        why = _why_not(found, items)
        asked: dict[Task, list[Item]] = {} if why else items
        levels = by_level.get(decision.feature.key)
        if levels and not _why_not(levels, by := items_by_level(levels, seed)):
            asked |= by
        if asked:
            subjects.append(Subject(decision, decision.label, found, asked, levels, why))
        else:
            others.append(describe(decision, found, "not scorable", why))
    return subjects, others


def items_by_level(levels: HeldOut, seed: int) -> dict[Task, list[Item]]:
    """What is asked of one direction by level."""
    return {
        "detection by level": detection_items(levels, seed, "detection by level"),
        "fuzzing by level": fuzzing_items(levels, seed, "fuzzing by level"),
        "simulation": detection_items(levels, seed, "simulation"),
    }


def _why_not(held_out: HeldOut, items: Mapping[Task, Sequence[Item]]) -> str | None:
    n = len(held_out.active)
    if n < FEWEST:
        return (
            f"active in {held_out.active_stretches} of {held_out.stretches:,} held-out stretches, {n} contexts drawn: "
            f"{FEWEST} are needed"
        )
    lacking = [task for task, asked in items.items() if all(item.truth for item in asked)]
    return f"no text for {' and '.join(lacking)} in which it is silent" if lacking else None


def describe(decision: Decision, held_out: HeldOut | None, status: Status, why: str | None = None) -> FeatureScore:
    """A feature without figures: those are put in where it is scored."""
    return FeatureScore(
        feature=decision.feature,
        stratum=decision.stratum,
        relevant=decision.relevant,
        label=decision.label,
        status=status,
        why=why,
        active_stretches=held_out and held_out.active_stretches,
        stretches=held_out and held_out.stretches,
        token_share=held_out and held_out.active_tokens / held_out.tokens,
    )
