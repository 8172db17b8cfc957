"""What is left to settle once people have answered blind: where they differ, and where the machine does not agree or decide.

The whole of a feature is settled and each of its sides, for people who differ about the whole often do so because they
looked at different sides. What is not disputed may be settled with the rest of its feature; nobody has to.

A person sees the machine's answer to a feature only after answering it blind; whoever labels nothing at all sees what
others have answered, and is asked about no settled feature any more. Settling adds a line beside the decision, which
stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from agent.folder.records import Decision
from evals.agreement.pairing import answer_of, side_of
from evals.manual.files import settle
from evals.manual.records import ON_VERDICTS, Beside, Label, Value
from evals.review.labelling.passes import Asked, item_of
from evals.review.labelling.store import ADJUDICATION, LabelStore, Question
from evals.review.runs import OpenRun

PEOPLE, MACHINE = "people differ", "the machine differs"
UNDECIDED, FAILED = "the machine is undecided", "the machine failed"
AGREED = "settled, and not disputed"
BESIDE = "not disputed"
_URGENT = (PEOPLE, MACHINE, UNDECIDED, FAILED, AGREED)


class Case(NamedTuple):
    """One question about one feature that a person should settle, or has settled."""

    decision: Decision
    question: str
    why: str
    """One of the reasons above."""
    answers: tuple[Label, ...]
    """Of people, given blind, by annotator."""
    settled: tuple[Label, ...]
    """The newest last."""

    @property
    def needed(self) -> bool:
        """Whether it waits for an answer, or only may have one with the rest of its feature."""
        return self.why != BESIDE

    @property
    def judged(self) -> Value | None:
        """The machine's answer; None if it failed, or was not asked."""
        return answer_of(self.decision, self.question)

    @property
    def said(self) -> str:
        """The machine's answer in a word."""
        nothing = "failed" if self.decision.status == "failed" else "not asked"
        return nothing if self.judged is None else str(self.judged)

    @property
    def label(self) -> str | None:
        """The machine's label, of the side that is in question if one is."""
        return (side_of(self.decision, self.question) or self.decision).label

    @property
    def confidence(self) -> float | None:
        """The machine's, in that answer."""
        return (side_of(self.decision, self.question) or self.decision).confidence

    @property
    def outcome(self) -> Label | None:
        """What was settled last; None while it is open."""
        return self.settled[-1] if self.settled else None


class Docket(NamedTuple):
    """Everything that one person may settle."""

    cases: tuple[Case, ...]
    """Open ones first, the most urgent and surest ahead."""
    waiting: int
    """Features that this person must answer blind first, or, if they label none, that nobody has answered."""
    labels: bool
    """Whether this person labels features of the run."""
    beside: tuple[Case, ...] = ()
    """What is not disputed of the cases' features: the whole, or a side."""

    def of(self, key: str) -> tuple[Case, ...]:
        """What may be settled of one feature, by the feature's key: its cases, then what stands beside them."""
        return tuple(case for case in (*self.cases, *self.beside) if case.decision.feature.key == key)


def open_docket(run: OpenRun, store: LabelStore, asked: Asked, person: str) -> Docket:
    """What a person may see and settle now.

    Raises:
        LabelError: a labels file cannot be read.
    """
    people = gather_answers(store)
    settled = store.settled()
    labels = any(label.annotator == person for answers in people.values() for label in answers)
    cases, beside, waiting = list[Case](), list[Case](), 0
    for decision in run.decisions.values():
        key = item_of(decision.feature).key
        answers = {question: people.get((key, question), ()) for question in asked.settled}
        if not _is_open([answers[question] for question in asked.needed], person if labels else None):
            waiting += 1
            continue
        found = [
            _open_case(decision, question, given, tuple(settled.get((key, question), ())))
            for question, given in answers.items()
        ]
        if any(case.needed for case in found):
            cases += [case for case in found if case.needed]
            beside += [case for case in found if not case.needed and case.question in ON_VERDICTS]
    return Docket(tuple(sorted(cases, key=_urgency)), waiting, labels, tuple(beside))


def settle_case(store: LabelStore, case: Case, person: str, value: Value, why: str) -> None:
    """Record what a person settled, beside what the machine and the others had said.

    Raises:
        LabelError: it cannot be written.
    """
    decision = case.decision
    beside = Beside(
        judged=case.judged,
        label=case.label,
        confidence=case.confidence,
        failure=decision.failure.type if decision.failure else None,
        evidence_sha256=decision.evidence_sha256,
        answers={label.annotator: label.value for label in case.answers},
    )
    answer = Label(
        annotator=person,
        item=item_of(decision.feature),
        question=case.question,
        value=value,
        source="",
        note=why,
        settles=beside,
    )
    store.append(ADJUDICATION, [answer])


def gather_answers(store: LabelStore) -> Mapping[Question, tuple[Label, ...]]:
    """People's blind answers by feature and question, in order of the annotators' names.

    Raises:
        LabelError: a labels file cannot be read.
    """
    written = [label for name in store.annotators() for label in store.written(name).labels if not label.machine]
    found: dict[Question, list[Label]] = {}
    for label in sorted(settle(written)[0], key=lambda label: label.annotator):
        found.setdefault((label.item.key, label.question), []).append(label)
    return {question: tuple(labels) for question, labels in found.items()}


def _is_open(answers: Iterable[Sequence[Label]], person: str | None) -> bool:
    """Whether the blind pass is over for a feature: the person's own, or anyone's for one who labels nothing."""
    return all(any(person in (None, label.annotator) for label in given) for given in answers)


def _open_case(decision: Decision, question: str, given: tuple[Label, ...], settled: tuple[Label, ...]) -> Case:
    why = _why(decision, question, given) or (AGREED if settled else BESIDE)
    return Case(decision, question, why, given, settled)


def _why(decision: Decision, question: str, answers: Sequence[Label]) -> str | None:
    """Why the question is disputed; None if it is not, as where nobody has answered it."""
    given = {label.value for label in answers}
    if len(given) > 1:
        return PEOPLE
    judged = answer_of(decision, question)
    if not given or (judged is None and decision.status == "decided"):  # the machine was not asked
        return None
    if judged is None:
        return FAILED
    if judged == "undecided":
        return UNDECIDED
    return None if judged in given else MACHINE


def _urgency(case: Case) -> tuple[bool, int, float]:
    return bool(case.settled), _URGENT.index(case.why), -(case.confidence or 0)
