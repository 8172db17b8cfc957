"""What an LLM fills in: hypotheses of three kinds, and a judgement of each side. Reasons stand before verdicts."""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal, Self

from pydantic import Field, create_model, model_validator

from agent.briefing.first.forms import Label, PairChoice, Sentence, Word
from agent.briefing.hypotheses import Hypothesis, Kind, Sentences, Words
from agent.folder.sides import Side, SideClass, Verdict
from tools.records import Record, SteeringWord

LeftOpen = Literal["nothing", "tests could settle it", "the guideline prescribes undecided"]
"""What, if anything, a judge would still have to know."""
Share = Annotated[float, Field(ge=0, le=1)]
_LEAST = 2
"""Sentences of each sort, and words, that a meaning predicts."""


class Proposal(Record):
    """One hypothesis, with what would follow from it. Nothing follows, but silence, where there is no meaning."""

    reasons: Annotated[str, Field(max_length=3000)]
    kind: Kind
    label: Label
    will_activate: Annotated[tuple[Sentence, ...], Field(max_length=4, description="2 to 4 for a meaning, else empty")]
    near_misses: Annotated[tuple[Sentence, ...], Field(max_length=4, description="2 to 4 for a meaning, else empty")]
    will_be_promoted: Annotated[tuple[Word, ...], Field(max_length=8, description="2 to 8 for a meaning, else empty")]

    @model_validator(mode="after")
    def _a_meaning_predicts(self) -> Self:
        lists = {"will_activate": self.will_activate, "near_misses": self.near_misses}
        lists |= {"will_be_promoted": self.will_be_promoted}
        short = [name for name, items in lists.items() if len(items) < _LEAST]
        if self.kind == "meaning" and short:
            raise ValueError(f"a hypothesis of kind meaning has at least {_LEAST} items in {', '.join(short)}")
        return self

    def record(self) -> Hypothesis:
        """The same as an investigation carries it."""
        inputs, outputs = Sentences(), Words()
        if self.kind == "meaning":
            inputs = Sentences(will_activate=self.will_activate, near_misses=self.near_misses)
            outputs = Words(will_be_promoted=self.will_be_promoted)
        return Hypothesis(
            kind=self.kind, reasons=self.reasons, label=self.label, about_inputs=inputs, about_outputs=outputs
        )


class Proposals(Record):
    """Meanings that cannot all be right, or that there is none."""

    hypotheses: Annotated[tuple[Proposal, ...], Field(min_length=1, max_length=3)]

    @model_validator(mode="after")
    def _a_meaning_has_a_rival(self) -> Self:
        if len(self.hypotheses) == 1 and self.hypotheses[0].kind == "meaning":
            raise ValueError("a hypothesis of kind meaning needs another one beside it that competes")
        return self


class SidedReply(Record):
    """One judgement. `sided_reply_for` narrows `better_hypothesis` to the names there are."""

    reasons: Annotated[tuple[Annotated[str, Field(max_length=2000)], ...], Field(min_length=1, max_length=8)]
    steered_choices: Annotated[tuple[PairChoice, ...], Field(max_length=20, description="one for each pair shown")]
    better_hypothesis: str | None
    input_label: Label
    input_relevant: Verdict
    input_confidence: Share
    output_label: Label
    output_relevant: Verdict
    output_confidence: Share
    sides: SideClass
    interpretable: Annotated[int, Field(ge=0, le=4)]
    steering: SteeringWord
    left_open: LeftOpen

    @property
    def input(self) -> Side:
        """Of where the feature is active."""
        return Side(relevant=self.input_relevant, confidence=self.input_confidence, label=self.input_label)

    @property
    def output(self) -> Side:
        """Of what it promotes."""
        return Side(relevant=self.output_relevant, confidence=self.output_confidence, label=self.output_label)


@functools.cache
def sided_reply_for(names: tuple[str, ...]) -> type[SidedReply]:
    """The judge's reply with `better_hypothesis` one of these names, or null: no other hypothesis can be chosen."""
    # Unions are remembered by `typing`, for which literals in another order are the same: the names tell them apart.
    known: Any = Annotated[Literal[names], names] if names else None
    kind: Any = (known | None, ...) if names else (None, ...)
    return create_model("SidedReply", __base__=SidedReply, better_hypothesis=kind)
