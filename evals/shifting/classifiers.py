"""The classifiers of each probe seed, and what each makes of texts in which something was taken out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from evals.shifting.results import Threshold
from tools.probes.draws import draw_ambiguous, draw_balanced, take_balanced
from tools.probes.effects import contrast_effects, exact_effects
from tools.probes.ground import Ground
from tools.probes.probe import Probe, Probes, centre_threshold, train_probe, train_probes
from tools.probes.task import Task


class Direction(NamedTuple):
    """What is taken out and what is then to be read: the class with the attribute out of the way, or the other way about."""

    number: Literal[1, 2]
    removed: str
    kept: str

    def classes(self, task: Task) -> Int64[np.ndarray, " texts"]:
        """Of what is read."""
        return task.labels if self.number == 1 else task.attributes


class Reader(NamedTuple):
    """The classifiers of one probe seed; all of them at the SAE's hook."""

    seed: int
    probes: Probes
    ambiguous: Int64[np.ndarray, " texts"]
    """What the biased one learned from."""
    held: Int64[np.ndarray, " others"]
    """What its penalty was chosen by."""
    biased: Float[np.ndarray, " d_sae"]
    """What each feature does for the biased classifier: SHIFT's order of candidates."""
    own: Mapping[str, Float[np.ndarray, " d_sae"]]
    """The same for a classifier of one concept alone, on balanced texts: SCR's order."""
    tokens: Mapping[str, Float[np.ndarray, " tokens"]]
    """The same of tokens, for a classifier on the embedding."""


def directions_of(task: Task) -> tuple[Direction, Direction]:
    """Both."""
    return Direction(1, task.attribute, task.label), Direction(2, task.label, task.attribute)


def train_reader(ground: Ground, seed: int) -> Reader:
    """Train and rank.

    Args:
        ground: a task with an attribute.
        seed: which texts are drawn.
    """
    task, features = ground.task, ground.pooled.features
    probes = train_probes(task, ground.pooled.residual, seed)
    ambiguous, balanced = draw_ambiguous(task, "train", seed), draw_balanced(task, "train", seed)

    def rank(
        shares: np.ndarray, directions: np.ndarray, probe: Probe, drawn: np.ndarray, classes: np.ndarray
    ) -> np.ndarray:
        return contrast_effects(exact_effects(shares[drawn], directions, probe), classes[drawn] == 1)

    tokens: dict[str, np.ndarray] = {}
    if (found := ground.tokens) is not None:
        early = train_probes(task, found.residual, seed)
        for name, probe, classes in _concepts(task, early):
            tokens[name] = rank(found.shares, found.directions, probe, balanced, classes)
    return Reader(
        seed=seed,
        probes=probes,
        ambiguous=ambiguous,
        held=draw_ambiguous(task, "development", seed),
        biased=rank(features, ground.directions, probes.biased, ambiguous, task.labels),
        own={
            name: rank(features, ground.directions, probe, balanced, classes)
            for name, probe, classes in _concepts(task, probes)
        },
        tokens=tokens,
    )


def _concepts(task: Task, probes: Probes) -> tuple[tuple[str, Probe, np.ndarray], ...]:
    return (task.label, probes.oracle, task.labels), (task.attribute, probes.attribute, task.attributes)


def read_oracle(ground: Ground, reader: Reader, direction: Direction) -> Bool[np.ndarray, " test"]:
    """Which test texts the unbiased classifier puts in their class, nothing taken out."""
    test = take_balanced(ground.task, "test")
    oracle = reader.probes.oracle if direction.number == 1 else reader.probes.attribute
    return oracle.is_correct(ground.pooled.residual[test], direction.classes(ground.task)[test])


def read_biased(
    ground: Ground,
    reader: Reader,
    direction: Direction,
    bare: Float[np.ndarray, "texts d"],
    thresholds: tuple[Threshold, ...],
) -> dict[Threshold, Bool[np.ndarray, " test"]]:
    """Which test texts the biased classifier puts in their class.

    Args:
        ground: the task.
        reader: the classifiers of a seed.
        direction: what is read.
        bare: all texts with something taken out; those that are neither test texts nor the seed's may be nan.
        thresholds: how it is set.
    """
    task, test = ground.task, take_balanced(ground.task, "test")
    classes = direction.classes(task)[test]
    found: dict[Threshold, np.ndarray] = {}
    for threshold in thresholds:
        probe = reader.probes.biased
        if threshold == "centred":
            probe = centre_threshold(probe, bare[reader.ambiguous], task.labels[reader.ambiguous])
        elif threshold == "trained again":
            learned, held = reader.ambiguous, reader.held
            probe = train_probe(bare[learned], task.labels[learned], bare[held], task.labels[held])
        found[threshold] = probe.is_correct(bare[test], classes)
    return found


def wanted_texts(task: Task, readers: tuple[Reader, ...]) -> Int64[np.ndarray, " n"]:
    """Those that any seed reads with something taken out."""
    return np.unique(np.concatenate([take_balanced(task, "test"), *(reader.ambiguous for reader in readers)]))
