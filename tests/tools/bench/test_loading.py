"""Strict loading: what is refused, in one line, and what is loaded is what was saved."""

from __future__ import annotations

import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.tools.architectures import TRANSCODERS, build_sae, load_reference, save_sae
from tools.bench.arms import check_arm_files
from tools.bench.loading import load_arm
from tools.bench.workbench import Workbench
from tools.errors import LoadError, StudyError, UnveilError
from tools.study.definition import Arm, Study
from tools.study.reading import load_study

HOOK = "blocks.1.hook_resid_pre"


@pytest.fixture(scope="session")
def source(study_folder: Path) -> Any:
    """The base arm's model as Hugging Face loads it."""
    return AutoModelForCausalLM.from_pretrained(study_folder / "base" / "model", dtype=torch.float32).eval()


@pytest.fixture(scope="session")
def other(study: Study) -> Workbench:
    return load_arm(study, "finetuned")


def refuse(study: Study, kind: type[UnveilError], said: str, arm: str = "base") -> str:
    """Load an arm, expecting an error of one short line that says this."""
    with pytest.raises(kind, match=said) as raised:
        load_arm(study, arm)
    text = str(raised.value)
    assert "\n" not in text
    assert len(text) < 600
    return text


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Study:
    """Alter the base model's weight file of a study's copy and read the study."""
    file = folder / "base" / "model" / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})
    return load_study(str(folder))


def drop(weights: dict[str, torch.Tensor], name: str) -> None:
    del weights[name]


def spoil(weight: torch.Tensor) -> None:
    weight[0] = float("nan")


def test_loaded_logits_equal_the_source_model(bench: Workbench, source: Any, tokens: torch.Tensor) -> None:
    torch.testing.assert_close(bench.logits(tokens), source(tokens).logits.detach(), atol=1e-5, rtol=1e-5)


def test_loaded_arms_differ(bench: Workbench, other: Workbench, tokens: torch.Tensor) -> None:
    assert float((bench.logits(tokens) - other.logits(tokens)).abs().mean()) > 0.1
    assert bench.hashes.model != other.hashes.model
    assert bench.hashes.sae != other.hashes.sae


def test_file_check_gives_the_hashes_of_what_is_loaded(study: Study, bench: Workbench) -> None:
    assert check_arm_files(study, "base") == bench.hashes
    assert re.fullmatch(r"[0-9a-f]{64}", bench.hashes.model)


def test_missing_key_is_refused_by_name(study_copy: Path) -> None:
    study = change_weights(study_copy, lambda weights: drop(weights, "transformer.h.1.mlp.c_fc.weight"))
    refuse(study, LoadError, r"does not load strictly.*missing_keys.*h\.1\.mlp\.c_fc\.weight")


def test_unexpected_key_is_refused_by_name(study_copy: Path) -> None:
    study = change_weights(study_copy, lambda weights: weights.update({"transformer.h.9.extra": torch.ones(2)}))
    refuse(study, LoadError, r"does not load strictly.*unexpected_keys.*h\.9\.extra")


def test_mismatched_shape_is_refused(study_copy: Path) -> None:
    study = change_weights(study_copy, lambda weights: weights.update({"transformer.ln_f.weight": torch.ones(5)}))
    refuse(study, LoadError, r"model .*base/model does not load")


def test_weights_that_are_not_finite_are_refused(study_copy: Path) -> None:
    study = change_weights(study_copy, lambda weights: spoil(weights["transformer.ln_f.weight"]))
    refuse(study, LoadError, "not finite")


def test_the_same_weights_under_two_arms_are_refused(study_copy: Path) -> None:
    shutil.copytree(study_copy / "base" / "model", study_copy / "finetuned" / "model", dirs_exist_ok=True)
    refuse(load_study(str(study_copy)), LoadError, "arms base and finetuned of study tiny are the same model weights")


@pytest.mark.parametrize("file", ["base/model/model.safetensors", "base/sae/sae_weights.safetensors"])
@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"\x00" * 99])
def test_corrupt_weights_are_refused_with_the_file_named(study_copy: Path, file: str, damage: Any) -> None:
    path = study_copy / file
    path.write_bytes(damage(path.read_bytes()))
    refuse(load_study(str(study_copy)), LoadError, rf"{re.escape(file)} is corrupt .*restore it")


def test_folder_without_weights_is_refused(study_copy: Path) -> None:
    (study_copy / "base" / "sae" / "sae_weights.safetensors").unlink()
    refuse(load_study(str(study_copy)), LoadError, r"base/sae holds no \.safetensors weights: restore them")


def test_missing_folder_is_refused(study_copy: Path) -> None:
    shutil.rmtree(study_copy / "base" / "model")
    refuse(load_study(str(study_copy)), StudyError, "base/model is missing; restore it")


@pytest.mark.parametrize("file", ["base/model/config.json", "base/sae/cfg.json", "base/model/tokenizer.json"])
def test_corrupt_configuration_is_refused(study_copy: Path, file: str) -> None:
    (study_copy / file).write_text("{", "utf-8")
    refuse(load_study(str(study_copy)), LoadError, "does not load")


