"""What `python -m tools.training` does with --world: a world's model, and SAEs of it; or SAEs of a world without a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from tools.bench.compute import choose_device
from tools.display.console import LineConsole
from tools.display.progress import Bars
from tools.display.terminal import say
from tools.training.sums import SumsRecipe, make_sums_saes
from tools.training.sums import Wanted as SumsWanted
from tools.training.world_model import WorldRecipe, load_world_recipe, make_world_model, read_recipe
from tools.training.world_sae import Wanted, make_world_saes, world_sae_recipe
from tools.truth.world_run import SMALLEST, Sizes
from tools.worlds.catalogue import LISTED


class Places(NamedTuple):
    """Of a world's study: where it is, where what is made of it goes, where that is made, and its recipe."""

    study: Path
    target: Path
    work: Path
    recipe: WorldRecipe


def place_world(arguments: argparse.Namespace) -> Places:
    """The study's own folder; under `--smallest` a copy in that of `--work`.

    Raises:
        StudyError: as `load_world_recipe`.
    """
    study, recipe = load_world_recipe(arguments.study, arguments.world)
    name = study.resolve().name + ("-smallest" if arguments.smallest else "")
    work: Path = arguments.work or Path("runs/training") / name
    if arguments.smallest:
        return Places(study, work / "study", work, recipe.smallest)
    return Places(study, study, work, recipe)


def make_model(arguments: argparse.Namespace) -> None:
    """Train the model, and say how well it keeps to the rules."""
    places = place_world(arguments)
    device = choose_device(arguments.device)
    measured = make_world_model(
        places.study, places.recipe, places.target, places.work, device, not arguments.no_compile
    )
    say(f"{places.target}: {measured.describe()}")


def make_saes(arguments: argparse.Namespace) -> None:
    """Train SAEs of an arm, and say what each tells of the world."""
    places = place_world(arguments)
    recipe = world_sae_recipe(places.target, places.recipe)
    recipe, beside = recipe.varied(arguments.architecture, arguments.sparsity)
    seeds = arguments.seeds or [arguments.seed]
    wanted = Wanted(arguments.arm, seeds, places.target, places.work, beside, spell_command(arguments))
    sizes, device = SMALLEST if arguments.smallest else Sizes(), choose_device(arguments.device)
    with Bars(LineConsole(stderr=True), "sae") as progress:
        made = make_world_saes(recipe, arguments.world, wanted, sizes, device, progress)
    for folder, held in made:
        say(f"{folder}: {held.truth.sentence}")


def make_sums(arguments: argparse.Namespace) -> None:
    """Train SAEs of sums of known directions, and say how well each finds them."""
    folder, recipe = read_recipe(arguments.study, arguments.world, SumsRecipe)
    recipe = recipe.smallest if arguments.smallest else recipe
    training, beside = recipe.training.varied(arguments.architecture, arguments.sparsity)
    training.check_arm(arguments.arm)
    work: Path = arguments.work or Path("runs/training") / f"{folder.resolve().name}{'-smallest' * arguments.smallest}"
    wanted = SumsWanted(arguments.seeds or [arguments.seed], work / arguments.arm / beside, spell_command(arguments))
    with Bars(LineConsole(stderr=True), "sae") as progress:
        made = make_sums_saes(recipe.world, training, wanted, choose_device(arguments.device), progress)
    for place, held in made:
        say(f"{place}: {held.truth.sentence}")


def spell_command(arguments: argparse.Namespace) -> str:
    """The command that makes one of them again, but for its seed and for where it goes."""
    own_study = arguments.study == LISTED[arguments.world].study
    told = {
        "study": None if own_study else arguments.study,
        "arm": arguments.arm,
        "architecture": arguments.architecture,
        "sparsity": arguments.sparsity,
    }
    flags = "".join(f" --{name} {value}" for name, value in told.items() if value is not None)
    return f"python -m tools.training sae --world {arguments.world}{flags}{' --smallest' * arguments.smallest}"
