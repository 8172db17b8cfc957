"""An adapter merged here is the adapter that PEFT merges, whole or not at all."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tools.models import build_model
from tools.bench.adapter import CONFIG, WEIGHTS, merge, read_adapter
from tools.bench.arms import check_arm_files
from tools.bench.loading import load_arm
from tools.bench.untrained import draw
from tools.errors import LoadError, UnveilError
from tools.study.definition import Arm, Study
from tools.study.reading import load_study

peft = pytest.importorskip("peft")
D_VOCAB = 60


def train(model: Any, folder: Path, **settings: Any) -> Any:
    """An adapter with every tensor drawn, saved by PEFT; the adapted model."""
    named = {"target_modules": "all-linear", "r": 3, "lora_alpha": 5} | settings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PEFT's, about how a model's matrices are stored
        adapted = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **named))
    generator = torch.Generator().manual_seed(1)
    for name, weight in adapted.named_parameters():
        if "lora_" in name:
            weight.data = torch.randn(weight.shape, generator=generator) * 0.2
    adapted.save_pretrained(str(folder))
    return adapted


def refused(call: Callable[[], object], said: str) -> None:
    with pytest.raises(UnveilError, match=said) as raised:
        call()
    assert "\n" not in str(raised.value)


def change(folder: Path, **settings: Any) -> None:
    file = folder / CONFIG
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | settings), "utf-8")


def rewrite(folder: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    edit(tensors)
    save_file(tensors, folder / WEIGHTS)


SETTINGS: list[dict[str, Any]] = [
    {},
    {"use_rslora": True},
    {"target_modules": ["q_proj", "down_proj"]},
    {"target_modules": r".*\.layers\.1\..*_proj", "exclude_modules": ["v_proj"]},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_merged_model_is_the_one_that_peft_merges(tmp_path: Path, settings: dict[str, Any]) -> None:
    adapted = train(build_model("llama", D_VOCAB), tmp_path, **settings)
    ours = build_model("llama", D_VOCAB)
    before = {name: weight.clone() for name, weight in ours.named_parameters()}
    merge(read_adapter(tmp_path), ours)
    theirs = dict(adapted.merge_and_unload().named_parameters())
    assert before.keys() == theirs.keys()
    for name, weight in ours.named_parameters():
        torch.testing.assert_close(weight, theirs[name], atol=1e-6, rtol=1e-6)
    assert any(not torch.equal(weight, before[name]) for name, weight in ours.named_parameters())


def test_matrices_that_gpt2_stores_the_other_way_round_are_merged_rightly(tmp_path: Path) -> None:
    adapted = train(build_model("gpt2", D_VOCAB), tmp_path, target_modules=["c_attn", "c_fc"])
    ours = build_model("gpt2", D_VOCAB)
    merge(read_adapter(tmp_path), ours)
    theirs = dict(adapted.merge_and_unload().named_parameters())
    for name, weight in ours.named_parameters():
        torch.testing.assert_close(weight, theirs[name], atol=1e-6, rtol=1e-6)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A sound one, in half precision as they are shipped."""
    train(build_model("llama", D_VOCAB), tmp_path / "adapter")
    rewrite(tmp_path / "adapter", lambda tensors: tensors.update({n: t.half() for n, t in tensors.items()}))
    return tmp_path / "adapter"


KEY = "base_model.model.model.layers.0.mlp.up_proj.lora_{}.weight"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda tensors: tensors.pop(KEY.format("A")), "up_proj has only one of lora_A and lora_B"),
        (lambda tensors: [tensors.pop(KEY.format(half)) for half in "AB"], "names 1 places .* the first .*mlp.up_proj"),
        (lambda tensors: tensors.update({"base_model.model.lm_head.weight": torch.ones(2, 2)}), "nothing is known of"),
        (lambda tensors: tensors.update({KEY.format("A"): torch.ones(4, 32)}), "says rank 3, and .*up_proj"),
        (lambda tensors: tensors[KEY.format("B")].zero_(), "is 0 everywhere"),
        (lambda tensors: tensors[KEY.format("B")].fill_(float("nan")), "not finite"),
        (lambda tensors: tensors.clear(), "is empty"),
    ],
)
def test_adapter_lands_whole_or_not_at_all(adapter: Path, edit: Any, said: str) -> None:
    rewrite(adapter, edit)
    model = build_model("llama", D_VOCAB)
    before = [weight.clone() for weight in model.parameters()]
    refused(lambda: merge(read_adapter(adapter), model), said)
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize(("family", "said"), [("gpt2", "which has no model.layers"), ("olmo", "is .*, not ")])
def test_adapter_of_another_model_is_told(adapter: Path, family: str, said: str) -> None:
    change(adapter, base_model_name_or_path="some/model")
    other = build_model(family, D_VOCAB) if family == "gpt2" else build_model("llama", D_VOCAB, intermediate_size=48)
    refused(lambda: merge(read_adapter(adapter), other), rf"was trained on another model \(some/model\).*{said}")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"use_dora": True}, "asks for more than is merged here .use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
        ({"bias": "all"}, "bias"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights pissa"),
        ({"a_setting_of_next_year": True}, "a_setting_of_next_year"),
        ({"peft_type": "IA3"}, "is of kind IA3"),
        ({"r": 0}, "r: Input should be greater than 0"),
        ({"lora_alpha": "much"}, "lora_alpha"),
        ({"target_modules": "(", "exclude_modules": None}, "target_modules"),
    ],
)
def test_settings_that_are_not_merged_here_are_refused(adapter: Path, settings: dict[str, Any], said: str) -> None:
    change(adapter, **settings)
    refused(lambda: read_adapter(adapter), said)


