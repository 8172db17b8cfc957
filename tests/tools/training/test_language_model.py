"""The language model's training: rates, restarts, what is read."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.tools.training.tiny_study import train
from tools.errors import LoadError, StudyError
from tools.training import language_model
from tools.training.language_model import (
    Chances,
    build_model,
    mean_loss,
    rate_factor,
    read_model,
    train_language_model,
    train_on_rows,
)
from tools.training.recipe import LanguageModelRecipe, ModelRecipe
from tools.training.tokenizer import word_tokenizer


@pytest.mark.parametrize(
    ("step", "factor"),
    [(0, 0.1), (4, 0.5), (9, 1.0), (49, 1.0), (50, 1.0), (51, 0.98), (75, 0.5), (99, 0.02)],
)
def test_the_rate_warms_up_stays_and_falls_linearly_to_zero(step: int, factor: float) -> None:
    recipe = LanguageModelRecipe(corpora=[], heldout=[], tokens=0, warmup_share=0.1, decay_share=0.5)
    assert rate_factor(step, 100, recipe) == pytest.approx(factor)


def test_a_model_that_knows_nothing_loses_the_log_of_its_vocabulary(trained: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(trained / "work" / "base" / "model")
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    rows = torch.randint(1, 300, (3, 12), generator=torch.Generator().manual_seed(0)).numpy()
    assert mean_loss(model, rows, "float32", batch=2) == pytest.approx(math.log(300), rel=1e-5)


def test_training_learns(trained: Path) -> None:
    """Far below the log of the vocabulary where it began, and then further on the domain's text."""
    lines = (trained / "work" / "base" / "log.tsv").read_text("utf-8").splitlines()
    assert float(lines[-2].split("\t")[1]) < 0.7 * math.log(300)
    losses = [(trained / "work" / arm / "log.tsv").read_text("utf-8").splitlines()[-1] for arm in ("base", "finetuned")]
    before, after = (float(line.rsplit(" ", 1)[1].rstrip("}")) for line in losses)
    assert after < before


def test_an_interrupted_training_goes_on_to_what_an_uninterrupted_one_gives(
    trained: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tokenizer").symlink_to(trained / "work" / "tokenizer")
    calls: list[int] = []

    def interrupt(*arguments: object) -> float:
        calls.append(1)
        if len(calls) > 2:  # two held-out corpora at step 10, one at step 20, before its checkpoint
            raise KeyboardInterrupt
        return 0.0

    with monkeypatch.context() as patched:
        patched.setattr(language_model, "mean_loss", interrupt)
        assert train(trained / "trained", data, tmp_path, "base") == 130
    assert torch.load(tmp_path / "base" / "checkpoint.pt", weights_only=True)["step"] == 10
    assert not (tmp_path / "base" / "model").exists()
    assert train(trained / "trained", data, tmp_path, "base") == 0
    again, whole = (load_file(work / "base" / "model" / "model.safetensors") for work in (tmp_path, trained / "work"))
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_chances_that_are_certain_teach_what_the_tokens_do(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(("<|endoftext|>", *map(str, range(40))))
    rows = np.random.default_rng(0).integers(1, 40, (64, 12))
    recipe = LanguageModelRecipe(
        corpora=[], heldout=[], tokens=960, tokens_per_step=96, rows_per_batch=4, precision="float32"
    )

    def certain(tokens: np.ndarray) -> np.ndarray:
        return np.eye(len(tokenizer), dtype=np.float32)[np.roll(tokens, -1, axis=1)]

    def learn(name: str, chances: Chances | None) -> torch.Tensor:
        model = build_model(ModelRecipe(n_layer=1, d_model=16, n_head=2, context_size=12), tokenizer, 0)
        train_on_rows(model, tokenizer, recipe, rows, {}, tmp_path / name, compile_model=False, chances=chances)
        return dict(model.named_parameters())["transformer.wte.weight"].detach()

    assert torch.allclose(learn("tokens", None), learn("chances", certain), atol=1e-6)


def test_chances_are_known_of_no_corpus(data: Path, tmp_path: Path) -> None:
    tokenizer = word_tokenizer(("<|endoftext|>", "a"))
    model = build_model(ModelRecipe(n_layer=1, d_model=16, n_head=2, context_size=12), tokenizer, 0)
    recipe = LanguageModelRecipe(corpora=[], heldout=[], tokens=1, targets="chances")
    with pytest.raises(StudyError, match="known of a world only"):
        train_language_model(
            model, tokenizer, recipe, data=data, work=tmp_path, cache=tmp_path, context_size=12, compile_model=False
        )


def test_given_weights_are_read_in_single_precision(trained: Path, tmp_path: Path) -> None:
    shipped = trained / "trained" / "base" / "model"
    assert load_file(shipped / "model.safetensors")["transformer.wte.weight"].dtype == torch.float16
    model = read_model(str(shipped))
    assert model.dtype == torch.float32
    assert not model.training


def test_weights_that_lack_a_layer_are_refused(trained: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(trained / "work" / "base" / "model")
    state = {name: tensor for name, tensor in model.state_dict().items() if ".h.1." not in name}
    model.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(LoadError, match=r"does not load strictly: transformer\.h\.1\."):
        read_model(str(tmp_path))
