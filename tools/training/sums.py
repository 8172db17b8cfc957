"""SAEs of sums of known directions: their recipe, and each of them held against the directions as soon as it is trained.

There is no model, so what is read is no study but a recipe of its own (`studies/synthetic/recipe.toml`), in the tables that a
study has under `[training]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, JsonValue, model_validator
from rich.progress import Progress

from tools.bench.arms import hash_weights
from tools.records import Record
from tools.training.recipe import ModelRecipe, Recipe, SaeRecipe
from tools.training.sparse_autoencoder import make_fresh, train_on_stream
from tools.training.steps import name_seed
from tools.training.world_model import SMALLEST_SAE
from tools.truth.sums_run import count_presences, measure_directions, measure_recovery
from tools.truth.sums_truth import Recovered, SumsTruth
from tools.truth.world_truth import HeldSae, write_held
from tools.worlds.sums import Sums

SMALLEST = {"num_features": 32, "hidden_dim": 16}
"""Of the generator's settings, what makes its world one of seconds."""


class SumsSettings(Record):
    """`[training.world]`."""

    name: Literal["synthetic"]
    generator: dict[str, JsonValue]
    """As SAELens' `SyntheticModelConfig.from_dict` takes them."""
    examples: int = Field(default=20_000, ge=100, le=10_000_000)
    """That every SAE is held against."""


def _without_texts(table: object) -> object:
    """An SAE's table has no hook and no corpora where there is no model."""
    return {"hook_name": "", "corpora": [], "heldout": [], **table} if isinstance(table, dict) else table


class SumsRecipe(Record):
    """What such a recipe says."""

    world: SumsSettings
    sae: Annotated[SaeRecipe, BeforeValidator(_without_texts)]

    @model_validator(mode="after")
    def _is_trained_by_saelens(self) -> SumsRecipe:
        if self.sae.trainer != "saelens":
            raise ValueError("sae.trainer stream reads a model, and here is none: use saelens")
        return self

    @property
    def smallest(self) -> SumsRecipe:
        """All of it in seconds, to see that it goes through."""
        generator = {**self.world.generator, **SMALLEST}
        world = self.world.model_copy(update={"generator": generator, "examples": 2000})
        return SumsRecipe(world=world, sae=self.sae.model_copy(update={**SMALLEST_SAE, "d_sae": 32, "k": 4}))

    @property
    def training(self) -> Recipe:
        """As a study's: what varies an SAE, names its folder and refuses arms is the same for all."""
        return Recipe(model=ModelRecipe(), sae=self.sae)


class Wanted(NamedTuple):
    """Which SAEs, and where."""

    seeds: Sequence[int | None]
    """None for the recipe's."""
    folder: Path
    """Each goes into a folder of its seed's name in it."""
    command: str
    """That makes one of them again, without its seed."""


def make_sums_saes(
    settings: SumsSettings, recipe: Recipe, wanted: Wanted, device: str = "cpu", progress: Progress | None = None
) -> list[tuple[Path, HeldSae]]:
    """Train, hold against the directions, and write what comes of it beside the weights.

    A seed decides an SAE's first weights and the examples it sees; these are the same for every architecture, and none of
    them is among those that it is held against, which are the same for all.

    Args:
        settings: of the world.
        recipe: `SumsRecipe.training`, varied or not.
        wanted: which, and where.
        device: as `tools.bench.compute.choose_device` returns it.
        progress: for what is trained and measured.

    Raises:
        UnveilError: a setting does not fit, or a training came to no finite weights.
    """
    import sae_lens

    sums, made = Sums(settings.generator), list[tuple[Path, HeldSae]]()
    task = progress.add_task("hold         SAEs", total=1 + 2 * len(wanted.seeds)) if progress else None

    def measured(found: Recovered) -> Recovered:
        if progress and task is not None:
            progress.advance(task)
        return found

    true, presences = measured(measure_directions(sums, settings.examples)), count_presences(sums, settings.examples)
    for seed in wanted.seeds:
        folder = wanted.folder / name_seed(recipe, seed, len(wanted.seeds) > 1)
        number = recipe.sae.seed if seed is None else seed
        sae = make_fresh(recipe.sae, sums.directions.shape[1], seed=number, device=device)
        untrained = measured(measure_recovery(sae, sums, settings.examples))
        batches = sums.draw("train", number, recipe.sae.train_batch_size_tokens)
        train_on_stream(sae, recipe.sae, (drawn.activations for drawn in batches), folder)
        found = measured(measure_recovery(_load(folder, device), sums, settings.examples))
        held = HeldSae(
            architecture=recipe.sae.architecture,
            sparsity=recipe.sae.sparsity,
            seed=number,
            command=wanted.command + ("" if number == recipe.sae.seed else f" --seed {number}"),
            truth=SumsTruth(
                generator=sums.generator,
                library=sae_lens.__version__,
                examples=settings.examples,
                seed=0,
                sae_sha256=hash_weights(folder),
                d_sae=recipe.sae.d_sae,
                directions=len(sums.directions),
                presences=presences,
                found=found,
                untrained=untrained,
                true=true,
            ),
        )
        write_held(folder, held)
        made.append((folder, held))
    return made


def _load(folder: Path, device: str) -> Any:
    """As it was saved for use."""
    from sae_lens import SAE

    return SAE.load_from_disk(folder, device=device)
