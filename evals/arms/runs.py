"""A run as one arm of a comparison: its survey of every feature, and what was found of the investigated ones, in one table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from agent.errors import RunError
from agent.folder.floors import read_living
from agent.folder.records import Decision, Manifest
from agent.folder.soundness import caveats_of
from agent.folder.store import RunFolder
from agent.folder.surveyed import read_survey
from tools.border.json_text import canonical_json
from tools.proof.floors import DeadFloor
from tools.records import Evidence, FeatureRef, SteeringEvidence

RULES_ALPHA = 0.01
"""Share of random directions at which the rules judge stops believing in keyword hits, unless the study says otherwise."""
SURVEYED = (
    "top_tokens",
    "top_weights",
    "std",
    "skewness",
    "kurtosis",
    "keyword_hits",
    "keyword_hits_direct",
    "keyword_null_share",
    "coherence_weighted",
    "coherence_deduplicated",
    "alive",
)


class Thresholds(NamedTuple):
    """From which keyword hits on a feature is a candidate, and from which share of random directions they mean nothing."""

    hits: int = 2
    alpha: float = RULES_ALPHA


class Arm(NamedTuple):
    """One run, read."""

    name: str
    manifest: Manifest
    survey: pd.DataFrame
    """One row a feature, as `features.parquet` has it."""
    evidence: list[Evidence]
    evidence_sha256: dict[str, str]
    """By feature, of the evidence as it is stored: a record read by a later version may have grown fields since."""
    decisions: list[Decision]
    thresholds: Thresholds
    table: pd.DataFrame
    """`tabulate_features` of the features of the SAE, one row each, with what was measured of the investigated ones.

    `settled`: not relevant, whatever a judge would see."""
    random: pd.DataFrame
    """The same columns for the random directions that were investigated."""
    caveats: tuple[str, ...] = ()
    """Of the run as it was measured, and of its folder as it is."""
    floors: tuple[DeadFloor, ...] = ()
    """Instruments that measured nothing: both tables hold no value of theirs, and decisions no steering verdict."""


def column(table: pd.DataFrame, name: str) -> Float[np.ndarray, " rows"]:
    """A column's numbers; NaN where there is none."""
    return np.asarray(table[name], dtype=float)


def equals(table: pd.DataFrame, name: str, text: str) -> Bool[np.ndarray, " rows"]:
    """Where a column of words has that one."""
    return np.array([value == text for value in table[name]], dtype=bool)


def read_arm(folder: RunFolder, thresholds: Thresholds | None = None) -> Arm:
    """Read a finished run.

    Args:
        folder: of the run.
        thresholds: of its study; those of a study that says nothing if None.

    Raises:
        RunError: it is no run, is not finished, or surveyed no SAE.
    """
    manifest, file = folder.manifest(), folder.path / "features.parquet"
    if not file.is_file():
        raise RunError(f"{folder.path} surveyed no SAE: only runs that did can be compared")
    survey = read_survey(file)
    if missing := [name for name in SURVEYED if name not in survey.columns]:
        raise RunError(f"{file} has no column {missing[0]}: it is of another version; run the arm again")
    evidence, (floors, alive, decisions) = folder.finished_evidence(), read_living(folder)
    limits = thresholds or Thresholds()
    features = [record for record in alive if record.feature.kind == "feature"]
    others = [record for record in alive if record.feature.kind != "feature"]
    judged = {decision.feature.key: decision for decision in decisions}
    measured = pd.DataFrame(
        [_measurements(record, judged.get(record.feature.key)) for record in features], columns=_MEASURED
    ).set_index("index")
    table = tabulate_features(survey, limits).join(measured.drop(columns=list(_SHAPE)))
    if any(floor.instrument == "coherence" and floor.stratum is None for floor in floors):
        table[["coherence", "coherence_published"]] = np.nan
    table["settled"] = _is_settled(table, decisions)
    random = pd.DataFrame(
        [_measurements(record, judged.get(record.feature.key)) for record in others], columns=_MEASURED
    ).set_index("index")
    hashes = _hash_stored(folder)
    caveats = caveats_of(folder)
    return Arm(
        manifest.config.sae, manifest, survey, evidence, hashes, decisions, limits, table, random, caveats, floors
    )