@pytest.mark.parametrize("file", ["base/model/config.json", "base/sae/cfg.json"])
def test_missing_configuration_is_refused(study_copy: Path, file: str) -> None:
    (study_copy / file).unlink()
    refuse(load_study(str(study_copy)), LoadError, "does not load")


def test_sae_without_one_of_its_tensors_is_refused(study_copy: Path) -> None:
    file = study_copy / "base" / "sae" / "sae_weights.safetensors"
    weights = load_file(file)
    del weights["b_enc"]
    save_file(weights, file)
    refuse(load_study(str(study_copy)), LoadError, r"SAE .*b_enc")


def test_sae_of_another_width_is_refused(study_copy: Path, make_sae: Callable[..., Any]) -> None:
    make_sae(seed=0, hook_name=HOOK, d_in=16).save_model(str(study_copy / "base" / "sae"))
    refuse(load_study(str(study_copy)), LoadError, "the SAE reads 16 dimensions but .* has 32")


def test_sae_trained_at_another_hook_is_refused(study_copy: Path, make_sae: Callable[..., Any]) -> None:
    make_sae(seed=0, hook_name="blocks.2.hook_resid_pre").save_model(str(study_copy / "base" / "sae"))
    refuse(load_study(str(study_copy)), LoadError, rf"trained at blocks\.2\.hook_resid_pre, but the arm names {HOOK}")


def test_sae_with_unfolded_input_scaling_is_refused(study_copy: Path, make_sae: Callable[..., Any]) -> None:
    sae = make_sae(seed=0, hook_name=HOOK)
    sae.cfg.normalize_activations = "expected_average_only_in"
    sae.save_model(str(study_copy / "base" / "sae"))
    refuse(load_study(str(study_copy)), LoadError, "fold the factor in")


def test_hook_that_the_model_does_not_have_is_refused(study_copy: Path, make_sae: Callable[..., Any]) -> None:
    """The library ignores an unknown hook without a word: every intervention would do nothing."""
    hook_name = "blocks.7.hook_resid_pre"
    make_sae(seed=0, hook_name=hook_name).save_model(str(study_copy / "base" / "sae"))
    file = study_copy / "study.toml"
    file.write_text(file.read_text("utf-8").replace(HOOK, hook_name), "utf-8")
    refuse(load_study(str(study_copy)), StudyError, f"no hook .*{hook_name}")


def test_features_without_a_sparsity_file_all_count_as_alive(bench: Workbench) -> None:
    assert bench.alive.shape == (bench.d_sae,)
    assert bool(bench.alive.all())


def test_sparsity_file_beside_the_sae_tells_dead_features(study_copy: Path) -> None:
    log_density = torch.full((48,), -2.0)
    log_density[[4, 47]] = -10.0
    save_file({"sparsity": log_density}, study_copy / "base" / "sae" / "sparsity.safetensors")
    alive = load_arm(load_study(str(study_copy)), "base").alive
    assert (~alive).nonzero()[:, 0].tolist() == [4, 47]


@pytest.mark.parametrize("held", [{"sparsity": torch.zeros(9)}, {"density": torch.zeros(48)}])
def test_sparsity_file_that_does_not_fit_is_refused(study_copy: Path, held: dict[str, torch.Tensor]) -> None:
    save_file(held, study_copy / "base" / "sae" / "sparsity.safetensors")
    refuse(load_study(str(study_copy)), LoadError, r"sparsity\.safetensors does not hold .* one value a feature")


def test_unknown_arm_is_refused(study: Study) -> None:
    refuse(study, StudyError, "no arm 'nosuch'", arm="nosuch")


