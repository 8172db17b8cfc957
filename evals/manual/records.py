"""Manual labels in one schema, whatever file they came from. The contract of every labels file of our own."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from tools.records import FeatureRef, Record

VERDICTS = ("no", "yes", "undecided")
RATINGS = (0, 1, 2, 3, 4)
RELEVANT, INTERPRETABLE, ANNOTATION = "relevant", "interpretable", "annotation"
"""The questions whose answers have a fixed form: a verdict, a rating from 0 to 4, free text."""
INPUT, OUTPUT = "input_relevant", "output_relevant"
"""The first of them about one side of a feature: where it is active, or what it promotes."""
ON_VERDICTS = (RELEVANT, INPUT, OUTPUT)
"""Questions that are answered by a verdict."""
SINGLE = frozenset({*ON_VERDICTS, INTERPRETABLE, ANNOTATION})
"""Questions that are no concept's name."""

Text = Annotated[str, Field(min_length=1)]
Value = int | FiniteFloat | Text
"""A verdict, a rating, a score, or free text."""


class Item(Record):
    """Which direction was labelled: a `FeatureRef` whose study may be left open."""

    study: str | None = None
    """None: the labels hold for the SAE of that name in any study."""
    sae: Text
    index: int = Field(ge=0)
    kind: Literal["feature", "random_direction"] = "feature"

    @property
    def key(self) -> str:
        """`base-000123`, random directions `base-r000123`, as a run names its transcripts."""
        letter = "r" if self.kind == "random_direction" else ""
        return f"{self.sae}-{letter}{self.index:06d}"

    def fits(self, feature: FeatureRef) -> bool:
        """Whether a run's feature is meant: the same study, if one is named, and the same direction of the same SAE.

        An SAE's id that no file name can carry is hashed in a feature's key; labels may name it either way.
        """
        if self.study is not None and self.study != feature.study:
            return False
        same = (self.sae, self.index, self.kind) == (feature.sae, feature.index, feature.kind)
        return same or self.key == feature.key


class Beside(Record):
    """What lay before a person who settled a question: the machine's answer and the other people's."""

    judged: Value | None
    """The machine's answer; None if it failed."""
    label: str | None = None
    confidence: float | None = None
    failure: str | None = None
    """Its type, if the machine failed."""
    evidence_sha256: str
    """Which evidence both judged by."""
    answers: dict[str, Value] = {}
    """By annotator, as they stood."""


class Label(Record):
    """One answer of one annotator to one question about one feature."""

    annotator: Text
    item: Item
    question: Text
    """`relevant`, `input_relevant`, `output_relevant`, `interpretable`, `annotation`, a score's name, or the name of a
    concept that is rated 0 to 4."""
    value: Value
    time: str | None = None
    """ISO 8601; None where the source does not say."""
    source: str
    """The file it came from, and where in it."""
    note: str | None = None
    """The annotator's reasons."""
    machine: bool = False
    """Made by a program: never counted among the people."""
    seconds: float | None = Field(default=None, ge=0)
    """From the feature's being shown to the answer; None where nobody measured it."""
    withdrawn: bool = False
    """Takes back what the annotator answered to this question: it is open again. Files are appended to, never edited."""
    settles: Beside | None = None
    """Given knowing the machine's answer, to settle the question: no blind label, and never counted as one."""

    @model_validator(mode="after")
    def _answers_its_question(self) -> Self:
        if self.question in ON_VERDICTS and self.value not in VERDICTS:
            raise ValueError(f"{self.question} is answered yes, no or undecided, not {self.value!r}")
        if self.question == INTERPRETABLE and not is_rating(self.value):
            raise ValueError(f"{INTERPRETABLE} is a whole number from 0 to 4, not {self.value!r}")
        if self.question == ANNOTATION and not isinstance(self.value, str):
            raise ValueError(f"an {ANNOTATION} is text, not {self.value!r}")
        if self.time is not None:
            _check_time(self.time)
        return self

    @property
    def place(self) -> tuple[str, str | None, str, str]:
        """What it answers, and who: two labels at one place are two answers to the same question."""
        return (self.annotator, self.item.study, self.item.key, self.question)


class Remark(Record):
    """Something about one place of a source that the reader should know."""

    where: str
    text: str


class Shown(Record):
    """What people saw of one feature, in the plain form that `python -m agent.run --evidence` reads."""

    feature: int
    sae: str
    top_tokens: tuple[str | tuple[str, float], ...] = ()
    contexts: tuple[str | ShownContext, ...] = ()

    @property
    def empty(self) -> bool:
        """Nothing was shown."""
        return not (self.top_tokens or self.contexts)


class ShownContext(Record):
    """A context whose tokens are told apart."""

    tokens: tuple[str, ...]
    activations: tuple[float, ...] | None = None


class Import(Record):
    """Everything one source held."""

    labels: tuple[Label, ...] = ()
    evidence: tuple[Shown, ...] = ()
    problems: tuple[Remark, ...] = ()
    """Rows that could not be read, each named."""
    remarks: tuple[Remark, ...] = ()
    """What was read otherwise than one might expect."""
    findings: tuple[str, ...] = ()
    """Figures the source holds beside its labels."""


def is_rating(value: object) -> bool:
    """A whole number from 0 to 4."""
    return isinstance(value, int) and not isinstance(value, bool) and value in RATINGS


def is_concept(label: Label) -> bool:
    """Whether it rates a concept from 0 to 4."""
    return label.question not in SINGLE and is_rating(label.value)


def _check_time(text: str) -> None:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time in ISO 8601") from None


def plain_number(text: str) -> Value:
    """A CSV cell as the number it spells, or else as text."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text
