"""What an LLM is asked to fill in, as records. Reasons stand before verdicts: what is written first is thought first."""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, create_model

from agent.folder.records import ConceptRating
from agent.folder.sides import Verdict
from tools.records import Record, SteeringWord

LABEL_WORDS = 8


def _short_label(label: str, info: ValidationInfo) -> str:
    """The label in single spaces; where the context says so, a longer one is cut after its last word."""
    words = label.split()
    if (info.context or {}).get("clip"):
        words = words[:LABEL_WORDS]
    if not 1 <= len(words) <= LABEL_WORDS:
        raise ValueError(f"a label has 1 to {LABEL_WORDS} words, not {len(words)}")
    return " ".join(words)


Label = Annotated[str, AfterValidator(_short_label), Field(max_length=120, description="at most 8 words")]
Sentence = Annotated[str, Field(min_length=1, max_length=300)]
Word = Annotated[str, Field(min_length=1, max_length=40)]


class InputPrediction(Record):
    """What the feature is read from."""

    will_activate: Annotated[tuple[Sentence, ...], Field(min_length=2, max_length=4)]
    near_misses: Annotated[tuple[Sentence, ...], Field(min_length=2, max_length=4)]


class OutputPrediction(Record):
    """What the feature writes."""

    will_be_promoted: Annotated[tuple[Word, ...], Field(min_length=2, max_length=8)]


class Hypothesis(Record):
    """One meaning the feature may have, with what would follow from it."""

    reasons: Annotated[str, Field(max_length=3000)]
    label: Label
    about_inputs: InputPrediction
    about_outputs: OutputPrediction


class Hypotheses(Record):
    """Meanings that cannot all be right."""

    hypotheses: Annotated[tuple[Hypothesis, ...], Field(min_length=2, max_length=3)]


class ChosenCall(Record):
    """One measurement, where the server has no tool calling."""

    instrument: Annotated[str, Field(max_length=60)]
    arguments: Annotated[str, Field(max_length=4000, description="a JSON object, as text")]


class Choice(Record):
    """The next measurements, where the server has no tool calling."""

    reasons: Annotated[str, Field(max_length=3000)]
    calls: Annotated[tuple[ChosenCall, ...], Field(max_length=4, description="empty when nothing more is needed")]


class PairChoice(Record):
    """Which text of a pair had the feature added."""

    pair: Annotated[int, Field(ge=1)]
    steered: Literal["A", "B", "neither"]


class JudgeReply(Record):
    """One judgement. `judge_reply_for` narrows `better_hypothesis` to the hypotheses there are."""

    reasons: Annotated[tuple[Annotated[str, Field(max_length=2000)], ...], Field(min_length=1, max_length=8)]
    steered_choices: Annotated[tuple[PairChoice, ...], Field(max_length=20, description="one for each pair shown")]
    better_hypothesis: int | None
    label: Label
    relevant: Verdict
    interpretable: Annotated[int, Field(ge=0, le=4)]
    steering: SteeringWord
    confidence: Annotated[float, Field(ge=0, le=1)]


class Ratings(Record):
    """A rating for each concept; `rating_reply_for` gives it one field a concept, named as the concept is."""

    model_config = ConfigDict(serialize_by_alias=True)

    def given(self) -> tuple[ConceptRating, ...]:
        """The same as a list, in the study's order."""
        return tuple(ConceptRating(concept=name, rating=value) for name, value in self.model_dump().items())


class RatingReply(Record):
    """One judgement by ratings."""

    reasons: Annotated[tuple[Annotated[str, Field(max_length=2000)], ...], Field(min_length=1, max_length=8)]
    ratings: Ratings
    label: Label
    interpretable: Annotated[int, Field(ge=0, le=4)]
    confidence: Annotated[float, Field(ge=0, le=1)]


@functools.cache
def rating_reply_for(concepts: tuple[str, ...]) -> type[RatingReply]:
    """The rater's reply for these concepts: each rated once, because each is a field, and nothing else."""
    fields: dict[str, Any] = {
        f"concept_{place}": (Annotated[int, Field(ge=0, le=4)], Field(alias=name))  # a name may be no identifier
        for place, name in enumerate(concepts)
    }
    return create_model(
        "RatingReply", __base__=RatingReply, ratings=(create_model("Ratings", __base__=Ratings, **fields), ...)
    )


@functools.cache
def judge_reply_for(n_hypotheses: int) -> type[JudgeReply]:
    """The judge's reply with `better_hypothesis` from 1 to that number, or null: no other hypothesis can be chosen."""
    field: Any = (int | None, Field(ge=1, le=n_hypotheses)) if n_hypotheses else (None, Field())
    return create_model("JudgeReply", __base__=JudgeReply, better_hypothesis=field)
