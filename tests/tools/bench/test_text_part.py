"""A model with a vision tower, as Gemma 3 from 4B on is saved, is read without it, and nothing is installed for it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tools.bench.loading import load_arm
from tools.bench.text_part import PROCESSORS, describe_unread, without_processors
from tools.bench.workbench import Workbench
from tools.study.definition import Arm, Study

HOOK = "blocks.1.hook_resid_post"


@pytest.fixture(scope="module")
def seeing(study: Study, make_sae: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The tiny study with an arm `seeing`: a Gemma 3 with a vision tower, under the study's own tokenizer."""
    folder = tmp_path_factory.mktemp("seeing")
    tokenizer = transformers.AutoTokenizer.from_pretrained(study.folder / "base/model")
    tokenizer.save_pretrained(folder / "model")
    text = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64,
        "sliding_window": 32, "query_pre_attn_scalar": 8,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
        "image_size": 28, "patch_size": 14,
    }  # fmt: skip
    torch.manual_seed(0)
    config = transformers.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.Gemma3ForConditionalGeneration(config).save_pretrained(folder / "model")
    make_sae(seed=0, hook_name=HOOK).save_model(str(folder / "sae"))
    arm = Arm(model=str(folder / "model"), sae=str(folder / "sae"), hook_name=HOOK)
    return study.model_copy(update={"arms": {**study.arms, "seeing": arm}})


@pytest.fixture(scope="module")
def loaded(seeing: Study, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workbench, Path]:
    """The model on the bench, and what stand-ins for the installers wrote down meanwhile."""
    folder = tmp_path_factory.mktemp("path")
    called = folder / "called"
    called.touch()
    stand_in = folder / "uv"
    stand_in.write_text(f'#!/bin/sh\necho "$@" >> {called}\nexit 1\n')
    stand_in.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return load_arm(seeing, "seeing"), called


def test_no_installer_is_called_for_it(loaded: tuple[Workbench, Path]) -> None:
    assert loaded[1].read_text() == ""


def test_its_text_part_is_on_the_bench_with_the_models_own_logits(loaded: tuple[Workbench, Path]) -> None:
    bench, _ = loaded
    tokens = torch.tensor([[bench.bos, *bench.tokenize("The doctor in the garden")]])
    with torch.no_grad():
        ours = bench.bridge(tokens, return_type="logits")
        folder = bench.arm.model
        source: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        theirs = source(input_ids=tokens).logits
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert bench.residuals(tokens).shape == (1, tokens.shape[1], 32)


def test_it_is_said_what_is_not_read(loaded: tuple[Workbench, Path], bench: Workbench) -> None:
    said = describe_unread(loaded[0].bridge.original_model)
    assert said == "the model is read without its vision part: only text is given to it"
    assert describe_unread(bench.bridge.original_model) is None


def test_processors_are_back_afterwards_also_when_the_loading_failed() -> None:
    classes = [getattr(transformers, name) for name in PROCESSORS]
    before = [one.from_pretrained for one in classes]
    with pytest.raises(ZeroDivisionError), without_processors():
        assert [one.from_pretrained("anything", token=None) for one in classes] == [None] * 3
        raise ZeroDivisionError
    assert [one.from_pretrained for one in classes] == before
