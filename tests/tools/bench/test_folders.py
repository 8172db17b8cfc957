"""What a folder lacks, or holds instead, is said in a line that tells what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tools.architectures import D_MODEL
from tools.bench.arms import check_arm_files
from tools.bench.folders import check_model_path, find_sae
from tools.bench.loading import load_arm
from tools.errors import UnveilError
from tools.study.definition import Arm, Study

HOOK = "blocks.1.hook_resid_post"


@pytest.fixture
def model(study_folder: Path, tmp_path: Path) -> Path:
    """A copy of a sound model's folder."""
    return Path(shutil.copytree(study_folder / "base" / "model", tmp_path / "model"))


@pytest.fixture
def sae(study_folder: Path, tmp_path: Path) -> Path:
    """A copy of a sound SAE's folder."""
    return Path(shutil.copytree(study_folder / "base" / "sae", tmp_path / "sae"))


def own(study: Study, model: Path, sae: Path, hook_name: str = "") -> Study:
    arm = Arm(model=str(model), sae=str(sae), hook_name=hook_name)
    return study.model_copy(update={"arms": {"own": arm}, "hub": True})


def refused(check: Callable[[], object]) -> str:
    with pytest.raises(UnveilError) as raised:
        check()
    text = str(raised.value)
    assert "\n" not in text
    assert len(text) < 600
    return text


def change_config(folder: Path, **values: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **values}), "utf-8")


def test_sound_folder_passes(model: Path) -> None:
    check_model_path(model)


def test_folder_without_a_tokenizer_is_refused(model: Path) -> None:
    for file in model.glob("token*"):
        file.unlink()
    said = refused(lambda: check_model_path(model))
    assert "has no tokenizer" in said
    assert "AutoTokenizer.from_pretrained(BASE).save_pretrained(FOLDER)" in said


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.ckpt"])
def test_pickled_weights_are_not_opened(model: Path, name: str) -> None:
    (model / "model.safetensors").unlink()
    (model / name).write_bytes(b"a pickle")
    said = refused(lambda: check_model_path(model))
    assert name in said
    assert "pickles can run code" in said
    assert "save_pretrained" in said


@pytest.mark.parametrize("name", ["tf_model.h5", "flax_model.msgpack"])
def test_weights_of_another_library_are_named(model: Path, name: str) -> None:
    (model / "model.safetensors").unlink()
    (model / name).touch()
    assert name in refused(lambda: check_model_path(model))


def test_folder_of_a_gguf_file_asks_for_the_file(model: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "small.Q4_0.gguf").touch()
    assert "small.Q4_0.gguf: give the file itself" in refused(lambda: check_model_path(model))


def test_file_that_is_no_gguf_asks_for_the_folder(model: Path) -> None:
    assert "give the folder" in refused(lambda: check_model_path(model / "model.safetensors"))


def test_adapter_has_to_be_merged(model: Path) -> None:
    (model / "adapter_config.json").write_text("{}", "utf-8")
    assert "merge it (PeftModel.from_pretrained(BASE, FOLDER)" in refused(lambda: check_model_path(model))


def test_lacking_shard_is_named(model: Path) -> None:
    shards = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    (model / "model.safetensors").rename(model / shards[0])
    (model / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": dict(zip("abc", shards, strict=True))}), "utf-8"
    )
    assert f"lacks 2 of its 3 parts: {shards[1]}, {shards[2]}" in refused(lambda: check_model_path(model))


def test_sharded_model_loads(study: Study, model: Path, sae: Path, tokens: torch.Tensor, bench: Any) -> None:
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    names = sorted(weights)
    where = {name: f"model-0000{1 + (place > 9)}-of-00002.safetensors" for place, name in enumerate(names)}
    for shard in set(where.values()):
        save_file({n: weights[n] for n in names if where[n] == shard}, model / shard, metadata={"format": "pt"})
    index = {"metadata": {"total_size": 0}, "weight_map": where}
    (model / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    torch.testing.assert_close(load_arm(own(study, model, sae), "own").logits(tokens), bench.logits(tokens))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model_type": "t5", "is_encoder_decoder": True}, "an encoder and a decoder"),
        ({"model_type": "vit", "architectures": ["ViTForImageClassification"]}, "is a vit"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "is a bert"),
        ({"quantization_config": {"quant_method": "gptq"}}, r"is quantised (gptq)"),
    ],
)
def test_model_that_does_not_continue_text_is_refused(model: Path, values: dict[str, Any], said: str) -> None:
    change_config(model, **values)
    assert said in refused(lambda: check_model_path(model))


