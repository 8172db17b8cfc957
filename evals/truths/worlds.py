"""A run on a world of known truth: its SAE held against the world, and what its features are known to mean."""

from __future__ import annotations

from rich.progress import Progress

from agent.folder.entrusted import open_recorded_corpus
from agent.folder.records import Manifest
from evals.truths.results import WorldHeld
from tools.bench.compute import Compute, settle_precision
from tools.bench.loading import load_arm
from tools.errors import UnveilError
from tools.study.definition import Study
from tools.study.reading import read_tables
from tools.truth.known import KnownFeature
from tools.truth.world_run import Sizes, hold_against_world
from tools.truth.world_truth import WorldTruth
from tools.worlds.catalogue import WORLDS


def find_world(manifest: Manifest) -> str | None:
    """The world that a run's study is about, by its name; None where it is about none.

    Raises:
        StudyError: the study is not there, or does not read.
    """
    if manifest.config.evidence is not None:
        return None
    _, table = read_tables(manifest.config.study)
    for key in ("training", "world", "name"):
        table = table.get(key) if isinstance(table, dict) else None
    return table if isinstance(table, str) and table in WORLDS else None


def hold_run(
    manifest: Manifest, world: str, sizes: Sizes, seed: int, device: str, progress: Progress | None = None
) -> WorldHeld:
    """The run's SAE against the world, and beside it that of the model before any training, where the study has one.

    Raises:
        UnveilError: a part of the run is missing, or not what it was, or does not read the world.
    """
    study, config = open_recorded_corpus(manifest).study, manifest.config
    compute = Compute(device, settle_precision(config.precision, study.precision), int(config.memory_gib * 2**30))
    truth = hold_against_world(load_arm(study, config.sae, compute), world, sizes, seed, progress)
    untrained, remark = None, ""
    if (arm := _find_untrained(study, config.sae)) is not None:
        try:
            untrained = hold_against_world(load_arm(study, arm, compute), world, sizes, seed, progress)
        except UnveilError as error:  # a floor that is not there is said to be missing, and costs nothing else
            remark = f"there is no floor of a model with random weights: {error}"
    return WorldHeld(truth=truth, untrained=untrained, remark=remark)


def _find_untrained(study: Study, arm: str) -> str | None:
    return next((name for name, one in study.arms.items() if one.random_weights is not None and name != arm), None)


def know_labels(truth: WorldTruth) -> tuple[KnownFeature, ...]:
    """Features with a true label, as labels are held against them."""
    return tuple(label.known for label in truth.labels)
