"""`python -m tools.training`, step by step, on a study that takes seconds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.tools.training.tiny_study import CONTEXT, D_MODEL, D_SAE, HOOK, MEDICAL, train, write_study
from tools.bench.compute import Compute
from tools.bench.loading import SPARSITY_FILE, load_arm
from tools.study.definition import Arm
from tools.study.reading import load_study
from tools.survey.features import survey_features, tabulate
from tools.survey.lexicon import load_study_vectors
from tools.training.recipe import load_recipe


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "sae_weights.safetensors")


def edit(study: Path, old: str, new: str) -> None:
    file = study / "study.toml"
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new), "utf-8")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The study's folder before anything is trained, for a test to edit."""
    write_study(tmp_path / "trained")
    return tmp_path / "trained"


@pytest.mark.parametrize("arm", ["base", "finetuned"])
def test_the_published_study_is_surveyed(trained: Path, arm: str) -> None:
    study = load_study(str(trained / "trained"))
    bench = load_arm(study, arm)
    assert (bench.d_sae, bench.hook_name, bench.context_size) == (D_SAE, HOOK, CONTEXT)
    table = tabulate(survey_features(bench, study, seed=0))
    assert len(table) == D_SAE
    assert (table["alive"].to_numpy() == (bench.alive.numpy())).all()


def test_assets_are_published_in_half_precision_and_unchanged_but_for_that(trained: Path) -> None:
    for arm in ("base", "finetuned"):
        for part in ("model/model.safetensors", "sae/sae_weights.safetensors"):
            made, shipped = (load_file(trained / root / arm / part) for root in ("work", "trained"))
            assert made.keys() == shipped.keys()
            for name, tensor in shipped.items():
                assert tensor.dtype == torch.float16
                assert torch.equal(tensor, made[name].half())


def test_vectors_are_as_many_as_words(trained: Path) -> None:
    study = load_study(str(trained / "trained"))
    vectors = load_study_vectors(study)
    assert vectors.matrix.shape == (len(vectors.row), 8)
    assert set(MEDICAL) <= set(vectors.row)


def test_figures_of_both_arms_are_measured(trained: Path) -> None:
    figures = json.loads((trained / "trained" / "figures.json").read_text("utf-8"))
    assert set(figures) == {"vectors", "base", "finetuned", "base/sae-1"}
    assert (trained / "trained" / "base" / "sae-1" / SPARSITY_FILE).is_file()
    assert set(figures["vectors"]) == {"physician", "nurse", "has", "found"}
    base, tuned = figures["base"], figures["finetuned"]
    assert tuned["loss"]["medical.heldout"] < base["loss"]["medical.heldout"]
    assert base["sae"]["general.heldout"]["l0"] == pytest.approx(6, abs=0.5)
    sparsity = load_file(trained / "trained" / "base" / "sae" / SPARSITY_FILE)["sparsity"]
    assert sparsity.shape == (D_SAE,)
    assert float((sparsity <= -9).double().mean()) == pytest.approx(base["dead_share"])


def test_the_sae_knows_where_it_belongs_and_needs_no_scaling(trained: Path) -> None:
    config = json.loads((trained / "work" / "base" / "sae" / "cfg.json").read_text("utf-8"))
    assert (config["d_in"], config["d_sae"], config["k"]) == (D_MODEL, D_SAE, 6)
    assert config["normalize_activations"] == "none"
    assert config["metadata"]["hook_name"] == HOOK


def test_a_seed_gives_the_same_sae_again_and_another_seed_another(trained: Path, data: Path) -> None:
    work = trained / "work"
    first = weights(work / "base" / "sae")
    assert train(trained / "trained", data, work, "sae", "--seed", "0") == 0
    again, other, tuned = (weights(work / name) for name in ("base/sae-0", "base/sae-1", "finetuned/sae"))
    assert all(torch.equal(first[name], again[name]) for name in first)
    for another in (other, tuned):
        cosines = torch.nn.functional.cosine_similarity(first["W_dec"], another["W_dec"])
        assert cosines.median() < 0.5, "no row starts from the same weights"


def test_every_arm_and_seed_sees_the_same_rows(trained: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[list[int]]] = []
    monkeypatch.setattr(
        "tools.training.steps.train_sae", lambda model, recipe, rows, out, **_: seen.append(rows.tolist())
    )
    for more in ([], ["--arm", "finetuned"], ["--seed", "1"], ["--arm", "finetuned", "--seed", "2"]):
        assert train(trained / "trained", data, trained / "work", "sae", *more) == 0
    assert len(seen) == 4
    assert all(rows == seen[0] for rows in seen[1:])
    assert {row[0] for row in seen[0]} == {0}


