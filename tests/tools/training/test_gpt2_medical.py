"""The recipe of `gpt2-medical` on random weights of GPT-2 small's shape: everything but the download and the budgets."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel

from tests.tools.bench.test_architectures import write_large_model
from tests.tools.training.tiny_study import EVERYDAY, MEDICAL, train, write_corpus
from tools.bench.loading import load_arm
from tools.study.reading import load_study
from tools.survey.features import survey_features, tabulate

STUDIES = Path(__file__).parents[3] / "studies"
D_MODEL, D_SAE, D_VOCAB, N_PARAMETERS = 768, 24_576, 50_257, 124_439_808
CUTS = (
    ("context_size = 512", "context_size = 64"),
    ("tokens = 20_000_000", "tokens = 512"),
    ("tokens_per_step = 32768", "tokens_per_step = 128"),
    ("rows_per_batch = 8", "rows_per_batch = 2"),
    ("training_tokens = 61_440_000", "training_tokens = 512\nstore_batch_size_prompts = 2\nn_batches_in_buffer = 4"),
    ("train_batch_size_tokens = 2048", "train_batch_size_tokens = 128\nn_batches_for_norm_estimate = 2"),
    ("l1_warm_up_steps = 1500", "l1_warm_up_steps = 2"),
    ("lr_decay_steps = 6000", "lr_decay_steps = 2"),
)


def write_cut_study(folder: Path, model: Path) -> None:
    """The shipped study with smaller budgets, a model and vectors that are here, and no arm from the hub."""
    text = (STUDIES / "gpt2-medical" / "study.toml").read_text("utf-8")
    start = text.index("[arms.base]")
    text = text[:start] + text[text.index("[arms.control]") :]
    pocket = STUDIES / "pocket"
    vectors = f'file = "{pocket}/vectors.safetensors"\nwords = "{pocket}/words.txt"'
    for old, new in (
        *CUTS,
        ("../pocket", str(pocket)),
        ('"gpt2"', f'"{model}"'),
        ('gensim = "glove-wiki-gigaword-100"', vectors),
    ):
        assert old in text, old
        text = text.replace(old, new)
    folder.mkdir()
    (folder / "study.toml").write_text(text, "utf-8")


@pytest.mark.endurance
@pytest.mark.timeout(600)
def test_control_and_treatment_are_trained_published_loaded_and_surveyed(tmp_path: Path) -> None:
    model, folder, work = tmp_path / "gpt2", tmp_path / "gpt2-medical", tmp_path / "work"
    write_large_model(model, (STUDIES / "pocket" / "words.txt").read_text("utf-8").split())
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(bos_token_id=0, eos_token_id=0)).save_pretrained(model)
    write_cut_study(folder, model)
    for name, words in (("general", EVERYDAY), ("medical", MEDICAL)):
        write_corpus(tmp_path, name, words, documents=40, seed=0)
        write_corpus(tmp_path, f"{name}.heldout", words, documents=4, seed=1)
    for step in ("finetuned", "sae --arm base", "sae --arm finetuned", "publish"):
        assert train(folder, tmp_path, work, step) == 0, step
    tuned = load_file(folder / "finetuned" / "model" / "model.safetensors")
    assert sum(tensor.numel() for name, tensor in tuned.items() if name != "lm_head.weight") == N_PARAMETERS
    assert not (folder / "control" / "model").exists()

    study = load_study(str(folder))
    assert set(study.arms) == {"control", "finetuned"}
    tables = []
    for arm in study.arms:
        bench = load_arm(study, arm)
        assert bench.hook_name == "blocks.8.hook_resid_pre"
        assert (bench.d_sae, bench.W_U.shape) == (D_SAE, (D_MODEL, D_VOCAB))
        tables.append(tabulate(survey_features(bench, study, seed=0)))
        assert len(tables[-1]) == D_SAE
    assert not tables[0]["std"].equals(tables[1]["std"])
