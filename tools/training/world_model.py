"""A language model that reads nothing but a world of known truth, measured against the world's own rules."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Int
from pydantic import Field, ValidationError
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from tools.display.console import LineConsole
from tools.display.progress import track, waiting
from tools.errors import StudyError, first_problem
from tools.records import Record
from tools.study.reading import read_tables
from tools.training.language_model import build_model, train_on_rows
from tools.training.recipe import LanguageModelRecipe, ModelRecipe, SaeRecipe
from tools.training.tokenizer import word_tokenizer
from tools.whole_files import write_named
from tools.worlds.catalogue import load_world
from tools.worlds.world import World, lengths_of

HELDOUT_SEED, CORPUS_SEED, TEST_SEED = 1, 2, 3
"""Beside the recipe's own, which the training transcripts are drawn by."""
R = TypeVar("R", bound=Record)
CORPUS, FIGURES = "corpus.jsonl", "figures.json"
_ROWS_PER_PASS = 100
SMALLEST_SAE = {
    "d_sae": 64,
    "k": 8,
    "training_tokens": 20_480,
    "train_batch_size_tokens": 256,
    "n_batches_in_buffer": 16,
    "n_batches_for_norm_estimate": 4,
    "dead_feature_window": 20,
    "lr_warm_up_steps": 2,
    "lr_decay_steps": 8,
}
"""Of an SAE's recipe, what makes it one of seconds."""


class WorldSettings(Record):
    """`[training.world]`."""

    name: str
    """Of `tools.worlds.catalogue.WORLDS`."""
    heldout: int = Field(default=512, ge=1)
    """Development transcripts that the loss is watched on while the model is trained."""
    test: int = Field(default=2000, ge=1)
    """Test transcripts that the finished model is measured on."""
    corpus: int = Field(default=400, ge=1)
    """Development transcripts that the study's instruments read as its corpus."""


class WorldRecipe(Record):
    """What a world's study says of training: its `[training.world]`, `model`, `base` and, for SAEs, `sae`."""

    world: WorldSettings
    model: ModelRecipe
    base: LanguageModelRecipe
    sae: SaeRecipe | None = None

    @property
    def smallest(self) -> WorldRecipe:
        """Every step of it in seconds, to see that it goes through."""
        model = self.model.model_copy(update={"d_model": 32, "n_head": 2})
        spent = {"tokens": 50_000, "tokens_per_step": 2048, "rows_per_batch": 32, "checkpoint_every": 10}
        world = self.world.model_copy(update={"heldout": 32, "test": 40, "corpus": 40})
        sae = self.sae and self.sae.model_copy(update=SMALLEST_SAE)
        return WorldRecipe(world=world, model=model, base=self.base.model_copy(update=spent), sae=sae)


class Fidelity(NamedTuple):
    """How well a model keeps to a world's rules, over all tokens of some transcripts that something comes after."""

    transcripts: int
    tokens: int
    legal_rate: float
    """Share of positions where the token that the model holds most likely may come next."""
    legal_mass: float
    """Mean probability that the model gives to all that may come next, together."""
    faultless: float
    """Share of transcripts all of whose positions are legal in that way."""
    loss: float
    """Nats a token."""
    entropy: float
    """The least that the loss can be, on average: the entropy of the world's own choice, at the same positions."""

    def describe(self) -> str:
        """In a line."""
        return (
            f"legal-move rate {self.legal_rate:.2%} on {self.tokens:,} tokens of {self.transcripts:,} test transcripts "
            f"({self.faultless:.1%} of them faultless), {self.legal_mass:.2%} of the probability on legal tokens, "
            f"loss {self.loss:.3f} nats where {self.entropy:.3f} are the least"
        )


def load_world_recipe(study: str, world: str) -> tuple[Path, WorldRecipe]:
    """The folder of a world's study, and what its file says of training.

    Raises:
        StudyError: there is no such study, it is about another world or none, or its tables do not fit.
    """
    return read_recipe(study, world, WorldRecipe)


def read_recipe(study: str, world: str, kind: type[R]) -> tuple[Path, R]:
    """The same of a file whose recipe is of another kind; it too has a `[training.world]` with the world's name.

    Raises:
        StudyError: as `load_world_recipe`.
    """
    file, tables = read_tables(study)
    table = tables.get("training")
    if not isinstance(table, dict) or "world" not in table:
        raise StudyError(f"{file} has no [training.world] table: it is no world's study")
    about = table["world"].get("name", world) if isinstance(table["world"], dict) else world
    if about != world:
        raise StudyError(f"{file} is about the world {about}, and not {world}")
    try:
        recipe = kind.model_validate({key: table[key] for key in kind.model_fields if key in table})
    except ValidationError as error:
        raise StudyError(f"{file}: training.{first_problem(error)}") from error
    return file.parent, recipe