def test_unreachable_hub_is_said_within_five_seconds(study_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()[1]
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{closed}")
    study = load_study(str(study_copy)).model_copy(
        update={"hub": True, "arms": {"base": Arm(model="nobody/nothing", sae="release/id", hook_name=HOOK)}}
    )
    began = time.monotonic()
    text = refuse(study, LoadError, "needs 'nobody/nothing' from the Hugging Face hub, which cannot be reached")
    assert "use --study pocket" in text
    assert time.monotonic() - began < 5


def test_study_without_a_hub_never_takes_a_missing_folder_for_a_hub_name(study: Study) -> None:
    arms = {"base": Arm(model="nobody/nothing", sae="base/sae", hook_name=HOOK)}
    refuse(study.model_copy(update={"arms": arms}), StudyError, "nobody/nothing is missing")


# From the hub's cache


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A server in place of the hub, which accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield server


@pytest.fixture
def cached_study(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """The tiny model and SAE under a registered release's name in a cache of the hub's layout."""
    for repository, source, folder in (
        ("gpt2", "base/model", ""),
        ("jbloom/GPT2-Small-SAEs-Reformatted", "base/sae", HOOK),
    ):
        top = tmp_path / f"models--{repository.replace('/', '--')}"
        shutil.copytree(study.folder / source, top / "snapshots" / ("0" * 40) / folder)
        (top / "refs").mkdir()
        (top / "refs" / "main").write_text("0" * 40, "utf-8")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    arms = {"base": Arm(model="gpt2", sae=f"gpt2-small-res-jb/{HOOK}", hook_name=HOOK)}
    return study.model_copy(update={"hub": True, "arms": arms})


def test_arm_in_the_cache_loads_without_asking_the_hub(
    cached_study: Study, endpoint: socket.socket, bench: Workbench, tokens: torch.Tensor
) -> None:
    loaded = load_arm(cached_study, "base")
    with pytest.raises(BlockingIOError):
        endpoint.accept()  # nobody has called
    assert not huggingface_hub.constants.is_offline_mode()
    torch.testing.assert_close(loaded.logits(tokens), bench.logits(tokens))
    torch.testing.assert_close(loaded.encode(loaded.residuals(tokens)), bench.encode(bench.residuals(tokens)))
    assert loaded.hashes.sae == f"hub:gpt2-small-res-jb/{HOOK}"
    assert bool(loaded.alive.all())


def test_sparsity_of_a_cached_sae_tells_dead_features(cached_study: Study, tmp_path: Path) -> None:
    (weights,) = tmp_path.rglob("sae_weights.safetensors")
    log_density = torch.full((48,), -2.0)
    log_density[[4, 47]] = -10.0
    save_file({"sparsity": log_density}, weights.parent / "sparsity.safetensors")
    assert (~load_arm(cached_study, "base").alive).nonzero()[:, 0].tolist() == [4, 47]


@pytest.mark.parametrize("missing", ["model.safetensors", "sae_weights.safetensors"])
def test_half_a_download_needs_the_hub(
    cached_study: Study, tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # the discard port: closed
    (file,) = tmp_path.rglob(missing)
    file.unlink()
    refuse(cached_study, LoadError, "from the Hugging Face hub, which cannot be reached")


def test_own_sae_is_found_from_the_working_directory(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study.folder / "finetuned")
    own = study.model_copy(update={"hub": True, "arms": {"own": Arm(model="model", sae="sae", hook_name="")}})
    assert load_arm(own, "own").hashes == check_arm_files(study, "finetuned")


def test_own_sae_may_be_for_the_model_of_an_arm(study: Study, study_folder: Path) -> None:
    """Unlike a second arm of the study, which claims to be another model."""
    model, sae = (str(study_folder / "base" / part) for part in ("model", "sae"))
    own = study.model_copy(update={"arms": {**study.arms, sae: Arm(model=model, sae=sae, hook_name="")}, "hub": True})
    assert check_arm_files(own, sae) == check_arm_files(study, "base")


# Kinds of SAE


@pytest.mark.parametrize("architecture", TRANSCODERS)
def test_transcoder_is_refused(study_copy: Path, architecture: str) -> None:
    save_sae(architecture, study_copy / "base" / "sae")
    refuse(load_study(str(study_copy)), LoadError, "is a transcoder: it writes elsewhere than it reads")


def test_sae_of_attention_heads_is_refused(study_copy: Path) -> None:
    save_sae("standard", study_copy / "base" / "sae", hook_name="blocks.1.attn.hook_z", reshape_activations="hook_z")
    refuse(load_study(str(study_copy)), StudyError, r"blocks\.1\.attn\.hook_z' is not on the residual stream")


def test_sae_of_attention_heads_is_refused_wherever_it_is_said_to_belong(study_copy: Path) -> None:
    save_sae("standard", study_copy / "base" / "sae", hook_name="blocks.1.attn.hook_z", reshape_activations="hook_z")
    study = load_study(str(study_copy))
    arm = study.arms["base"].model_copy(update={"hook_overrides": True})
    insisted = study.model_copy(update={"arms": {"base": arm}})
    refuse(insisted, LoadError, r"reads attention heads \(hook_z\), not the residual stream")


@pytest.mark.parametrize("architecture", ["batchtopk", "matryoshka_batchtopk"])
def test_training_checkpoint_is_refused_with_what_to_do(study_copy: Path, architecture: str) -> None:
    build_sae(architecture).save_model(str(study_copy / "base" / "sae"))
    refuse(load_study(str(study_copy)), LoadError, f"a {architecture} training checkpoint; .* save_inference_model")


def test_sae_with_unfolded_whitening_is_refused(study_copy: Path) -> None:
    save_sae("standard", study_copy / "base" / "sae", normalize_activations="covariance_whitening")
    refuse(load_study(str(study_copy)), LoadError, "inputs under covariance_whitening.*fold_activation_whitening")


@pytest.mark.parametrize("kind", ["layer_norm", "constant_norm_rescale"])
def test_sae_that_normalises_its_input_is_read_as_the_library_reads_it(
    study_copy: Path, kind: str, tokens: torch.Tensor
) -> None:
    folder = save_sae("topk", study_copy / "base" / "sae", normalize_activations=kind)
    loaded = load_arm(load_study(str(study_copy)), "base")
    residuals = loaded.residuals(tokens)
    with torch.no_grad():
        expected = load_reference(folder)(residuals)
    written = loaded.decode_activations(loaded.encode(residuals), residuals)
    torch.testing.assert_close(written, expected, atol=1e-4, rtol=1e-4)