@pytest.mark.parametrize("kind", ["unheard_of", ""])
def test_architecture_that_nobody_knows_is_refused_in_a_line(study: Study, model: Path, sae: Path, kind: str) -> None:
    change_config(model, model_type=kind, architectures=["UnheardOfForCausalLM"])
    assert str(model) in refused(lambda: load_arm(own(study, model, sae), "own"))


def test_integers_in_place_of_weights_are_refused_by_name(study: Study, model: Path, sae: Path) -> None:
    weights = load_file(model / "model.safetensors")
    weights["transformer.h.1.mlp.c_fc.weight"] = weights["transformer.h.1.mlp.c_fc.weight"].to(torch.int8)
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    said = refused(lambda: check_arm_files(own(study, model, sae), "own"))
    assert "holds integers (I8) as its weight transformer.h.1.mlp.c_fc.weight" in said


def test_tokenizer_that_the_library_cannot_read_is_refused(study: Study, model: Path, sae: Path) -> None:
    (model / "tokenizer.json").write_text('{"version": "1.0"}', "utf-8")
    assert "does not load" in refused(lambda: load_arm(own(study, model, sae), "own"))


def test_tokenizer_file_alone_is_enough(study: Study, model: Path, sae: Path, bench: Any) -> None:
    (model / "tokenizer_config.json").unlink()
    found = load_arm(own(study, model, sae), "own")
    assert found.bos == bench.bos
    assert found.token_strings == bench.token_strings


def test_slow_tokenizers_files_are_enough(study: Study, model: Path, sae: Path, bench: Any) -> None:
    kept = json.loads((model / "tokenizer.json").read_text("utf-8"))["model"]
    merges = "\n".join(" ".join(pair) if isinstance(pair, list) else pair for pair in kept["merges"])
    (model / "vocab.json").write_text(json.dumps(kept["vocab"]), "utf-8")
    (model / "merges.txt").write_text("#version: 0.2\n" + merges + "\n", "utf-8")
    for file in model.glob("tokenizer*"):
        file.unlink()
    found = load_arm(own(study, model, sae), "own")
    text = "The doctor was in the river."
    assert found.tokenize(text) == bench.tokenize(text)
    assert found.token_strings[: len(bench.token_strings)] == bench.token_strings


# SAEs


def test_sae_is_found_one_level_down_and_by_its_file(sae: Path) -> None:
    assert find_sae(sae.parent).path == sae, "the only one there"
    assert find_sae(sae / "sae_weights.safetensors").path == sae
    assert find_sae(sae / "cfg.json").path == sae


def test_folder_of_several_saes_asks_for_one(sae: Path) -> None:
    shutil.copytree(sae, sae.parent / "another")
    assert "holds 2 SAEs (another, sae): give the folder of one" in refused(lambda: find_sae(sae.parent))


def test_folder_inside_an_saes_folder_names_the_one_above(sae: Path) -> None:
    (sae / "figures").mkdir()
    assert f"the folder above it does: give {sae}" in refused(lambda: find_sae(sae / "figures"))


@pytest.mark.parametrize("name", ["ae.pt", "sae_weights.pt", "sae.pkl"])
def test_pickled_sae_is_not_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"a pickle")
    (tmp_path / "config.json").write_text("{}", "utf-8")
    for given in (tmp_path, tmp_path / name):
        said = refused(lambda given=given: find_sae(given))
        assert name in said
        assert "pickles can run code" in said


def test_format_that_only_the_hubs_loaders_read_says_how(tmp_path: Path) -> None:
    (tmp_path / "params.npz").touch()
    assert "RELEASE/SAE_ID" in refused(lambda: find_sae(tmp_path))


def flatten_config(sae: Path, **changes: Any) -> None:
    """As SAELens before version 6 saved it, without a metadata of its own."""
    file = sae / "cfg.json"
    config = json.loads(file.read_text("utf-8"))
    del config["metadata"]
    config.pop("sae_lens_version", None)
    file.write_text(json.dumps({**config, **changes}), "utf-8")