def test_missing_or_pickled_weights_are_told(adapter: Path) -> None:
    (adapter / WEIGHTS).rename(adapter / "adapter_model.bin")
    refused(lambda: read_adapter(adapter), "pickles can run code")
    (adapter / "adapter_model.bin").unlink()
    refused(lambda: read_adapter(adapter), f"has no {WEIGHTS}")


def test_truncated_weights_are_told(adapter: Path) -> None:
    (adapter / WEIGHTS).write_bytes((adapter / WEIGHTS).read_bytes()[:-9])
    refused(lambda: read_adapter(adapter), "is corrupt")


# On the bench


@pytest.fixture
def folder(study_copy: Path) -> Path:
    """The tiny study, with an adapter for its base model, and another that is twice as strong."""
    from transformers import AutoModelForCausalLM

    for name, alpha in (("adapter", 4), ("stronger", 8)):
        model = AutoModelForCausalLM.from_pretrained(study_copy / "base" / "model")
        train(model, study_copy / name, target_modules=["c_attn", "c_fc"], lora_alpha=alpha)
    return study_copy


def arms(folder: Path, **named: dict[str, Any]) -> Study:
    study = load_study(str(folder))
    return study.model_copy(
        update={"arms": study.arms | {name: study.arms["base"].model_copy(update=more) for name, more in named.items()}}
    )


def test_arm_with_an_adapter_is_loaded_with_it(folder: Path, tokens: torch.Tensor) -> None:
    from transformers import AutoModelForCausalLM

    study = arms(folder, medical={"adapter": "adapter"})
    bench = load_arm(study, "medical")
    model = AutoModelForCausalLM.from_pretrained(folder / "base" / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        merged = peft.PeftModel.from_pretrained(model, str(folder / "adapter")).merge_and_unload()
    with torch.no_grad():
        torch.testing.assert_close(bench.logits(tokens), merged(tokens).logits, atol=1e-4, rtol=1e-4)
    assert bench.change == "LoRA adapter of rank 3 merged"
    assert bench.hashes == check_arm_files(study, "medical")


def test_arms_of_one_file_are_different_models_by_what_is_done_to_it(folder: Path) -> None:
    named = {
        "a": {"adapter": "adapter"},
        "b": {"adapter": "stronger"},
        "c": {"random_weights": 0},
        "d": {"random_weights": 1},
    }
    study = arms(folder, **named)
    found = [check_arm_files(study, name) for name in ("base", *named)]
    assert len({one.model for one in found}) == 5
    assert all(len(one.model) == 64 for one in found)
    assert len({one.sae for one in found}) == 1


def test_the_same_adapter_under_two_names_is_one_model(folder: Path) -> None:
    shutil.copytree(folder / "adapter", folder / "copy")
    study = arms(folder, a={"adapter": "adapter"}, b={"adapter": "copy"})
    refused(lambda: check_arm_files(study, "a"), "arms a and b of study tiny are the same model weights")


def test_an_arm_is_not_adapted_and_untrained(folder: Path) -> None:
    with pytest.raises(ValueError, match="an adapter or random_weights, and not both"):
        Arm(model="-", sae="-", hook_name="", adapter="x", random_weights=1)


def test_missing_adapter_is_told_before_anything_is_loaded(folder: Path) -> None:
    refused(lambda: check_arm_files(arms(folder, a={"adapter": "nosuch"}), "a"), "nosuch is missing")


def test_untrained_arm_has_the_architecture_and_none_of_the_weights(folder: Path, tokens: torch.Tensor) -> None:
    study = arms(folder, a={"random_weights": 0}, b={"random_weights": 1})
    base, a, b = (load_arm(study, name) for name in ("base", "a", "b"))
    assert a.bridge.original_model.config.to_dict() == base.bridge.original_model.config.to_dict()
    assert a.tokenize("The doctor") == base.tokenize("The doctor")
    logits = [bench.logits(tokens) for bench in (base, a, b)]
    assert all(not torch.allclose(x, y, atol=1e-3) for x, y in zip(logits, [*logits[1:], logits[0]], strict=True))
    torch.testing.assert_close(load_arm(study, "a").logits(tokens), logits[1], atol=0, rtol=0)
    assert a.change == "weights drawn anew, seed 0"


def test_drawing_weights_leaves_everybody_elses_numbers_alone() -> None:
    config = build_model("llama", D_VOCAB).config
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    draw(config, 0)
    assert torch.equal(torch.rand(3), expected)


def test_precision_with_an_adapter_is_rounded_once(folder: Path) -> None:
    from tools.bench.checkpoint import Change, read_checkpoint

    exact, rounded = (
        read_checkpoint(str(folder / "base" / "model"), "cpu", precision, Change(folder / "adapter")).model
        for precision in ("float32", "bfloat16")
    )
    for name, weight in rounded.named_parameters():
        assert torch.equal(weight, dict(exact.named_parameters())[name].bfloat16())


def test_model_of_an_adapter_is_an_error_that_says_where_it_belongs(folder: Path) -> None:
    study = arms(folder, a={"model": "adapter"})
    with pytest.raises(LoadError, match="name it as an arm's adapter"):
        check_arm_files(study, "a")
