"""Neuronpedia's rows of one feature: explanations, the feature itself, and activations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from pydantic import JsonValue

from agent.folder.records import Decision
from evals.exports.source import CREATOR, Source
from evals.manual.records import ANNOTATION, Label
from tools.records import Context, Evidence, TokenWeight

EXPLANATION = (
    "id",
    "modelId",
    "layer",
    "index",
    "description",
    "authorId",
    "embedding",
    "triggeredById",
    "typeName",
    "explanationModelName",
    "notes",
    "createdAt",
)
_ID_LENGTH = 25
_STEER_STRENGTH = 10
"""Their default; a strength of ours is in other units."""
Row = dict[str, JsonValue]


class Names(NamedTuple):
    """What the model and the SAE are called on Neuronpedia, such as `gpt2-small` and `8-res-jb`."""

    model: str
    source: str


def list_explanations(source: Source, decision: Decision, names: Names) -> Iterator[Row]:
    """The machine's label, if there is one, and people's."""
    answers = source.labels.get(decision.feature.key, ())
    if decision.status == "decided" and decision.label is not None:
        yield _explanation(
            source,
            decision,
            names,
            description=decision.label,
            authorId=CREATOR,
            typeName=decision.judge.prompt or decision.judge.kind,
            explanationModelName=source.judge_of(decision),
            notes=_notes(decision, answers),
            createdAt=source.manifest.started,
        )
    for label in answers:
        if label.question == ANNOTATION:
            yield _explanation(
                source,
                decision,
                names,
                description=str(label.value),
                authorId=label.annotator,
                typeName=None,
                explanationModelName=label.annotator if label.machine else None,
                notes=label.note,
                createdAt=label.time or source.manifest.started,
            )


def _explanation(source: Source, decision: Decision, names: Names, **given: JsonValue) -> Row:
    place = {"modelId": names.model, "layer": names.source, "index": str(decision.feature.index)}
    author, kind = given["authorId"], given["typeName"]
    known = {"id": _id(source, decision, f"explanation {author} {kind}"), **place, **given}
    return {name: known.get(name) for name in EXPLANATION}


def _notes(decision: Decision, answers: tuple[Label, ...]) -> str:
    ratings = ", ".join(f"{rating.concept} {rating.rating}" for rating in decision.ratings or ())
    parts = {
        "relevant": decision.relevant,
        "sides": decision.sides.sentence if decision.sides else None,
        "ratings": ratings or None,
        "confidence": decision.confidence,
        "interpretable": decision.interpretable,
        "steering": decision.steering.verdict if decision.steering else None,
        "people": ", ".join(f"{a.annotator}: {a.question} {a.value}" for a in answers if a.question != ANNOTATION)
        or None,
        "reasons": " | ".join(decision.reasons) or None,
    }
    return "; ".join(f"{name}: {value}" for name, value in parts.items() if value is not None)


def describe_feature(source: Source, decision: Decision, names: Names) -> Row:
    """A row of `Feature`."""
    evidence = source.evidence[decision.feature.key]
    activations, projection, probe = evidence.activations, evidence.projection, source.manifest.probe
    density = activations.density if activations else None
    top, bottom = (projection.top, projection.bottom) if projection else ((), ())
    return {
        "modelId": names.model,
        "layer": names.source,
        "index": str(decision.feature.index),
        "creatorId": CREATOR,
        "createdAt": source.manifest.started,
        "maxActApprox": activations.max_activation if activations else None,
        "hasVector": False,
        "vector": [],
        "vectorLabel": None,
        "vectorDefaultSteerStrength": _STEER_STRENGTH,
        "hookName": probe.hook_name if probe else None,
        "topkCosSimIndices": [],
        "topkCosSimValues": [],
        "neuron_alignment_indices": [],
        "neuron_alignment_values": [],
        "neuron_alignment_l1": [],
        "correlated_neurons_indices": [],
        "correlated_neurons_pearson": [],
        "correlated_neurons_l1": [],
        "correlated_features_indices": [],
        "correlated_features_pearson": [],
        "correlated_features_l1": [],
        "neg_str": [token.token for token in bottom],
        "neg_values": _weights(bottom),
        "pos_str": [token.token for token in top],
        "pos_values": _weights(top),
        "frac_nonzero": 0 if density is None else density,
        "freq_hist_data_bar_heights": [],
        "freq_hist_data_bar_values": [],
        "logits_hist_data_bar_heights": [],
        "logits_hist_data_bar_values": [],
        "decoder_weights_dist": [],
        "sourceSetName": None,
    }


def _weights(tokens: tuple[TokenWeight, ...]) -> list[JsonValue]:
    """One a token; none at all where another tool gave an order without weights."""
    weights = [token.weight for token in tokens]
    return [] if None in weights else [*weights]


def list_activations(source: Source, decision: Decision, names: Names) -> Iterator[Row]:
    """One row a context with its activations; silent contexts are no examples and stay out."""
    for number, context in enumerate(_contexts(source.evidence[decision.feature.key])):
        values = context.activations
        if not values:
            continue
        yield {
            "id": _id(source, decision, f"activation {number}"),
            "tokens": list(context.tokens),
            "index": str(decision.feature.index),
            "layer": names.source,
            "modelId": names.model,
            "maxValue": max(values),
            "maxValueTokenIndex": values.index(max(values)),
            "minValue": min(values),
            "values": list(values),
            "creatorId": CREATOR,
            "dataSource": None,
            "dataIndex": context.document,
            "dfaValues": [],
            "dfaTargetIndex": None,
            "dfaMaxValue": None,
            "createdAt": source.manifest.started,
            "lossValues": [],
            "logitContributions": None,
            "binMin": None,
            "binMax": None,
            "binContains": None,
            "qualifyingTokenIndex": None,
            "zIndices": None,
            "zValues": None,
        }


def _contexts(evidence: Evidence) -> tuple[Context, ...]:
    return (*evidence.activations.top, *evidence.activations.quantiles) if evidence.activations else ()


def count_plain(evidence: Evidence) -> int:
    """Contexts that another tool showed without activations: there is no row for them."""
    return sum(not context.activations for context in _contexts(evidence))


def _id(source: Source, decision: Decision, what: str) -> str:
    """As long as their ids, and the same each time the run is exported."""
    named = f"{source.manifest.run_id} {decision.feature.key} {what}"
    return f"c{hashlib.sha256(named.encode()).hexdigest()[: _ID_LENGTH - 1]}"
