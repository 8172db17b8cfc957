"""SAEs of sums of known directions, trained in seconds: where they go, what is written beside them, and what a seed means."""

from __future__ import annotations

import itertools
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from agent.run import main as run
from tools.errors import StudyError
from tools.study.reading import list_studies, load_study
from tools.training.__main__ import main
from tools.training.recipe import SaeRecipe
from tools.training.sparse_autoencoder import make_fresh, train_on_stream
from tools.training.sums import SumsRecipe
from tools.training.world_model import read_recipe
from tools.truth.known import FILE as KNOWN
from tools.truth.sums_run import measure_recovery
from tools.truth.sums_truth import SumsTruth
from tools.truth.world_truth import HeldSae, read_held
from tools.worlds.catalogue import ALONE, LISTED
from tools.worlds.sums import Sums

RECIPE = ALONE["synthetic"].study


def train(work: Path, *more: str) -> int:
    return main(["sae", "--world", "synthetic", "--smallest", "--work", str(work), "--device", "cpu", *more])


def truth_of(held: HeldSae) -> SumsTruth:
    assert isinstance(held.truth, SumsTruth)
    return held.truth


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One SAE of the recipe's own, and two seeds of p-annealing."""
    folder = tmp_path_factory.mktemp("sums")
    for more in ((), ("--architecture", "p-annealing", "--sparsity", "2", "--seeds", "0", "1")):
        assert train(folder, *more) == 0
    return folder


def test_what_came_of_an_sae_is_written_beside_its_weights(work: Path) -> None:
    held = read_held(work / "base" / "sae")
    truth = truth_of(held)
    assert (held.architecture, held.sparsity, held.seed, truth.world) == ("topk", 4, 0, "synthetic")
    assert (truth.d_sae, truth.directions, truth.generator["num_features"]) == (32, 32, 32)
    assert truth.found.l0 <= 4 and 0 < truth.presences < 32
    assert truth.true.mcc == pytest.approx(1) and truth.true.uniqueness == 1
    assert truth.sentence.startswith(f"MCC {truth.found.mcc:.3f} (before training {truth.untrained.mcc:.3f})")
    assert not (work / "base" / "sae" / KNOWN).exists()  # directions have no names that labels could be held against


def test_seeds_start_from_other_weights_and_are_held_against_the_same(work: Path) -> None:
    one, other = (read_held(work / "base" / "p-annealing-2" / name) for name in ("sae", "sae-1"))
    assert (one.seed, other.seed) == (0, 1)
    assert truth_of(one).sae_sha256 != truth_of(other).sae_sha256
    assert truth_of(one).untrained != truth_of(other).untrained
    assert truth_of(one).true == truth_of(other).true
    assert truth_of(one).conditions == truth_of(other).conditions


def test_the_command_that_is_written_down_makes_the_same_sae_with_the_same_figures_again(
    work: Path, tmp_path: Path
) -> None:
    held = read_held(work / "base" / "p-annealing-2" / "sae-1")
    _, _, module, *words = shlex.split(held.command)
    assert module == "tools.training"
    torch.manual_seed(77)
    expected = torch.rand(3)
    torch.manual_seed(77)
    assert main([*words, "--work", str(tmp_path), "--device", "cpu"]) == 0
    assert torch.equal(torch.rand(3), expected)  # and leaves the global random state as it was
    assert read_held(tmp_path / "base" / "p-annealing-2" / "sae-1") == held


def recipe_of(**changes: Any) -> SaeRecipe:
    few = {"training_tokens": 51_200, "train_batch_size_tokens": 128, "lr_decay_steps": 80, "lr": 1e-2}
    return SaeRecipe(hook_name="", corpora=[], heldout=[], n_batches_for_norm_estimate=4, **few, **changes)


EASY: dict[str, Any] = {
    "num_features": 16,
    "hidden_dim": 16,
    "bias": False,
    "firing_probability": {"generator_name": "constant", "probability": 0.1},
    "orthogonalization": {"num_steps": 100, "lr": 0.05},
}


@pytest.mark.parametrize(
    ("architecture", "least"),
    [("topk", 0.9), ("batchtopk", 0.9), ("standard", 0.9), ("gated", 0.9), ("p-annealing", 0.9), ("jumprelu", 0.53)],
)
def test_an_sae_of_every_architecture_finds_directions_that_do_not_overlap(
    architecture: Any, least: float, tmp_path: Path
) -> None:
    """But for one, whose thresholds move too slowly to find them in so few steps."""
    from sae_lens import SAE

    sums = Sums(EASY)
    recipe = recipe_of(architecture=architecture, d_sae=16, k=2, l1_coefficient=1.5)
    sae = make_fresh(recipe, 16, seed=0)
    before = measure_recovery(sae, sums, 2000)
    stream = sums.draw("train", 0, 128)
    train_on_stream(sae, recipe, (drawn.activations for drawn in stream), tmp_path / "sae")
    after = measure_recovery(SAE.load_from_disk(tmp_path / "sae"), sums, 2000)
    assert before.mcc < least < after.mcc
    assert before.explained_variance < 0.7 < after.explained_variance


