"""A run's decisions beside the people's labels: the same questions about the same features."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Int

from agent.folder.records import Decision
from agent.folder.sides import Side
from evals.errors import LabelError
from evals.manual.records import (
    INPUT,
    INTERPRETABLE,
    ON_VERDICTS,
    OUTPUT,
    RATINGS,
    RELEVANT,
    Item,
    Label,
    Value,
    is_concept,
    is_rating,
)
from tools.records import FeatureRef, Record, Stratum

POOLED = "ratings"
"""The question that stands for all concepts together."""
UNDECIDED = -1
FAILED = -2
ABSENT = -3
"""Codes for answers that are no category."""


class Case(Record):
    """One question about one feature, as the judge and the people answered it."""

    feature: FeatureRef
    stratum: Stratum
    question: str
    judged: Value | None
    """None: the judge failed."""
    confidence: float | None
    label: str | None
    answers: dict[str, Value]
    """By annotator."""


class Matching(Record):
    """The cases of one examination."""

    question: str
    cases: tuple[Case, ...]
    annotators: tuple[str, ...]
    unmatched: int
    """Labels for the question on features that the run did not decide on."""
    machine: int
    """Labels that a program made, which are left out."""
    from_whole: int = 0
    """Answers about one side that were given to the question about the whole feature."""
    programs: tuple[str, ...] = ()
    """Annotators of whose labels some were made by a program and count all the same."""

    @property
    def ordinal(self) -> bool:
        """Whether answers are ratings."""
        return self.question not in ON_VERDICTS

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the answers, in order."""
        return tuple(map(str, RATINGS)) if self.ordinal else ("no", "yes")

    @cached_property
    def judged(self) -> Int[np.ndarray, " cases"]:
        """The judge's answers as categories; `UNDECIDED` and `FAILED` where there is none."""
        return np.array([code(case.judged, self.ordinal) for case in self.cases])

    @cached_property
    def people(self) -> Int[np.ndarray, "cases annotators"]:
        """The people's answers as categories; `UNDECIDED`, and `ABSENT` where an annotator did not answer."""
        return np.array(
            [
                [code(case.answers[name], self.ordinal) if name in case.answers else ABSENT for name in self.annotators]
                for case in self.cases
            ]
        )

    @cached_property
    def reference(self) -> Int[np.ndarray, " cases"]:
        """What most people answered."""
        return consensus(self.people)

    @cached_property
    def owner(self) -> Int[np.ndarray, " cases"]:
        """Which feature each case is about, numbered from 0."""
        order = {key: number for number, key in enumerate(dict.fromkeys(case.feature.key for case in self.cases))}
        return np.array([order[case.feature.key] for case in self.cases])


def match(decisions: Sequence[Decision], labels: Sequence[Label], question: str, programs: bool = False) -> Matching:
    """Pair every decision with the labels on its feature.

    Args:
        decisions: of one run.
        labels: settled: at most one a question, annotator and feature.
        question: `relevant`, `input_relevant`, `output_relevant`, `interpretable`, a concept, or `ratings` for all
            concepts together.
        programs: labels that programs made count like people's.

    Raises:
        LabelError: no label fits.
    """
    asked = [label for label in labels if _is_asked(label, question)]
    stand_ins = _stand_in(labels, asked, question)
    asked += stand_ins
    people = [label for label in asked if programs or not label.machine]
    by_item: defaultdict[str, list[Label]] = defaultdict(list)
    for label in people:
        by_item[label.item.key].append(label)
    cases: list[Case] = []
    used = set[tuple[str, str | None, str, str]]()
    for decision in decisions:
        fitting = find_fitting(decision.feature, by_item)
        for name in dict.fromkeys(label.question for label in fitting):
            answers = [label for label in fitting if label.question == name]
            judged = answer_of(decision, name)
            if judged is None and decision.status == "decided":
                continue  # another question than this run was asked
            used.update(label.place for label in answers)
            cases.append(_case(decision, name, judged, answers))
    if not cases:
        raise LabelError(_explain(labels, asked, decisions, question))
    annotators = sorted({name for case in cases for name in case.answers})
    return Matching(
        question=question,
        cases=tuple(cases),
        annotators=tuple(annotators),
        unmatched=len({label.place for label in people} - used),
        machine=len(asked) - len(people),
        from_whole=len({one.place for one in stand_ins} & used),
        programs=tuple(sorted({label.annotator for label in people if label.machine} & set(annotators))),
    )


