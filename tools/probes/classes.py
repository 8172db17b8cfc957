"""Several classes, each with a probe of its own against all others, and what the features of one do to the rest (TPP)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from tools.probes.ablation import ablate_pooled
from tools.probes.choice import choose_by_effect
from tools.probes.draws import DRAWN_SHARE
from tools.probes.effects import class_effects
from tools.probes.pooling import Pooled
from tools.probes.probe import Probe, train_probe
from tools.probes.scr import perturbation_score
from tools.probes.task import Split, Task


class Perturbation(NamedTuple):
    """What taking out each class's features does to every class's probe."""

    score: float
    accuracies: Float[np.ndarray, " classes"]
    ablated: Float[np.ndarray, "classes classes"]
    """[for which class, whose probe]."""
    features: tuple[tuple[int, ...], ...]
    """Taken out for each class; fewer than asked for where fewer are more active in it."""
    by_text: Float[np.ndarray, "texts 2"]
    """What each test text adds to what the classes' own probes lose, and to what the others lose: sums over texts are means
    over classes, and the score is the one less the other."""


def train_class_probes(task: Task, inputs: Float[np.ndarray, "texts d"], seed: int) -> tuple[Probe, ...]:
    """A probe for each class, learned from as many texts of others as of its own.

    Args:
        task: of any number of classes.
        inputs: of all its texts, in order.
        seed: which texts are drawn.
    """
    probes: list[Probe] = []
    for place in range(len(task.classes)):
        own = (task.labels == place).astype(np.int64)
        drawn, held = (_draw(task, split, own, seed) for split in ("train", "development"))
        probes.append(train_probe(inputs[drawn], own[drawn], inputs[held], own[held]))
    return tuple(probes)


def measure_classes(
    task: Task, inputs: Float[np.ndarray, "texts d"], probes: tuple[Probe, ...]
) -> Float[np.ndarray, " classes"]:
    """Of each class's probe the mean of its accuracies on the class and on the rest of the test texts: 0.5 is chance."""
    return _read_classes(task, inputs, probes).sum(axis=0)


def perturb_classes(
    task: Task,
    pooled: Pooled,
    directions: Float[np.ndarray, "d_sae d_model"],
    probes: tuple[Probe, ...],
    n: int,
) -> Perturbation:
    """TPP with the n features that do most for each class's probe, of those more active in its training texts.

    Args:
        task: of two classes or more.
        pooled: at the SAE's hook, where the probes read.
        directions: unit decoder rows.
        probes: one a class.
        n: features taken out for each class.
    """
    train = task.within("train")
    features: list[list[int]] = []
    for place, probe in enumerate(probes):
        effects = class_effects(pooled.features[train], task.labels[train] == place, directions, probe)
        features.append(choose_by_effect(effects, n))
    return take_from_classes(task, pooled, directions, probes, features)


def take_from_classes(
    task: Task,
    pooled: Pooled,
    directions: Float[np.ndarray, "d_sae d_model"],
    probes: tuple[Probe, ...],
    features: Sequence[Sequence[int]],
) -> Perturbation:
    """TPP with features of one's own for each class.

    Args:
        task: of two classes or more.
        pooled: at the SAE's hook, where the probes read.
        directions: unit decoder rows.
        probes: one a class.
        features: those taken out for each class.
    """
    k, before = len(probes), _read_classes(task, pooled.residual, probes)
    after = np.stack(
        [_read_classes(task, ablate_pooled(pooled, directions, chosen), probes) for chosen in features]
    )  # [for which class, text, whose probe]
    lost = before - after
    own = np.einsum("ktk->t", lost) / k
    others = (lost.sum(axis=(0, 2)) - own * k) / (k * (k - 1))
    accuracies, ablated = before.sum(axis=0), after.sum(axis=1)
    score = perturbation_score(accuracies, ablated)
    return Perturbation(score, accuracies, ablated, tuple(map(tuple, features)), np.stack([own, others], axis=1))


def _read_classes(
    task: Task, inputs: Float[np.ndarray, "texts d"], probes: tuple[Probe, ...]
) -> Float[np.ndarray, "test classes"]:
    """What each test text adds to the accuracy of each class's probe."""
    test = task.within("test")
    columns: list[np.ndarray] = []
    for place, probe in enumerate(probes):
        own = (task.labels[test] == place).astype(np.int64)
        weights = 1 / (2 * np.bincount(own, minlength=2))[own]
        columns.append(probe.is_correct(inputs[test], own) * weights)
    return np.stack(columns, axis=1)


def _draw(task: Task, split: Split, own: Int64[np.ndarray, " texts"], seed: int) -> Int64[np.ndarray, " drawn"]:
    rng = np.random.default_rng(seed)
    sides = [np.flatnonzero(task.within(split) & (own == side)) for side in (0, 1)]
    n = max(1, int(DRAWN_SHARE * min(map(len, sides))))
    return np.sort(np.concatenate([rng.choice(side, n, replace=False) for side in sides]))