def _hash_stored(folder: RunFolder) -> dict[str, str]:
    lines = [json.loads(line) for line in folder.evidence_file.read_text("utf-8").split("\n")[:-1]]
    return {
        FeatureRef.model_validate(line["feature"]).key: sha256(canonical_json(line).encode()).hexdigest()
        for line in lines
    }


def tabulate_features(survey: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """What the survey says of every feature: keyword hits by both definitions, coherence by both, and the row's shape.

    The published coherence is 0 where fewer than two tokens have a vector, as published; the corrected one has no value.
    """
    lead = np.array([float(weights[0]) for weights in survey["top_weights"]])
    hits = survey["keyword_hits"].to_numpy()
    return pd.DataFrame(
        {
            "alive": survey["alive"].to_numpy(),
            "hits": hits,
            "hits_direct": survey["keyword_hits_direct"].to_numpy(),
            "beyond": (hits >= thresholds.hits) & (survey["keyword_null_share"].to_numpy() <= thresholds.alpha),
            "coherence_published": np.nan_to_num(survey["coherence_weighted"].to_numpy(dtype=float), nan=0.0),
            "coherence": survey["coherence_deduplicated"].to_numpy(dtype=float),
            "lead": lead / np.maximum(survey["std"].to_numpy(dtype=float), 1e-12),
            "skewness": survey["skewness"].to_numpy(dtype=float),
            "kurtosis": survey["kurtosis"].to_numpy(dtype=float),
        },
        index=pd.RangeIndex(len(survey), name="index"),
    )


_SHAPE = ("coherence", "lead", "kurtosis")
_MEASURED = (
    "index",
    "stratum",
    "judged",
    "passes",
    "won_published",
    "steered",
    "unsteered",
    "excess",
    "lift",
    *_SHAPE,
)


def _measurements(record: Evidence, decision: Decision | None) -> tuple[object, ...]:
    judged = None if decision is None else (decision.relevant or "failed")
    passes = None
    if decision is not None and decision.steering is not None:
        passes = float(decision.steering.verdict == "passes")
    projection = record.projection
    lead = kurtosis = None
    if projection is not None and projection.std and projection.top and projection.top[0].weight is not None:
        lead, kurtosis = projection.top[0].weight / projection.std, projection.kurtosis
    coherence = record.coherence.deduplicated if record.coherence else None
    return (
        record.feature.index,
        record.stratum,
        judged,
        passes,
        *_steering(record.steering),
        coherence,
        lead,
        kurtosis,
    )


def _steering(found: SteeringEvidence | None) -> tuple[float | None, ...]:
    """Share of texts won as published, mean likeness of both texts, wins beyond the null, change of log-probability."""
    if found is None or not found.n:
        return (None,) * 5
    scored = [
        (pair.score_steered, pair.score_unsteered)
        for pair in found.opening
        if pair.score_steered is not None and pair.score_unsteered is not None
    ]
    win_rate, null = found.opening_rates
    if not scored:
        return (None, None, None, win_rate - null, found.log_probability_lift)
    steered, unsteered = (float(np.mean(side)) for side in zip(*scored, strict=True))
    won = float(np.mean([one > other for one, other in scored]))
    return (won, steered, unsteered, win_rate - null, found.log_probability_lift)


def _is_settled(table: pd.DataFrame, decisions: Sequence[Decision]) -> Bool[np.ndarray, " rows"]:
    """Where no judge need look: dead features, and for the rules judge those without hits that random directions lack."""
    by_rule = all(decision.judge.kind == "rules" for decision in decisions)
    alive, beyond = column(table, "alive") > 0, column(table, "beyond") > 0
    return ~alive | (~beyond & by_rule)
