"""SAEs of a world's model, trained in seconds: where they go, what they have read, and what is written beside them."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tools.bench.loading import load_arm
from tools.errors import StudyError
from tools.study.reading import load_study
from tools.training.__main__ import main
from tools.training.recipe import SPARSITY
from tools.training.world_model import load_world_recipe
from tools.training.world_sae import draw_rows, world_sae_recipe
from tools.truth.world_truth import read_held
from tools.worlds.catalogue import WORLDS, load_world
from tools.worlds.world import split_of

VARIED = ("p-annealing-0.5/sae-1", "p-annealing-0.5/sae-2")


def train(step: str, work: Path, *more: str) -> int:
    return main([step, "--world", "text", "--smallest", "--work", str(work), "--device", "cpu", "--no-compile", *more])


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model of seconds, with an SAE of it, of the same before training, and two of p-annealing."""
    folder = tmp_path_factory.mktemp("world")
    assert train("world", folder) == 0
    for more in (
        (),
        ("--arm", "untrained"),
        ("--architecture", "p-annealing", "--sparsity", "0.5", "--seeds", "1", "2"),
    ):
        assert train("sae", folder, *more) == 0
    return folder


@pytest.mark.parametrize("arm", ["base", "untrained"])
def test_an_sae_of_the_studys_own_recipe_goes_into_its_study_as_it_ships(work: Path, arm: str) -> None:
    study = load_study(str(work / "study"))
    bench = load_arm(study, arm)
    assert bench.d_sae == 64
    weights = load_file(work / "study" / arm / "sae" / "sae_weights.safetensors")
    assert {one.dtype for one in weights.values()} == {torch.float16}
    held = read_held(work / "study" / arm / "sae")
    assert (held.architecture, held.sparsity, held.seed, held.arm) == ("topk", 8, 0, arm)
    assert held.truth.sae_sha256 == bench.hashes.sae
    assert held.truth.model_sha256 == bench.fingerprint


def test_the_arm_that_was_never_trained_is_read_through_fresh_weights(work: Path) -> None:
    base, untrained = (read_held(work / "study" / arm / "sae").truth for arm in ("base", "untrained"))
    assert base.model_sha256 != untrained.model_sha256
    assert base.features != untrained.features


def test_a_varied_sae_goes_beside_and_its_seeds_differ(work: Path) -> None:
    one, other = (read_held(work / "base" / name) for name in VARIED)
    assert {(held.architecture, held.sparsity) for held in (one, other)} == {("p-annealing", 0.5)}
    assert (one.seed, other.seed) == (1, 2)
    assert one.truth.model_sha256 == other.truth.model_sha256
    assert one.truth.sae_sha256 != other.truth.sae_sha256
    assert not (work / "study" / "base" / "p-annealing-0.5").exists()


def test_the_command_that_is_written_down_makes_the_same_sae_again(work: Path, tmp_path: Path) -> None:
    shutil.copytree(work / "study", tmp_path / "study")
    held = read_held(work / "base" / VARIED[0])
    _, _, module, *words = shlex.split(held.command)
    assert module == "tools.training"
    assert main([*words, "--work", str(tmp_path), "--device", "cpu"]) == 0
    again = read_held(tmp_path / "base" / VARIED[0])
    assert again.truth.sae_sha256 == held.truth.sae_sha256
    assert again == held


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_a_shipped_recipe_of_saes_fits_its_world(name: str) -> None:
    _, recipe = load_world_recipe(WORLDS[name].study, name)
    assert recipe.sae is not None and recipe.sae.context_size == load_world(name).context_size
    layers = re.findall(r"\d+", recipe.sae.hook_name)
    assert int(layers[0]) < recipe.smallest.model.n_layer
    study = load_study(WORLDS[name].study)
    assert {arm.hook_name for arm in study.arms.values()} == {recipe.sae.hook_name}
    assert set(SPARSITY) >= {recipe.sae.architecture}


def test_rows_are_training_transcripts_with_as_many_tokens_as_are_asked_for() -> None:
    _, recipe = load_world_recipe("textworld", "text")
    assert recipe.smallest.sae is not None
    sae, world = recipe.smallest.sae, load_world("text")
    rows = draw_rows(world, sae)
    assert {split_of(row.astype(np.int16)) for row in rows[:200]} == {"train"}
    assert (rows > 0).sum() == pytest.approx(sae.training_tokens, rel=0.1)
    with pytest.raises(StudyError, match="context_size has to be 64"):
        draw_rows(world, sae.model_copy(update={"context_size": 32}))


def test_a_model_that_is_not_there_and_a_study_without_a_recipe_are_told(tmp_path: Path) -> None:
    _, recipe = load_world_recipe("textworld", "text")
    with pytest.raises(StudyError, match=r"is missing: python -m tools\.training world --world text trains it"):
        world_sae_recipe(tmp_path, recipe)
    assert recipe.sae is not None
    streamed = recipe.model_copy(update={"sae": recipe.sae.model_copy(update={"trainer": "stream"})})
    (tmp_path / "base" / "model").mkdir(parents=True)
    with pytest.raises(StudyError, match="a world has none: use saelens"):
        world_sae_recipe(tmp_path, streamed)
    with pytest.raises(StudyError, match=r"no \[training\.sae\]"):
        world_sae_recipe(tmp_path, recipe.model_copy(update={"sae": None}))


def test_without_a_world_an_sae_reads_texts_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sae"])
    assert "give their folder with --data TEXTS" in capsys.readouterr().err