@pytest.mark.parametrize(
    "old",
    [
        {"hook_point": HOOK, "hook_point_layer": 1, "activation_fn_str": "relu"},
        {"hook_point": "blocks.{layer}.hook_resid_post", "hook_point_layer": 1},
        {"hook_name": HOOK, "hook_layer": 1, "sae_lens_training_version": "3.13.0"},
        {"hook_name": "transformer.h.1"},
    ],
)
def test_configuration_of_older_versions_is_read(study: Study, model: Path, sae: Path, old: dict[str, Any]) -> None:
    flatten_config(sae, **old)
    assert load_arm(own(study, model, sae), "own").hook_name == HOOK


def test_sae_that_names_no_place_is_refused_before_anything_is_loaded(study: Study, model: Path, sae: Path) -> None:
    flatten_config(sae)
    assert "--hook" in refused(lambda: check_arm_files(own(study, model, sae), "own"))
    assert load_arm(own(study, model, sae, hook_name=HOOK), "own").hook_name == HOOK


@pytest.fixture
def sparsify(tmp_path: Path) -> Callable[..., Path]:
    """Writes an SAE in EleutherAI's format: the place is the folder's name, the encoder lies the other way round."""

    def write(name: str, **config: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        shape = {"d_in": D_MODEL, "num_latents": 40, "expansion_factor": 2, "k": 4, "normalize_decoder": True}
        (folder / "cfg.json").write_text(json.dumps({**shape, **config}), "utf-8")
        drawn = [torch.randn(*size, generator=torch.Generator().manual_seed(seed)) for seed, size in enumerate(_SIZES)]
        save_file(
            dict(zip(("encoder.weight", "encoder.bias", "W_dec", "b_dec"), drawn, strict=True)),
            folder / "sae.safetensors",
        )
        return folder

    return write


_SIZES = ((40, D_MODEL), (40,), (40, D_MODEL), (D_MODEL,))


def test_sae_of_sparsify_is_read_as_its_own_library_reads_it(
    study: Study, model: Path, sparsify: Callable[..., Path], tokens: torch.Tensor
) -> None:
    folder = sparsify("layers.1")
    found = load_arm(own(study, model, folder), "own")
    assert found.hook_name == HOOK
    residuals = found.residuals(tokens)
    parts = load_file(folder / "sae.safetensors")
    above = torch.relu((residuals - parts["b_dec"]) @ parts["encoder.weight"].T + parts["encoder.bias"])
    kept = above.topk(4, dim=-1)
    expected = torch.zeros_like(above).scatter(-1, kept.indices, kept.values) @ parts["W_dec"] + parts["b_dec"]
    written = found.decode_activations(found.encode(residuals), residuals)
    torch.testing.assert_close(written, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        ("layers.1", {"transcode": True}, "is a transcoder"),
        ("layers.1", {"activation": "groupmax"}, "chooses its features by groupmax"),
        ("layers.1.mlp", {}, "'layers.1.mlp' is not on the residual stream"),
        ("embed_tokens", {}, "'embed_tokens' is not of the form"),
        ("renamed", {}, "name it with --hook"),
    ],
)
def test_sae_of_sparsify_that_cannot_be_read_is_refused(
    study: Study, model: Path, sparsify: Callable[..., Path], name: str, config: dict[str, Any], said: str
) -> None:
    assert said in refused(lambda: load_arm(own(study, model, sparsify(name, **config)), "own"))


@pytest.mark.parametrize("name", ["nowhere.Q4_0.gguf", "/nowhere/model"])
def test_path_that_leads_nowhere_is_never_looked_for_on_the_hub(study: Study, sae: Path, name: str) -> None:
    assert "is missing" in refused(lambda: check_arm_files(own(study, Path(name), sae), "own"))


def test_place_insisted_on_goes_before_the_saes_own(study: Study, model: Path, sae: Path) -> None:
    insisted = own(study, model, sae)
    arm = insisted.arms["own"].model_copy(update={"hook_name": "blocks.2.hook_resid_pre", "hook_overrides": True})
    found = load_arm(insisted.model_copy(update={"arms": {"own": arm}}), "own")
    assert found.hook_name == "blocks.2.hook_resid_pre"


@pytest.mark.parametrize("value", [float("nan"), 0.0])
def test_weight_of_an_sae_that_cannot_be_right_is_named(study: Study, model: Path, sae: Path, value: float) -> None:
    weights = load_file(sae / "sae_weights.safetensors")
    weights["W_enc"].fill_(value)
    save_file(weights, sae / "sae_weights.safetensors")
    assert "its weight W_enc" in refused(lambda: load_arm(own(study, model, sae), "own"))