@pytest.mark.parametrize(
    ("architecture", "saved_as", "more"),
    [
        ("topk", "topk", 'precision = "bfloat16"'),
        ("batchtopk", "jumprelu", ""),
        ("standard", "standard", "l1_coefficient = 0.1\nl1_warm_up_steps = 5"),
        ("gated", "gated", "l1_coefficient = 0.1"),
        ("jumprelu", "jumprelu", "l0_coefficient = 0.01"),
        ("p-annealing", "standard", "l1_coefficient = 0.1\np_changes = 4"),
    ],
)
def test_every_architecture_of_the_recipe_is_trained_loaded_and_surveyed(
    trained: Path, data: Path, study: Path, architecture: str, saved_as: str, more: str
) -> None:
    edit(study, 'architecture = "topk"', f'architecture = "topk"\n{more}')
    work = trained / "work"
    assert train(study, data, work, "sae", "--architecture", architecture, "--seed", "11") == 0
    folder = work / "base" / architecture / "sae-11"
    assert json.loads((folder / "cfg.json").read_text("utf-8"))["architecture"] == saved_as
    published = load_study(str(trained / "trained"))
    own = Arm(model="base/model", sae=str(folder), hook_name="")
    published = published.model_copy(update={"arms": {**published.arms, str(folder): own}})
    bench = load_arm(published, str(folder), Compute("cpu"))
    assert bench.hook_name == HOOK
    assert len(tabulate(survey_features(bench, published, seed=0))) == D_SAE


def test_what_is_trained_is_published_as_the_arm_that_the_recipe_names(trained: Path, data: Path, study: Path) -> None:
    edit(study, "[training.vectors]", '[training.published]\nbase = "control"\n[training.vectors]')
    assert train(study, data, trained / "work", "publish") == 0
    assert weights(study / "control" / "sae").keys() == weights(trained / "trained" / "base" / "sae").keys()
    assert (study / "finetuned" / "sae").is_dir()
    assert not (study / "base").exists()


