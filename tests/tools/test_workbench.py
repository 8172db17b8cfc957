"""Strict loading, and what the other instruments rely on about the bench."""

from __future__ import annotations

import re
import shutil
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tools.errors import LoadError, StudyError, UnveilError
from tools.studies import Arm, Study, load_study
from tools.workbench import Workbench, check_arm_files, load_arm

HOOK = "blocks.1.hook_resid_pre"
N_LAYERS = 3


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


# Loading


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


@pytest.mark.parametrize("hook_name", ["blocks.7.hook_resid_pre", "blocks.1.hook_resid_nowhere"])
def test_hook_that_the_model_does_not_have_is_refused(
    study_copy: Path, make_sae: Callable[..., Any], hook_name: str
) -> None:
    """The library ignores an unknown hook without a word: every intervention would do nothing."""
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


def test_hook_name_of_another_form_is_refused(study: Study, bench: Workbench) -> None:
    arm = Arm(model="-", sae="-", hook_name="hook_embed")
    with pytest.raises(StudyError, match=r"not of the form blocks\.N\.hook_resid_pre"):
        Workbench(bench.bridge, bench.sae, arm, "x", bench.hashes)


def test_arm_without_a_hook_name_takes_the_one_its_sae_was_trained_at(bench: Workbench) -> None:
    arm = Arm(model="-", sae="-", hook_name="")
    assert Workbench(bench.bridge, bench.sae, arm, "x", bench.hashes).hook_name == HOOK


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


# The bench


def test_residuals_are_what_the_hooked_layer_reads(bench: Workbench, source: Any, tokens: torch.Tensor) -> None:
    states = source(tokens, output_hidden_states=True).hidden_states
    torch.testing.assert_close(bench.residuals(tokens), states[1].detach(), atol=1e-5, rtol=1e-5)


def test_reading_the_hook_does_not_run_later_layers(bench: Workbench, tokens: torch.Tensor) -> None:
    ran: list[str] = []
    layers = bench.bridge.original_model.transformer.h
    handles = [layer.mlp.register_forward_hook(lambda *_, n=n: ran.append(str(n))) for n, layer in enumerate(layers)]
    bench.residuals(tokens)
    read = list(ran)
    bench.logits(tokens)
    for handle in handles:
        handle.remove()
    assert "2" in ran, "the last layer runs for logits"
    assert "2" not in read


def test_final_residual_is_what_the_final_norm_reads(bench: Workbench, source: Any, tokens: torch.Tensor) -> None:
    states = source(tokens, output_hidden_states=True).hidden_states
    final = bench.final_residual(tokens)
    assert final.shape[-1] == source.config.n_embd
    torch.testing.assert_close(source.transformer.ln_f(final).detach(), states[-1].detach(), atol=1e-5, rtol=1e-5)


def test_final_residual_sees_the_edit(bench: Workbench, last_bench: Workbench, tokens: torch.Tensor) -> None:
    def push(residual: torch.Tensor) -> torch.Tensor:
        return residual + 3 * bench.directions[0]

    for one in (bench, last_bench):
        edited = one.final_residual(tokens, push)
        torch.testing.assert_close(one.unembed(edited), one.logits(tokens, push), atol=1e-4, rtol=1e-4)
        assert not torch.allclose(edited, one.final_residual(tokens), atol=0.1)


