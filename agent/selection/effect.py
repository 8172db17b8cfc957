"""Candidates by what they do for a classifier: the features that add most to the logit of one that learned from biased texts.

The classifier reads what the SAE reads, so that a feature's effect on it is exact (`tools.probes.effects`). Which of the
candidates the classifier had better do without is what the run's judge is asked.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from agent.errors import RunError
from agent.folder.config import RunConfig
from agent.folder.task_files import DEFINITION, TASK, TEXTS, task_files
from agent.selection.strata import Strata, draw, part, select
from agent.selection.strategy import Chosen, Ground, Prepared
from tools.study.corpus import Corpus

if TYPE_CHECKING:
    from tools.probes.probe import Accuracy, Probes
    from tools.probes.task import Task

HALF = 0.5
"""Share of all features' effects that few are said to carry."""


class Effects(NamedTuple):
    """What every feature does for two classifiers, [d_sae] each, and how well the classifiers do."""

    biased: Float[np.ndarray, " d_sae"]
    """For the one of the label that learned from texts in which the attribute gives it away."""
    attribute: Float[np.ndarray, " d_sae"]
    """For the one of the attribute."""
    accuracies: dict[str, Accuracy]
    """Of oracle, biased and attribute probe, on balanced development texts: no test text is looked at."""


def prepare(corpus: Corpus, config: RunConfig) -> Prepared:
    """Read the task.

    Raises:
        UnveilError: it is missing, does not read, or has nothing that goes with its label by accident.
    """
    from agent.folder.provenance import hash_file
    from tools.probes.definition import find_definition
    from tools.probes.reading import read_task

    if config.task is None:
        raise RunError("features are chosen by their effect on a classifier of a task: name it with --task")
    definition = find_definition(config.task, corpus.study)
    task = read_task(definition)
    if not task.attribute:
        raise RunError(f"task {task.name} has no attribute, and so no classifier that is biased by one")
    counts = {split: int(task.within(split).sum()) for split in ("train", "development", "test")}
    lines = (
        f"  task {task.name}: {task.label} ({' or '.join(task.classes)}), which goes with {task.attribute} "
        f"({' or '.join(task.attribute_classes)}) by accident; "
        + ", ".join(f"{count:,} texts in {split}" for split, count in counts.items()),
        *(f"  {note}" for note in task.notes),
        f"  each feature is rated for {task.label} and {task.attribute}, in place of the study's question",
    )
    files = {role: hash_file(file) for role, file in task_files(definition).items() if role in (DEFINITION, TEXTS)}
    return Prepared(partial(choose, task), lines, {TASK: task.sha256, **files})


def choose(task: Task, ground: Ground) -> Chosen:
    """The features with the largest effects are the candidates, the next largest tenth the near controls.

    Raises:
        UnveilError: a text has no token that counts.
    """
    study, config = ground.study, ground.config
    effects = measure(task, ground)
    size = np.abs(effects.biased)
    alive = ground.survey["alive"].to_numpy()
    strata = rank(size, alive, study.candidate_limit if config.limit is None else config.limit)
    fields: dict[str, Any] = {
        "notes": describe(task, effects, strata),
        "basis": tell_basis(task, effects, strata, config.seed),
    }
    columns = {"effect": effects.biased, "effect_attribute": effects.attribute}
    return Chosen(select(draw(strata, study, config), strata, study, config, size, **fields), columns)


def rank(size: Float[np.ndarray, " d_sae"], alive: Bool[np.ndarray, " d_sae"], limit: int) -> Strata:
    """All live features by the size of their effect; one without any is no candidate."""
    from tools.probes.effects import rank_effects

    ranked = rank_effects(size)
    candidates = ranked[alive[ranked] & (size[ranked] > 0)][:limit]
    others = np.setdiff1d(np.flatnonzero(alive), candidates)
    return part(candidates, others, size[others])