def test_given_models_are_neither_trained_nor_copied(
    trained: Path, data: Path, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a study of GPT-2: the base model is given, the fine-tuned one too or trained from it."""
    given = trained / "work"
    edit(
        study,
        "[training.model]",
        f'[training.model]\npretrained = "{given}/base/model"\nfinetuned = "{given}/finetuned/model"',
    )
    for step in ("base", "finetuned"):
        assert train(study, data, tmp_path / "work", step) == 2
        assert capsys.readouterr().err == f"error: the recipe trains no {step} model: it is {given}/{step}/model\n"
    for arm in ("base", "finetuned"):
        shutil.copytree(given / arm / "sae", tmp_path / "work" / arm / "sae")
    shutil.copytree(given / "vectors", tmp_path / "work" / "vectors")
    assert train(study, data, tmp_path / "work", "publish") == 0
    assert not (study / "base" / "model").exists()
    assert weights(study / "base" / "sae")["W_dec"].dtype == torch.float32


def test_a_sparsity_is_the_setting_that_its_architecture_has(trained: Path, data: Path, study: Path) -> None:
    before = {file: file.read_bytes() for file in (trained / "work" / "base" / "sae").iterdir()}
    for architecture, sparsity, setting in (
        ("topk", "3", "k"),
        ("gated", "0.25", "l1_coefficient"),
        ("p-annealing", "0.25", "l1_coefficient"),
        ("jumprelu", "0.01", "l0_coefficient"),
    ):
        more = ("--architecture", architecture, "--sparsity", sparsity)
        assert train(study, data, trained / "work", "sae", *more) == 0
        folder = trained / "work" / "base" / f"{architecture}-{sparsity}" / "sae"
        config = json.loads((folder / "cfg.json").read_text("utf-8"))
        told = config | config["metadata"]["training_architecture_details"]
        assert (config["metadata"]["training_architecture"], told[setting]) == (architecture, float(sparsity))
    assert {file: file.read_bytes() for file in (trained / "work" / "base" / "sae").iterdir()} == before


def test_p_changes_within_the_training_that_the_recipe_asks_for(trained: Path, data: Path, study: Path) -> None:
    assert train(study, data, trained / "work", "sae", "--architecture", "p-annealing", "--sparsity", "0.2") == 0
    config = json.loads((trained / "work" / "base" / "p-annealing-0.2" / "sae" / "cfg.json").read_text("utf-8"))
    told = config["metadata"]["training_architecture_details"]
    assert {name: told[name] for name in ("p_end", "n_changes", "anneal_start", "anneal_end")} == {
        "p_end": 0.2,
        "n_changes": 10,
        "anneal_start": 9,
        "anneal_end": 32,
    }


# What stands in the way is said in one line


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[training.sae]", "[training.sae]\nd_sea = 7", "training.sae.d_sea: Extra inputs"),
        ('architecture = "topk"', 'architecture = "dense"', "training.sae.architecture: Input should be"),
        ("[training.model]", "[training.model", "is not TOML"),
        ("n_head = 2", "n_head = 3", "d_model 32 cannot be split over 3 heads"),
        ('corpora = ["general"]', 'corpora = ["nosuch"]', "no corpus 'nosuch': expected"),
        ("rows_per_batch = 8", "rows_per_batch = 8000", "rows of 32 tokens and 8,000 are needed"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(
    trained: Path, data: Path, study: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    edit(study, old, new)
    shutil.copytree(trained / "work" / "tokenizer", study / "work" / "tokenizer")
    assert train(study, data, study / "work", "base") == 2
    assert said in refused(capsys)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("blocks.1.hook_resid_pre", "blocks.8.hook_resid_pre", "'blocks.8.hook_resid_pre' is no place in the model"),
        ("context_size = 32\ntrain", "context_size = 64\ntrain", "context_size 64 is more than the model reads: 32"),
        ("training_tokens = 8192", "training_tokens = 8_192_000", "lower the recipe's tokens"),
    ],
)
def test_an_sae_that_does_not_fit_its_model_is_refused(
    trained: Path, data: Path, study: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    edit(study, old, new)
    assert train(study, data, trained / "work", "sae", "--seed", "99") == 2
    assert said in refused(capsys)
    assert not (trained / "work" / "base" / "sae-99").exists()


@pytest.mark.parametrize(
    ("edits", "arguments", "said"),
    [
        ("", ["--sparsity", "2.5"], "training.sae: k: Input should be a valid integer"),
        ("", ["--sparsity", "0"], "training.sae: k: Input should be greater than or equal to 1"),
        ('trainer = "stream"', ["--architecture", "gated"], "trainer stream trains topk, not gated"),
    ],
)
def test_a_variation_that_cannot_be_trained_is_refused(
    data: Path, study: Path, capsys: pytest.CaptureFixture[str], edits: str, arguments: list[str], said: str
) -> None:
    edit(study, "[training.sae]", f"[training.sae]\n{edits}")
    assert train(study, data, study.parent / "work", "sae", *arguments) == 2
    assert said in refused(capsys)
    assert not (study.parent / "work" / "base").exists()


@pytest.mark.parametrize(
    ("step", "missing", "first"),
    [
        ("base", "work/tokenizer", "run step tokenizer first"),
        ("finetuned", "work/base/model", "run step base first"),
        ("sae --arm finetuned", "work/finetuned/model", "run step finetuned first"),
        ("publish", "work/base/model", "run step base first"),
        ("measure --rows 2", "trained/vectors.safetensors", "is missing"),
    ],
)
def test_a_step_too_early_names_the_one_before(
    data: Path, study: Path, capsys: pytest.CaptureFixture[str], step: str, missing: str, first: str
) -> None:
    assert train(study, data, study.parent / "work", step) == 2
    error = refused(capsys)
    assert missing in error and first in error


def test_publishing_too_early_leaves_what_is_there(
    trained: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "trained" / "base" / "sae" / "sae_weights.safetensors").read_bytes()
    assert train(trained / "trained", data, trained / "elsewhere", "publish") == 2
    assert "run step base first" in refused(capsys)
    assert (trained / "trained" / "base" / "sae" / "sae_weights.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--device", "tpu"], "no device is called 'tpu'"),
        (["--data", "nosuch"], "--data nosuch is no folder"),
        (["--study", "nosuch"], "no study 'nosuch': use one of"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused_before_anything_is_made(
    study: Path, data: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert train(study, data, study.parent / "work", "tokenizer", *arguments) == 2
    assert said in refused(capsys)
    assert not (study.parent / "work").exists()


def test_the_shipped_recipes_fit() -> None:
    root = Path(__file__).parents[3] / "studies"
    for name in ("pocket", "gpt2-medical"):
        recipe = load_recipe(root / name / "study.toml")
        arms = load_study(str(root / name)).arms
        for arm in recipe.arms:
            published = recipe.published.of(arm)
            assert Path(arms[published].sae) == Path(published) / "sae"
            assert arms[published].model in (recipe.given_model(arm), f"{published}/model", f"./{published}/model")
        assert {arm.hook_name for arm in arms.values()} == {recipe.sae.hook_name}
