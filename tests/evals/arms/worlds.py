"""Run folders made by hand, whose features are as relevant, coherent and steerable as a test wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from agent.folder.config import RunConfig
from agent.folder.provenance import hash_file, study_files
from agent.folder.records import (
    Decision,
    JudgeRef,
    Manifest,
    Provenance,
    SelectedFeature,
    Selection,
    SteeringVerdict,
    StratumSize,
)
from agent.folder.store import RunFolder, sha256_of
from benchmarks.material.evidence import typical_pair, typical_steering
from tools.records import (
    CoherenceEvidence,
    Evidence,
    FeatureRef,
    KeywordEvidence,
    KeywordHit,
    Projection,
    SteeredPair,
    SteeringEvidence,
    Stratum,
    TokenWeight,
)
from tools.study.parts import hash_tables
from tools.study.reading import load_study

N_FEATURES, N_CANDIDATES, N_CONTROLS, N_RANDOM = 60, 16, 8, 10
PROMPTS, SEEDS = ("The", "A"), (0, 1)


class World(NamedTuple):
    """What an arm is like."""

    name: str = "base"
    seed: int = 0
    relevant: int = 8
    """Candidates judged relevant; the rest are undecided."""
    investigated: int = N_CANDIDATES
    """Candidates drawn, those with the most hits."""
    coherence: float = 0.4
    wins: float = 0.7
    perplexity_bound: float = 100.0
    judge: str = "rules"
    study: str = "nowhere"
    hashes: Mapping[str, str] = {}
    prompts: Sequence[str] = PROMPTS
    controls: float = 1.0


BASE = World()


def survey_table(world: World) -> pd.DataFrame:
    """The first features are candidates with two hits or more; only those beyond the null may be relevant."""
    rng = np.random.default_rng(world.seed)
    hits = np.zeros(N_FEATURES, dtype=int)
    hits[:N_CANDIDATES] = np.linspace(6, 2, N_CANDIDATES).round().astype(int)
    weights = np.sort(rng.uniform(0.5, 2.0, (N_FEATURES, 3)).astype(np.float32), axis=1)[:, ::-1]
    coherence = world.coherence + rng.normal(0, 0.05, N_FEATURES)
    return pd.DataFrame(
        {
            "index": np.arange(N_FEATURES),
            "top_tokens": [[f" {world.name}{i}a", f" {world.name}{i}b", " the"] for i in range(N_FEATURES)],
            "top_weights": list(weights),
            "std": rng.uniform(0.2, 0.3, N_FEATURES).astype(np.float32),
            "skewness": rng.normal(0, 0.1, N_FEATURES).astype(np.float32),
            "kurtosis": rng.normal(3, 0.2, N_FEATURES).astype(np.float32),
            "keyword_hits": hits,
            "keyword_hits_direct": np.roll(hits, 1),
            "keyword_null_share": np.where(hits >= 3, 0.005, 0.5),
            "coherence_weighted": np.where(np.arange(N_FEATURES) == N_FEATURES - 2, np.nan, coherence),
            "coherence_deduplicated": np.where(np.arange(N_FEATURES) % 10 == 9, np.nan, coherence),
            "alive": np.arange(N_FEATURES) != N_FEATURES - 1,
        }
    )


def _steer(world: World, rng: np.random.Generator) -> SteeringEvidence:
    pairs: list[SteeredPair] = []
    for prompt in world.prompts:
        for seed in SEEDS:
            won = bool(rng.random() < world.wins)
            low, high = sorted(rng.uniform(0.2, 0.6, 2).tolist())
            texts = {
                name: f"{name} text {rng.integers(10**9)}" for name in ("unsteered", "steered", "random", "flipped")
            }
            scores = {"score_unsteered": low if won else high, "score_steered": high if won else low}
            pairs.append(typical_pair(seed, prompt=prompt, score_random=0.3, score_flipped=0.3, **texts, **scores))
    return typical_steering(
        pairs,
        strength=0.5,
        asked=0.5,
        win_rate=float(np.mean([pair.win for pair in pairs])),
        null_lists=20,
        log_probability_lift=float(rng.normal(3, 0.5)),
        perplexity_bound=world.perplexity_bound,
    )


def _observe(world: World, row: Any, feature: FeatureRef, stratum: Stratum, rng: np.random.Generator) -> Evidence:
    tokens, hits = list(row["top_tokens"]), int(row["keyword_hits"])
    top = tuple(TokenWeight(token=t, weight=float(w)) for t, w in zip(tokens, row["top_weights"], strict=True))
    found = tuple(KeywordHit(token=" doctor", word="doctor", joined=False) for _ in range(hits))
    value = float(row["coherence_deduplicated"])
    return Evidence(
        feature=feature,
        stratum=stratum,
        projection=Projection(top=top, std=float(row["std"]), kurtosis=float(row["kurtosis"])),
        keywords=KeywordEvidence(
            hits=found, n_top=10, substring_hits=hits, null_share=float(row["keyword_null_share"])
        ),
        coherence=CoherenceEvidence(
            weighted=None, deduplicated=None if np.isnan(value) else value, n_valid=3, coverage=1.0, null_share=0.1
        ),
        steering=_steer(world, rng),
    )


def _decide(world: World, evidence: Evidence, relevant: str) -> Decision:
    steering = evidence.steering
    assert steering is not None
    verdict = "passes" if steering.win_rate > 0.5 else "fails"
    return Decision.model_validate(
        {
            "run_id": f"run-{world.name}",
            "feature": evidence.feature,
            "stratum": evidence.stratum,
            "status": "decided",
            "label": f"label of {world.name}",
            "relevant": relevant,
            "confidence": 0.9,
            "steering": SteeringVerdict(verdict=verdict, win_rate=steering.win_rate, n=steering.n, null_win_rate=0.5),
            "evidence_sha256": sha256_of(evidence),
            "judge": JudgeRef.model_validate({"kind": world.judge}),
        }
    )


def describe_manifest(world: World, selection: Selection) -> Manifest:
    hashes = {"model": f"model of {world.name}", "sae": f"SAE of {world.name}", "vocabulary": "v", "vectors": "w"}
    parts: dict[str, str] = {}
    if Path(world.study).is_dir():  # as a run of it would have recorded it
        parts = hash_tables(world.study, world.name)
        files = study_files(load_study(world.study))
        hashes |= {role: hash_file(file) for role, file in files.items() if role != "guideline"}
    return Manifest(
        run_id=f"run-{world.name}",
        started="2026-01-31T10:00:00+00:00",
        config=RunConfig(study=world.study, sae=world.name, controls=world.controls),
        study_title="A study made by hand",
        domain="medicine",
        provenance=Provenance(
            command=(), git_commit=None, git_dirty=None, python="3", packages={}, sha256={**hashes, **world.hashes}
        ),
        selection=selection,
        computed="cpu in float32",
        study_sha256=parts,
    )


def write_arm(path: Path, world: World = BASE) -> Path:
    """A finished run: survey, evidence and decisions of candidates, two control strata and random directions."""
    table, rng = survey_table(world), np.random.default_rng(world.seed + 1)
    near = range(N_CANDIDATES, N_CANDIDATES + 14)
    rest = range(N_CANDIDATES + 14, N_FEATURES - 1)
    drawn: list[tuple[Stratum, Sequence[int], int | None]] = [
        ("candidates", range(world.investigated), N_CANDIDATES),
        ("near controls", near[:N_CONTROLS], len(near)),
        ("unrelated controls", rest[:N_CONTROLS], len(rest)),
        ("random directions", range(N_RANDOM), None),
    ]
    evidence: list[Evidence] = []
    for stratum, rows, _ in drawn:
        kind = "random_direction" if stratum == "random directions" else "feature"
        for i in rows:
            feature = FeatureRef.model_validate({"study": "hand", "sae": world.name, "index": i, "kind": kind})
            row = table.iloc[N_FEATURES - 3 - i if kind != "feature" else i]
            evidence.append(_observe(world, row, feature, stratum, rng))
    decisions = [_decide(world, record, _verdict(world, record)) for record in evidence]
    selection = Selection(
        items=tuple(SelectedFeature(feature=record.feature, stratum=record.stratum) for record in evidence),
        sizes=tuple(StratumSize(stratum=s, population=population, drawn=len(rows)) for s, rows, population in drawn),
    )
    run = RunFolder.create(path, describe_manifest(world, selection))
    table.to_parquet(path / "features.parquet", index=False)
    run.write_evidence(evidence)
    run.decisions_file.write_text("".join(decision.model_dump_json() + "\n" for decision in decisions))
    return path


def _verdict(world: World, record: Evidence) -> str:
    if record.stratum != "candidates" or record.keywords is None or record.keywords.null_share > 0.01:
        return "no"
    return "yes" if record.feature.index < world.relevant else "undecided"