def choose_question(decisions: Sequence[Decision], labels: Sequence[Label]) -> str:
    """What a run was asked and its labels answer: ratings, the whole, or one side where nobody answered to the whole."""
    answered = [name for name in ON_VERDICTS if any(label.question == name for label in labels)]
    if any(decision.ratings for decision in decisions):
        return POOLED
    judged = any(decision.relevant for decision in decisions)
    return answered[0] if answered else (RELEVANT if judged else POOLED)


def answer_of(decision: Decision, question: str) -> Value | None:
    """The judge's answer; None if it failed, or was not asked."""
    if decision.status == "failed":
        return None
    if question == RELEVANT:
        return decision.relevant
    if question in (INPUT, OUTPUT):
        side = side_of(decision, question)
        return None if side is None else side.relevant
    if question == INTERPRETABLE:
        return decision.interpretable
    return next((r.rating for r in decision.ratings or () if r.concept == question), None)


def side_of(decision: Decision, question: str) -> Side | None:
    """The side that a question is about; None where it is about the whole, or the judge was not asked for sides."""
    sides = decision.sides
    return sides and {INPUT: sides.input, OUTPUT: sides.output}.get(question)


def code(value: Value | None, ordinal: bool) -> int:
    """An answer as the number of its category, or one of the codes for answers that are none."""
    if value is None:
        return FAILED
    if ordinal:
        return int(value) if is_rating(value) else UNDECIDED
    return {"no": 0, "yes": 1}.get(str(value), UNDECIDED)


def consensus(people: Int[np.ndarray, "cases annotators"]) -> Int[np.ndarray, " cases"]:
    """The category more annotators gave than any other; `UNDECIDED` for a tie, or where nobody gave one."""
    counts = (people[:, :, None] == np.arange(max(2, int(people.max()) + 1))).sum(1)
    best = counts.max(1)
    clear = ((counts == best[:, None]).sum(1) == 1) & (best > 0)
    return np.where(clear, counts.argmax(1), UNDECIDED)


def _stand_in(labels: Sequence[Label], asked: Sequence[Label], question: str) -> list[Label]:
    """Answers to the question about the whole, for whoever was not asked about the side: taken as one about it.

    Yes to the whole stands for yes to either side, no for no, undecided for undecided.
    """
    if question not in (INPUT, OUTPUT):
        return []
    given = {label.place for label in asked}
    taken = [label.model_copy(update={"question": question}) for label in labels if label.question == RELEVANT]
    return [label for label in taken if label.place not in given]


def find_fitting(feature: FeatureRef, by_item: Mapping[str, Sequence[Label]]) -> list[Label]:
    """The labels on a feature, of labels by their item's key."""
    own = Item(sae=feature.sae, index=feature.index, kind=feature.kind).key
    found = [label for key in dict.fromkeys((own, feature.key)) for label in by_item.get(key, ())]
    return [label for label in found if label.item.fits(feature)]


def _case(decision: Decision, question: str, judged: Value | None, answers: Iterable[Label]) -> Case:
    side = side_of(decision, question) or decision
    return Case(
        feature=decision.feature,
        stratum=decision.stratum,
        question=question,
        judged=judged,
        confidence=side.confidence,
        label=side.label,
        answers={label.annotator: label.value for label in answers},
    )


def _is_asked(label: Label, question: str) -> bool:
    return is_concept(label) if question == POOLED else label.question == question


def _explain(labels: Sequence[Label], asked: Sequence[Label], decisions: Sequence[Decision], question: str) -> str:
    if not asked:
        known = ", ".join(sorted({label.question for label in labels})) or "none"
        return f"no label answers {question!r}; the questions answered are: {known}"
    if all(label.machine for label in asked):
        return (
            f"every label that answers {question!r} was made by a program; name a file of people's labels, or count "
            "these with --programs"
        )
    ours = ", ".join(sorted({f"{d.feature.study}/{d.feature.sae}" for d in decisions})) or "none"
    theirs = ", ".join(sorted({f"{label.item.study or '*'}/{label.item.sae}" for label in asked})[:4])
    return (
        f"no label is about a feature of this run, or the run was not asked {question!r}: the run's SAEs are {ours}, "
        f"the labels' {theirs}; give the labels the run's name with python -m evals.labels --sae"
    )