def measure(task: Task, ground: Ground) -> Effects:
    """Read the texts, train the probes that the seed draws texts for, and take each feature's effect on them."""
    from tools.probes.draws import draw_ambiguous, draw_balanced
    from tools.probes.effects import contrast_effects, exact_effects
    from tools.probes.pooling import pool_texts
    from tools.probes.probe import Probe, train_probes

    bench, seed = ground.bench, ground.config.seed
    assert bench is not None
    pooled = pool_texts(bench, [text.text for text in task.texts], ground.progress)
    probes = train_probes(task, pooled.residual, seed)
    directions = bench.directions.cpu().numpy()

    def contrast(probe: Probe, drawn: Int64[np.ndarray, " n"], classes: Int64[np.ndarray, " texts"]) -> np.ndarray:
        return contrast_effects(exact_effects(pooled.features[drawn], directions, probe), classes[drawn] == 1)

    return Effects(
        contrast(probes.biased, draw_ambiguous(task, "train", seed), task.labels),
        contrast(probes.attribute, draw_balanced(task, "train", seed), task.attributes),
        examine(task, probes, pooled.residual),
    )


def examine(task: Task, probes: Probes, inputs: Float[np.ndarray, "texts d"]) -> dict[str, Accuracy]:
    """How well the probes do on the development texts that four equal quadrants can hold."""
    from tools.probes.draws import take_balanced
    from tools.probes.probe import measure_accuracy

    held = take_balanced(task, "development")
    read = {
        "oracle": (probes.oracle, task.labels),
        "biased": (probes.biased, task.labels),
        "attribute": (probes.attribute, task.attributes),
    }
    return {
        name: measure_accuracy(probe.is_correct(inputs[held], classes[held]), task.quadrants[held])
        for name, (probe, classes) in read.items()
    }


def count_for(size: Float[np.ndarray, " d_sae"], share: float) -> int:
    """The fewest features that have such a share of all effects."""
    summed = np.cumsum(np.sort(size)[::-1])
    return int(np.searchsorted(summed, share * summed[-1]) + 1) if len(summed) and summed[-1] > 0 else 0


def describe(task: Task, effects: Effects, strata: Strata) -> tuple[str, ...]:
    """What the console and the report say of the choice."""
    size, told = np.abs(effects.biased), effects.accuracies
    by_quadrant = ", ".join(
        f"{task.name_quadrant(place)} {share:.0%}" for place, share in enumerate(told["biased"].by_quadrant)
    )
    learned = (
        f"of {told['biased'].texts} balanced development texts the biased classifier puts {told['biased'].share:.0%} in "
        f"their {task.label} ({by_quadrant}), one that learned from balanced texts {told['oracle'].share:.0%}"
    )
    if told["oracle"].share - told["biased"].share <= 0:
        learned = f"warning: {learned}: nothing here is biased, and nothing can be mended"
    means = (("near", strata.near), ("unrelated", strata.unrelated))
    beside = ", ".join(f"{size[among].mean():.2g} for {name} controls" for name, among in means if len(among))
    mean = f"{size[strata.candidates].mean():.2g}" if len(strata.candidates) else "none"
    carried = (
        f"{count_for(size, HALF):,} of {int((size > 0).sum()):,} features with an effect carry half of all effects, the "
        f"{len(strata.candidates)} candidates {share_of(size, strata):.0%}; mean effect {mean}"
        + f", {beside}"
        * bool(beside)
    )
    return (learned, carried)


def share_of(size: Float[np.ndarray, " d_sae"], strata: Strata) -> float:
    """The candidates' share of all effects."""
    return float(size[strata.candidates].sum() / size.sum()) if size.sum() > 0 else 0.0


def tell_basis(task: Task, effects: Effects, strata: Strata, seed: int) -> dict[str, Any]:
    """For the manifest."""
    size = np.abs(effects.biased)
    accuracies = {
        name: {
            "texts": found.texts,
            "accuracy": found.share,
            "by_quadrant": list(found.by_quadrant),
            "worst": found.worst,
        }
        for name, found in effects.accuracies.items()
    }
    return {
        "task": task.name,
        "label": task.label,
        "classes": list(task.classes),
        "attribute": task.attribute,
        "attribute_classes": list(task.attribute_classes),
        "seed": seed,
        "development": accuracies,
        "with_effect": int((size > 0).sum()),
        "carry_half": count_for(size, HALF),
        "candidates_share": share_of(size, strata),
        "notes": list(task.notes),
    }