def test_the_examples_are_the_same_for_every_architecture_and_others_for_another_seed(tmp_path: Path) -> None:
    """Whatever first weights draw from the random state, examples do not move with it."""
    sums, seen = Sums(EASY), dict[tuple[str, int], torch.Tensor]()
    for architecture, seed in itertools.product(("topk", "gated"), (0, 1)):
        recipe = recipe_of(architecture=architecture, d_sae=16, k=2).model_copy(update={"training_tokens": 1024})
        batches: list[torch.Tensor] = []
        stream = (drawn.activations for drawn in sums.draw("train", seed, 128))
        watched = (batches.append(some) or some for some in stream)
        train_on_stream(make_fresh(recipe, 16, seed=seed), recipe, watched, tmp_path / "sae")
        seen[architecture, seed] = torch.cat(batches)
    assert torch.equal(seen["topk", 0], seen["gated", 0])
    assert not torch.equal(seen["topk", 0], seen["topk", 1])


def test_a_fresh_sae_is_its_seeds_and_leaves_the_global_random_state() -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    weights = [make_fresh(recipe_of(d_sae=16), 8, seed=seed).W_enc for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.rand(2), expected)


def test_weights_are_kept_in_full_precision(work: Path) -> None:
    assert {one.dtype for one in load_file(work / "base" / "sae" / "sae_weights.safetensors").values()} == {
        torch.float32
    }


def test_the_recipe_that_ships_reads_and_a_copy_of_it_is_taken(tmp_path: Path) -> None:
    folder, recipe = read_recipe(RECIPE, "synthetic", SumsRecipe)
    assert folder == Path("studies/synthetic")
    assert recipe.sae.d_sae == recipe.world.generator["num_features"]
    mine = tmp_path / "mine" / "recipe.toml"
    mine.parent.mkdir()
    mine.write_text(Path(RECIPE).read_text("utf-8").replace("cale = 0.1", "cale = 0.3"), "utf-8")
    assert train(tmp_path, "--study", str(mine)) == 0
    held = read_held(tmp_path / "base" / "sae")
    assert truth_of(held).generator["correlation"] == {"rank": 8, "correlation_scale": 0.3}
    assert f"--study {mine}" in held.command


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["world", "--world", "synthetic"], "the world synthetic has no model to train: step sae trains SAEs of it"),
        (["sae", "--world", "synthetic", "--arm", "untrained"], "the recipe has no arm 'untrained': use one of base"),
        (["sae", "--world", "synthetic", "--study", "othello"], "is about the world othello, and not synthetic"),
        (["sae", "--world", "synthetic", "--study", "pocket"], "has no [training.world] table"),
        (["sae", "--world", "othello", "--study", RECIPE], "is about the world synthetic, and not othello"),
        (["sae", "--world", "synthetic", "--study", "nosuch"], "no study 'nosuch'"),
        (["sae", "--world", "synthetic", "--architecture", "topk", "--sparsity", "0.5"], "training.sae: k: "),
        (["sae", "--data", "x", "--study", RECIPE], "training.model: Field required"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x").mkdir()
    line = [str(tmp_path / "x") if word == "x" else word for word in words]
    try:
        status: object = main([*line, "--work", str(tmp_path / "work")])
    except SystemExit as left:
        status = left.code
    told = capsys.readouterr()
    assert status == 2 and said in told.err and told.err.strip().count("\n") == 0, told.err
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("name", ["synthetic", "studies/synthetic"])
def test_a_run_on_it_is_refused_for_there_is_no_model(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--study", name, "--runs", str(tmp_path / "runs")]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert "studies/synthetic is no study" in told[-1] and "there is no model to look at" in told[-1]
    assert not (tmp_path / "runs").exists()
    assert "synthetic" not in list_studies()
    with pytest.raises(StudyError, match="is no study"):
        load_study(name)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("num_features = 128", "num_features = 0", "num_features must be at least 1"),
        ("num_features = 128", "num_feature = 128", "num_feature"),
        ("examples = 20_000", "examples = 3", "training.world.examples: "),
        ("examples = 20_000", "example = 3", "training.world.example: Extra inputs"),
        ("d_sae = 128", 'd_sae = "x"', "training.sae.d_sae: "),
        ("d_sae = 128", 'trainer = "stream"', "sae.trainer stream reads a model, and here is none"),
        ("bias = 2.0 ", "bias = 1979-05-27", "training.world.generator"),
        ("bias = 2.0 ", "bias = nan", "training.world.generator"),
    ],
)
def test_a_recipe_that_does_not_fit_is_told_in_a_line(
    old: str, new: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path(RECIPE).read_text("utf-8")
    assert text.count(old) == 1
    mine = tmp_path / "recipe.toml"
    mine.write_text(text.replace(old, new), "utf-8")
    tomllib.loads(mine.read_text("utf-8"))
    line = ["sae", "--world", "synthetic", "--study", str(mine), "--work", str(tmp_path / "work"), "--device", "cpu"]
    assert main(line) == 2
    told = capsys.readouterr().err.strip()
    assert said in told and told.startswith("error: ") and told.count("\n") == 0, told
    assert not (tmp_path / "work").exists()


def test_help_lists_it_and_says_that_it_is_for_saes_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(f"{name}, {world.what}" in said for name, world in LISTED.items())
    assert "synthetic, sums of known directions, for SAEs alone" in said
