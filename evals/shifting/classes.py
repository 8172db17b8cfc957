"""TPP on a task of several classes: what a class's own features do to its classifier, and to those of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from evals.shifting.resampling import Frame
from evals.shifting.results import Classes, ClassesRow
from evals.shifting.ways import PUBLISHED, SIZES
from evals.statistics.estimate import Estimate
from tools.probes.choice import choose_like
from tools.probes.classes import Perturbation, perturb_classes, take_from_classes, train_class_probes
from tools.probes.effects import class_effects
from tools.probes.ground import Ground
from tools.probes.probe import Probe

RANDOM_DRAWS = 3


def perturb(
    ground: Ground,
    seeds: Sequence[int],
    seed: int,
    sizes: Sequence[int] = (*SIZES, PUBLISHED),
    advance: Callable[[], object] = lambda: None,
) -> Classes:
    """TPP at each number of features a class, with random ones of equal density and effect beside it.

    Args:
        ground: a task of two classes or more; of an attribute nothing is asked.
        seeds: of the probes.
        seed: of the resamples.
        sizes: features taken out for each class.
        advance: called after each number.
    """
    task = ground.task
    probes = [train_class_probes(task, ground.pooled.residual, one) for one in seeds]
    frame = Frame(task.labels[task.within("test")], len(seeds), seed)
    rows: list[ClassesRow] = []
    accuracies = np.zeros(len(task.classes))
    for n in sizes:
        found = [perturb_classes(task, ground.pooled, ground.directions, of_seed, n) for of_seed in probes]
        random = [
            _perturb_at_random(ground, of_seed, one, place)
            for place, (of_seed, one) in enumerate(zip(probes, found, strict=True))
        ]
        by_text = np.stack([one.by_text for one in found], axis=1)  # [texts, seeds, (own, others)]
        own, others = (float(by_text[..., side].mean(axis=1).sum()) for side in (0, 1))
        score = frame.total(by_text[..., 0] - by_text[..., 1])
        rows.append(ClassesRow(asked=n, score=score, own=own, others=others, random=float(np.mean(random))))
        accuracies = np.mean([one.accuracies for one in found], axis=0)
        advance()
    return Classes(
        task=task.name,
        classes=task.classes,
        texts=int(task.within("test").sum()),
        accuracies=tuple(accuracies.tolist()),
        rows=tuple(rows),
    )


def _perturb_at_random(ground: Ground, probes: tuple[Probe, ...], found: Perturbation, place: int) -> float:
    """The mean score of some draws of features that are like those chosen for each class."""
    task, train = ground.task, ground.task.within("train")
    effects: list[Float[np.ndarray, " d_sae"]] = [
        class_effects(ground.pooled.features[train], task.labels[train] == own, ground.directions, probe)
        for own, probe in enumerate(probes)
    ]
    scores: list[float] = []
    for draw in range(RANDOM_DRAWS):
        drawn = [
            choose_like(chosen, ground.pooled.density, effect, RANDOM_DRAWS * place + draw)
            for chosen, effect in zip(found.features, effects, strict=True)
        ]
        scores.append(take_from_classes(task, ground.pooled, ground.directions, probes, drawn).score)
    return float(np.mean(scores))


def score_at(classes: Classes | None, n: int) -> Estimate:
    """TPP at a number of features; none where nobody looked."""
    return (
        next((row.score for row in classes.rows if row.asked == n), Estimate(value=None))
        if classes
        else Estimate(value=None)
    )
