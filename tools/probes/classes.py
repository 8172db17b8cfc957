"""Several classes, each with a probe of its own against all others, and what the features of one do to the rest (TPP)."""

from __future__ import annotations

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
    test = task.within("test")
    found: list[float] = []
    for place, probe in enumerate(probes):
        own = (task.labels == place).astype(np.int64)
        correct = probe.is_correct(inputs[test], own[test])
        found.append(float(np.mean([correct[own[test] == side].mean() for side in (0, 1)])))
    return np.array(found)


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
    accuracies, ablated = measure_classes(task, pooled.residual, probes), list[np.ndarray]()
    features: list[tuple[int, ...]] = []
    for place, probe in enumerate(probes):
        effects = class_effects(pooled.features[train], task.labels[train] == place, directions, probe)
        features.append(tuple(choose_by_effect(effects, n)))
        ablated.append(measure_classes(task, ablate_pooled(pooled, directions, features[-1]), probes))
    return Perturbation(
        perturbation_score(accuracies, np.stack(ablated)), accuracies, np.stack(ablated), tuple(features)
    )


def _draw(task: Task, split: Split, own: Int64[np.ndarray, " texts"], seed: int) -> Int64[np.ndarray, " drawn"]:
    rng = np.random.default_rng(seed)
    sides = [np.flatnonzero(task.within(split) & (own == side)) for side in (0, 1)]
    n = max(1, int(DRAWN_SHARE * min(map(len, sides))))
    return np.sort(np.concatenate([rng.choice(side, n, replace=False) for side in sides]))
