"""A decision and the labels on its feature as an Inspect sample's score, target and metadata."""

from __future__ import annotations

import json

from agent.folder.records import Decision
from evals.exports.conversations import Fields
from evals.exports.source import Source
from evals.manual.records import RELEVANT, Label

_REASONS = {
    "refusal": "refusal",
    "content_filter": "refusal",
    "empty": "no_response",
    "unparseable": "invalid_response_format",
    "wrong_schema": "invalid_response_format",
}
"""Failures that Inspect has a word for; the rest keep ours."""


def score_of(decision: Decision) -> Fields:
    """Inspect's `Score`. A failure has no value: NaN, which Inspect leaves out of every metric."""
    metadata = decision.model_dump(
        mode="json", include={"label", "confidence", "interpretable", "steering", "judge", "status", "failure"}
    )
    if decision.failure:
        reason = _REASONS.get(decision.failure.type, decision.failure.type)
        score: Fields = {"value": float("nan"), "reason": reason, "explanation": decision.failure.message}
        return score | {"metadata": metadata}
    ratings = {rating.concept: rating.rating for rating in decision.ratings or ()}
    value = ratings or decision.relevant
    return {
        "value": value,
        "answer": decision.label,
        "explanation": "\n\n".join(decision.reasons),
        "metadata": metadata,
    }


def target_of(source: Source, decision: Decision) -> str | list[str]:
    """People's answers to what the judge was asked."""
    answers: dict[str, dict[str, Label]] = {}
    for label in source.labels.get(decision.feature.key, ()):
        answers.setdefault(label.annotator, {})[label.question] = label
    asked = source.questions
    given: list[str] = []
    for theirs in answers.values():
        values = {question: theirs[question].value for question in asked if question in theirs}
        if values:
            given.append(str(values[RELEVANT]) if asked == (RELEVANT,) else json.dumps(values, ensure_ascii=False))
    different = list(dict.fromkeys(given))
    return different[0] if len(different) == 1 else different or ""


def describe(source: Source, decision: Decision) -> Fields:
    """Metadata of a sample."""
    return {
        "stratum": decision.stratum,
        "kind": decision.feature.kind,
        "label": decision.label,
        "confidence": decision.confidence,
        "interpretable": decision.interpretable,
        "steering": decision.steering.verdict if decision.steering else None,
        "failure": decision.failure.type if decision.failure else None,
        "evidence_sha256": decision.evidence_sha256,
        "people": [
            label.model_dump(mode="json", include={"annotator", "question", "value", "note"})
            for label in source.labels.get(decision.feature.key, ())
        ],
    }


def say(decision: Decision) -> str:
    """The decision in words."""
    ratings = ", ".join(f"{rating.concept} {rating.rating}" for rating in decision.ratings or ())
    verdict = f"ratings: {ratings}" if ratings else f"relevant: {decision.relevant}"
    lines = [f"{verdict} (confidence {decision.confidence})", f"label: {decision.label}", *decision.reasons]
    return "\n\n".join(lines)
