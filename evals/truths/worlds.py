"""A run on a world of known truth: its SAE held against the world."""

from __future__ import annotations

from rich.progress import Progress

from agent.folder.entrusted import open_recorded_corpus
from agent.folder.records import Manifest
from evals.truths.results import WorldHeld
from tools.bench.compute import Compute, settle_precision
from tools.bench.loading import load_arm
from tools.errors import UnveilError
from tools.study.definition import Study
from tools.truth.world_run import Sizes, hold_against_world


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
