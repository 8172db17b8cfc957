"""SAEs of a world's model, and each of them held against the world as soon as it is trained."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from rich.progress import Progress

from tools.bench.compute import Compute
from tools.bench.loading import load_arm, load_model
from tools.errors import StudyError
from tools.study.definition import Study
from tools.study.reading import load_study
from tools.training.recipe import ModelRecipe, Recipe, SaeRecipe
from tools.training.sparse_autoencoder import make_fresh, train_on_stream
from tools.training.steps import change_of, find_model, halve, name_seed, number_seeds
from tools.training.world_activations import draw_batches, read_activations
from tools.training.world_model import WorldRecipe
from tools.truth.world_run import Sizes, hold_against_world
from tools.truth.world_truth import HeldSae, write_held
from tools.worlds.catalogue import load_world
from tools.worlds.world import World

_LOOKED_AT = 256
"""Transcripts that tell how many tokens a row has, without what fills it."""


class Wanted(NamedTuple):
    """Which SAEs, and where."""

    arm: str
    seeds: Sequence[int | None]
    """None for the recipe's."""
    target: Path
    """Folder of the study with the model; SAEs of the study's own recipe go into it."""
    work: Path
    """Folder of all others, and of what is made on the way."""
    beside: str
    """Folder under the arm's, of a varied recipe; empty for the study's own."""
    command: str
    """That makes one of them again, without its seed."""


def world_sae_recipe(target: Path, recipe: WorldRecipe) -> Recipe:
    """What a world's study says of SAEs, as for any other study: the model is given, and read by every arm.

    Raises:
        StudyError: it says nothing of them, or the model has not been trained.
    """
    if recipe.sae is None:
        raise StudyError("the study has no [training.sae]")
    if recipe.sae.trainer != "saelens":
        raise StudyError("training.sae.trainer stream reads texts, and a world has none: use saelens")
    if not (target / "base" / "model").is_dir():
        raise StudyError(
            f"{target / 'base' / 'model'} is missing: python -m tools.training world --world {recipe.world.name} trains it"
        )
    untrained = [name for name, arm in load_study(str(target)).arms.items() if arm.random_weights is not None]
    return Recipe(model=ModelRecipe(pretrained="base/model"), untrained="".join(untrained[:1]), sae=recipe.sae)


def make_world_saes(
    recipe: Recipe, world: str, wanted: Wanted, sizes: Sizes, device: str = "cpu", progress: Progress | None = None
) -> list[tuple[Path, HeldSae]]:
    """Train on transcripts, put in place, hold against the world, and write what comes of it beside the weights.

    Args:
        recipe: as `world_sae_recipe` gives it, varied or not.
        world: by its name.
        wanted: which, and where.
        sizes: transcripts that they are held against.
        device: as `tools.bench.compute.choose_device` returns it.
        progress: for the transcripts that are read.

    Raises:
        UnveilError: the recipe does not fit the model.
    """
    recipe.check_arm(wanted.arm)
    _train(recipe, draw_rows(load_world(world), recipe.sae), wanted, device)
    made: list[tuple[Path, HeldSae]] = []
    for seed in wanted.seeds:
        name = name_seed(recipe, seed, len(wanted.seeds) > 1)
        folder = wanted.work / wanted.arm / wanted.beside / name
        if not wanted.beside:
            folder = _ship(folder, wanted.target / wanted.arm / name)
        held = _hold(recipe.sae, world, wanted, seed, folder, sizes, device, progress)
        write_held(folder, held)
        made.append((folder, held))
    return made


def _train(recipe: Recipe, rows: Int64[np.ndarray, "rows positions"], wanted: Wanted, device: str) -> None:
    """One for each seed, all on what the model has at the same tokens, in an order of the seed's own."""
    arm, sae = wanted.work / wanted.arm, recipe.sae
    model = find_model(wanted.target, recipe, wanted.arm, wanted.work)
    bridge = load_model(model, device, "float32", change_of(recipe, wanted.arm, wanted.work)).bridge
    activations = read_activations(bridge, sae, rows, arm, device)
    for seed in number_seeds(recipe, wanted.arm, wanted.seeds, arm / wanted.beside):
        fresh = make_fresh(sae, activations.shape[1], seed=seed.number, device=device)
        batches = draw_batches(activations, sae.train_batch_size_tokens, seed.number, device)
        train_on_stream(fresh, sae, batches, seed.folder)


def draw_rows(world: World, recipe: SaeRecipe) -> Int64[np.ndarray, "rows positions"]:
    """Training transcripts with as many tokens as an SAE is trained on, what opens and fills them left out.

    Raises:
        StudyError: the recipe's rows are not as long as the world's.
    """
    if recipe.context_size != world.context_size:
        raise StudyError(f"training.sae.context_size has to be {world.context_size}, the length of a {world.name} row")
    told = float((world.rows("train", _LOOKED_AT, recipe.seed) > 0).sum(axis=1).mean())
    return world.rows("train", math.ceil(recipe.training_tokens / told), recipe.seed).astype(np.int64)


def _ship(source: Path, target: Path) -> Path:
    """In half precision, into the study's arm."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    halve(target)
    return target


def _hold(
    recipe: SaeRecipe,
    world: str,
    wanted: Wanted,
    seed: int | None,
    folder: Path,
    sizes: Sizes,
    device: str,
    progress: Progress | None,
) -> HeldSae:
    study = with_sae(load_study(str(wanted.target)), wanted.arm, folder)
    bench = load_arm(study, str(folder), Compute(device))
    return HeldSae(
        architecture=recipe.architecture,
        sparsity=recipe.sparsity,
        seed=recipe.seed if seed is None else seed,
        arm=wanted.arm,
        command=wanted.command + ("" if seed in (None, recipe.seed) else f" --seed {seed}"),
        truth=hold_against_world(bench, world, sizes, progress=progress),
    )


def with_sae(study: Study, arm: str, folder: Path) -> Study:
    """The study with one more arm, called by where its SAE lies."""
    return study.model_copy(
        update={"arms": {**study.arms, str(folder): study.arm(arm).model_copy(update={"sae": str(folder)})}}
    )