def test_unembedding_a_final_residual_gives_the_logits(bench: Workbench, tokens: torch.Tensor) -> None:
    final, logits = bench.final_residual(tokens), bench.logits(tokens)
    torch.testing.assert_close(bench.unembed(final), logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(bench.unembed(final[0, 3:5]), logits[0, 3:5], atol=1e-4, rtol=1e-4)


def test_processed_unembedding_tells_log_odds(bench: Workbench, source: Any, tokens: torch.Tensor) -> None:
    """Projecting the normalised final residual gives the model's logits up to a constant a position and the bias."""
    final = bench.final_residual(tokens)
    normed = (final - final.mean(-1, keepdim=True)) / (final.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    bias = source.lm_head(source.transformer.ln_f.bias).detach()
    expected = source(tokens).logits.detach() - bias
    expected = expected - expected.mean(-1, keepdim=True)
    torch.testing.assert_close(normed @ bench.W_U, expected, atol=1e-4, rtol=1e-4)


def test_stepping_through_a_cache_equals_one_pass(bench: Workbench, tokens: torch.Tensor) -> None:
    whole = bench.logits(tokens)
    logits, cache = bench.step(tokens[:, :4], None, None)
    torch.testing.assert_close(logits, whole[:, 3], atol=1e-4, rtol=1e-4)
    for place in range(4, tokens.shape[1]):
        logits, cache = bench.step(tokens[:, place : place + 1], cache, None)
        torch.testing.assert_close(logits, whole[:, place], atol=1e-4, rtol=1e-4)


def test_edit_reaches_the_logits_and_leaves_no_hook_behind(bench: Workbench, tokens: torch.Tensor) -> None:
    before = bench.logits(tokens)
    edited = bench.logits(tokens, lambda residual: residual + 5 * bench.directions[0])
    assert float((edited - before).abs().max()) > 0.1
    assert torch.equal(bench.logits(tokens), before)


def test_edit_that_raises_leaves_no_hook_behind(bench: Workbench, tokens: torch.Tensor) -> None:
    def fail(residual: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("broken edit")

    before = bench.logits(tokens)
    with pytest.raises(RuntimeError, match="broken edit"):
        bench.logits(tokens, fail)
    assert torch.equal(bench.logits(tokens), before)


def test_threads_never_see_each_others_edits(bench: Workbench, tokens: torch.Tensor) -> None:
    def read(scale: float) -> torch.Tensor:
        return bench.logits(tokens, (lambda residual: residual + scale * bench.directions[0]) if scale else None)

    scales = [0.0, 4.0, -4.0, 8.0] * 6
    with ThreadPoolExecutor(4) as pool:
        for scale, logits in zip(scales, pool.map(read, scales), strict=True):
            assert torch.equal(logits, read(scale))


def test_activations_times_directions_are_what_the_sae_writes(bench: Workbench, tokens: torch.Tensor) -> None:
    residuals = bench.residuals(tokens)
    activations = bench.encode(residuals)
    assert float(activations.max()) > 0
    written = activations @ bench.directions + bench.sae.b_dec.detach()
    torch.testing.assert_close(bench.directions.norm(dim=1), torch.ones(bench.d_sae))
    torch.testing.assert_close(written, bench.sae(residuals).detach(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(bench.decode_activations(activations), written, atol=1e-4, rtol=1e-4)


def test_sae_that_rescales_by_decoder_norms_writes_the_same_way(
    study_copy: Path, tokens: torch.Tensor, make_topk_sae: Callable[..., Any]
) -> None:
    make_topk_sae(rescale=True).save_model(str(study_copy / "base" / "sae"))
    bench = load_arm(load_study(str(study_copy)), "base")
    residuals = bench.residuals(tokens)
    expected = make_topk_sae(rescale=True)(residuals).detach()
    activations = bench.encode(residuals)
    assert int((activations > 0).sum(-1).max()) == 4
    written = activations @ bench.directions + bench.sae.b_dec.detach()
    torch.testing.assert_close(written, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(bench.decode_activations(activations), expected, atol=1e-4, rtol=1e-4)


def test_encoding_some_features_is_a_part_of_encoding_all(bench: Workbench, tokens: torch.Tensor) -> None:
    residuals = bench.residuals(tokens)
    some = torch.tensor([9, 2, 33])
    torch.testing.assert_close(bench.encode(residuals, some), bench.encode(residuals)[..., some])


def test_sae_of_a_centred_model_reads_centred_residuals(
    bench: Workbench, tokens: torch.Tensor, make_sae: Callable[..., Any]
) -> None:
    sae = make_sae(seed=0, hook_name=HOOK)
    sae.cfg.metadata.model_from_pretrained_kwargs = {"center_writing_weights": True}
    centred = Workbench(bench.bridge, sae, Arm(model="-", sae="-", hook_name=HOOK), "x", bench.hashes)
    residuals = bench.residuals(tokens)
    torch.testing.assert_close(centred.encode(residuals), centred.encode(residuals + 3), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(bench.encode(residuals), bench.encode(residuals + 3), atol=1e-2)


def test_token_strings_are_decoded(bench: Workbench) -> None:
    assert " doctor" in bench.token_strings
    assert not any("Ġ" in token for token in bench.token_strings)


def test_text_survives_the_tokenizer_without_bos(bench: Workbench) -> None:
    ids = bench.tokenize("The doctor was in the river.")
    assert bench.bos not in ids
    assert bench.decode([bench.bos, *ids]) == "The doctor was in the river."
