"""Runs and labels made by hand or by chance, with a truth that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from agent.folder.config import RunConfig
from agent.folder.records import (
    ConceptRating,
    Decision,
    JudgeRef,
    Manifest,
    Provenance,
    SelectedFeature,
    Selection,
    StratumSize,
)
from agent.folder.store import RunFolder
from agent.llm.records import Failure
from evals.manual.records import Item, Label
from tools.records import FeatureRef, Stratum

STUDY, SAE = "tiny", "base"


def feature(index: int, kind: str = "feature") -> FeatureRef:
    return FeatureRef.model_validate({"study": STUDY, "sae": SAE, "index": index, "kind": kind})


def decide(
    index: int,
    relevant: str | None,
    confidence: float = 0.9,
    stratum: Stratum = "candidates",
    ratings: Mapping[str, int] | None = None,
    interpretable: int | None = None,
    sides: tuple[str | None, str | None] | None = None,
) -> Decision:
    """A decision; failed where there is neither a verdict nor ratings."""
    given = None if ratings is None else tuple(ConceptRating(concept=c, rating=r) for c, r in ratings.items())
    failed = relevant is None and given is None
    return Decision.model_validate(
        {
            "run_id": "run",
            "feature": feature(index, "random_direction" if stratum == "random directions" else "feature"),
            "stratum": stratum,
            "status": "failed" if failed else "decided",
            "label": None if failed else f"label {index}",
            "relevant": relevant,
            "ratings": given,
            "confidence": None if failed else confidence,
            "interpretable": interpretable,
            "sides": None if sides is None else _sides(*sides),
            "evidence_sha256": "0",
            "judge": JudgeRef(kind="rules"),
            "failure": Failure(type="timeout", message="no reply", attempts=6) if failed else None,
        }
    )


def _sides(input: str | None, output: str | None) -> dict[str, object]:
    one, other = (
        None if said is None else {"relevant": said, "confidence": confidence, "label": name}
        for said, confidence, name in ((input, 0.7, "wards"), (output, 0.6, "drugs"))
    )
    return {"input": one, "output": other, "kind": None, "counts": "both"}


def label(index: int, value: object, annotator: str = "ana", question: str = "relevant", **more: object) -> Label:
    item = Item(study=STUDY, sae=SAE, index=index)
    return Label.model_validate(
        {"annotator": annotator, "item": item, "question": question, "value": value, "source": "test", **more}
    )


def manifest(sizes: Sequence[tuple[Stratum, int | None, int]] = (), decisions: Sequence[Decision] = ()) -> Manifest:
    return Manifest(
        run_id="run",
        started="2026-01-31T10:00:00+00:00",
        config=RunConfig(study=STUDY, sae=SAE),
        study_title="A tiny study",
        domain="medicine",
        provenance=Provenance(command=(), git_commit=None, git_dirty=None, python="3", packages={}, sha256={}),
        selection=Selection(
            items=tuple(SelectedFeature(feature=d.feature, stratum=d.stratum) for d in decisions),
            sizes=tuple(StratumSize(stratum=s, population=population, drawn=n) for s, population, n in sizes),
        ),
    )


def write_run(path: Path, decisions: Sequence[Decision], sizes: Sequence[tuple[Stratum, int | None, int]] = ()) -> Path:
    """A run folder with a manifest and decisions, which is all an examination reads."""
    run = RunFolder.create(path, manifest(sizes, decisions))
    for decision in decisions:
        run.append_decision(decision)
    return path


def simulate_run(
    seed: int = 0, labelled: float = 1.0, annotators: Sequence[str] = ("ana",)
) -> tuple[list[Decision], list[Label], list[tuple[Stratum, int | None, int]]]:
    """A run over three strata and random directions whose judge is right as often as it says."""
    rng = np.random.default_rng(seed)
    strata: list[tuple[Stratum, int | None, int, float]] = [
        ("candidates", 40, 40, 0.8),
        ("near controls", 160, 40, 0.2),
        ("unrelated controls", 1800, 60, 0.03),
        ("random directions", None, 20, 0.0),
    ]
    decisions, labels, start = list[Decision](), list[Label](), 0
    for stratum, _, drawn, share in strata:
        for index in range(start, start + drawn):
            relevant = bool(rng.random() < share)
            confidence = float(rng.uniform(0.6, 1.0))
            said = relevant if rng.random() < confidence else not relevant
            fate = rng.random()
            verdict = None if fate < 0.03 else "undecided" if fate < 0.1 else "yes" if said else "no"
            decisions.append(decide(index, verdict, confidence, stratum))
            if stratum != "random directions" and rng.random() < labelled:
                for name in annotators:
                    given = relevant if rng.random() < 0.93 else not relevant
                    labels.append(label(index, "yes" if given else "no", name))
        start += drawn
    return decisions, labels, [(stratum, population, drawn) for stratum, population, drawn, _ in strata]