def make_world_model(
    study: Path, recipe: WorldRecipe, target: Path, work: Path, device: str = "cpu", compiled: bool = True
) -> Fidelity:
    """Train, going on from the last checkpoint, measure, and write the study that the model belongs to.

    Args:
        study: folder of the study file and its guideline.
        recipe: of the study, or its smallest version.
        target: folder that model, corpus and figures are written to; the study's own, or another, which becomes a study.
        work: folder for the checkpoint, the log and the full-precision model.
        device: as `tools.bench.compute.choose_device` returns it.
        compiled: whether torch compiles the model.

    Raises:
        StudyError: there is no such world, or its rows do not fit the model.
    """
    world, settings = load_world(recipe.world.name), recipe.base
    if recipe.model.context_size != world.context_size:
        raise StudyError(
            f"training.model.context_size has to be {world.context_size}, the length of a {world.name} row"
        )
    tokenizer = word_tokenizer(world.vocabulary)
    n_rows = math.ceil(settings.tokens / world.context_size)
    with waiting(LineConsole(), f"draw         {n_rows:,} transcripts"):
        rows = world.rows("train", n_rows, settings.seed)
        heldout = {"development": world.rows("development", recipe.world.heldout, HELDOUT_SEED)}
    model = build_model(recipe.model, tokenizer, settings.seed)
    chances = world.chances if settings.targets == "chances" else None
    train_on_rows(model, tokenizer, settings, rows, heldout, work, device, compiled, chances=chances)
    model.half().float()  # what is measured is what ships
    measured = measure_fidelity(model, world, world.rows("test", recipe.world.test, TEST_SEED))
    _publish(study, target, world, recipe, model.half(), measured)
    return measured


@torch.no_grad()
def measure_fidelity(model: Any, world: World, tokens: Int[np.ndarray, "n positions"]) -> Fidelity:
    """Hold a model against a world's rules on transcripts; what only fills a row is left out.

    Args:
        model: answers token ids with logits, as those of transformers do.
        world: whose tokens the model reads.
        tokens: of test transcripts.
    """
    n, width = tokens.shape
    legal, mass, loss, entropy, counted = (np.zeros((n, width - 1)) for _ in range(5))
    for first in track(range(0, n, _ROWS_PER_PASS), "measure      transcripts"):
        part = slice(first, first + _ROWS_PER_PASS)
        rows = torch.from_numpy(tokens[part].astype(np.int64)).to(model.device)
        told = model(input_ids=rows, use_cache=False).logits[:, :-1].float().log_softmax(-1)
        chances = world.chances(tokens[part])[:, :-1]
        may = torch.from_numpy(chances > 0).to(model.device)
        legal[part] = may.gather(2, told.argmax(-1, keepdim=True))[..., 0].cpu().numpy()
        mass[part] = (told.exp() * may).sum(-1).cpu().numpy()
        loss[part] = -told.gather(2, rows[:, 1:, None])[..., 0].cpu().numpy()
        entropy[part] = -(chances * np.log(np.where(chances > 0, chances, 1))).sum(-1)
        counted[part] = np.arange(width - 1) < lengths_of(tokens[part])[:, None]
    weights = counted / counted.sum()
    faultless = float(((legal == 1) | (counted == 0)).all(1).mean())
    means = (float((values * weights).sum()) for values in (legal, mass, loss, entropy))
    rate, told_mass, nats, least = means
    return Fidelity(n, int(counted.sum()), rate, told_mass, faultless, nats, least)


def _publish(
    study: Path, target: Path, world: World, recipe: WorldRecipe, model: PreTrainedModel, measured: Fidelity
) -> None:
    """Write the study: what was written by hand if it is a new folder, the model, corpus and figures."""
    target.mkdir(parents=True, exist_ok=True)
    if target.resolve() != study.resolve():
        for file in (file for file in study.iterdir() if file.is_file() and file.name not in (CORPUS, FIGURES)):
            shutil.copy(file, target)
        _repoint(target / "study.toml", study)
    shutil.rmtree(target / "base" / "model", ignore_errors=True)
    transformers_logging.disable_progress_bar()  # of one file
    for part in (model, word_tokenizer(world.vocabulary)):
        part.save_pretrained(target / "base" / "model")
    rows = world.rows("development", recipe.world.corpus, CORPUS_SEED)
    passages = ({"document": f"{world.name}-{i:04d}", "text": world.text(row)} for i, row in enumerate(rows))
    write_named(target / CORPUS, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in passages))
    figures = {key: round(value, 5) for key, value in measured._asdict().items()}
    write_named(target / FIGURES, json.dumps({"model": figures}, indent=1) + "\n")


def _repoint(file: Path, study: Path) -> None:
    """Have a copied study file find what it names beside the study's folder, such as another study's word vectors."""
    file.write_text(file.read_text("utf-8").replace('"../', f'"{study.resolve().parent.as_posix()}/'), "utf-8")
