"""A planted world to act on verdicts in: texts whose attribute is written along u and whose class along v.

The SAE has u and v among its features, and others that are noise. Whoever judges u beside the point is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64

from agent.folder.records import Decision, Manifest
from agent.folder.store import RunFolder
from tests.agent.cases import make_evidence
from tests.evals.worlds import decide, manifest
from tools.probes.ground import Ground
from tools.probes.pooling import Pooled
from tools.probes.task import Task, TaskText, split_of

D, FEATURES = 12, 10
U, V = 0, 1
RIGHT = {U: (4, 0), V: (0, 4), 2: (0, 0), 3: (1, 1), 4: (0, 1)}
"""Ratings of attribute and label that see the world as it is."""


def make_task(each: int = 100) -> Task:
    texts = tuple(
        TaskText(document=f"d{n}", text=f"t{n}", label=n // 2 % 2, attribute=n % 2, split=split_of(f"d{n}", 0.3, 0.2))
        for n in range(4 * each)
    )
    return Task(
        name="planted",
        label="trade",
        classes=("cook", "sailor"),
        attribute="age",
        attribute_classes=("new", "old"),
        texts=texts,
    )


def make_ground(each: int = 100, noise: float = 0.05, size: float = 1.0, class_size: float = 1.0) -> Ground:
    """Both concepts are written as +1 and -1, so that taking one out leaves the threshold where it was."""
    task, rng = make_task(each), np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(D, D)))[0][:FEATURES]
    features = np.abs(rng.normal(size=(len(task.texts), FEATURES))) * noise
    features[:, U] += size * (2 * task.attributes - 1)
    features[:, V] += class_size * (2 * task.labels - 1)
    residual = (features @ directions + noise * rng.normal(size=(len(features), D))).astype(np.float32)
    pooled = Pooled(residual, features.astype(np.float32), np.full(len(features), 10), np.full(FEATURES, 0.5))
    return Ground(task, pooled, directions)


class PlantedTokens:
    """Two tokens at the embedding, one of which gives the attribute away: without it the stream has no u."""

    def __init__(self, ground: Ground) -> None:
        task, self._ground = ground.task, ground
        self.names = (" he", " the")
        self.shares = np.stack([task.attributes / 2, np.full(len(task.texts), 0.5)], axis=1).astype(np.float32)
        self.directions = np.eye(2, dtype=np.float32)
        self.residual = self.shares
        self.read = list[tuple[int, ...]]()

    def without(self, tokens: Sequence[int], wanted: Int64[np.ndarray, " n"]) -> Float[np.ndarray, "texts d_model"]:
        self.read.append(tuple(tokens))
        found = np.full_like(self._ground.pooled.residual, np.nan)
        pooled, directions = self._ground.pooled, self._ground.directions
        gone = pooled.features[:, [U]] @ directions[[U]] if 0 in tokens else 0
        found[wanted] = (pooled.residual - gone)[wanted].astype(np.float32)
        return found


def decisions_of(ratings: Mapping[int, tuple[int, int]], failed: Sequence[int] = ()) -> list[Decision]:
    """Candidates with ratings of attribute and label, failed ones, and two controls."""
    found = [decide(index, None, ratings={"age": age, "trade": trade}) for index, (age, trade) in ratings.items()]
    found += [decide(index, None) for index in failed]
    found.append(decide(8, None, stratum="near controls", ratings={"age": 0, "trade": 0}))
    found.append(decide(0, None, stratum="random directions", ratings={"age": 3, "trade": 0}))
    return found


def manifest_of(decisions: Sequence[Decision], task: Task | None = None, name: str = "planted") -> Manifest:
    known = manifest([("candidates", 10, 5), ("near controls", 1, 1), ("random directions", None, 1)], decisions)
    sha256 = {"model": "m", "sae": "s"} | ({"task": task.sha256} if task else {})
    return known.model_copy(
        update={
            "config": known.config.model_copy(update={"task": name if task else None}),
            "provenance": known.provenance.model_copy(update={"sha256": sha256}),
        }
    )


def write_rated(path: Path, decisions: Sequence[Decision], task: Task | None, name: str = "planted") -> Path:
    """A finished run's folder."""
    run = RunFolder.create(path, manifest_of(decisions, task, name))
    run.write_evidence([make_evidence().model_copy(update={"feature": one.feature}) for one in decisions])
    for one in decisions:
        run.append_decision(one)
        run.write_transcript(one.feature, [])
    return path
