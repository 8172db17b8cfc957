"""The mistakes of the published study, committed with the embedded study's own weights: each is refused, or said not to be."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from sae_lens import StandardSAE, StandardSAEConfig
from sae_lens.saes.sae import SAEMetadata
from safetensors.torch import load_file, save_file

from tools.bench.loading import load_arm
from tools.bench.workbench import Workbench
from tools.dictionaries.belonging import (
    LEAST_ADVANTAGE,
    LOWEST_EXPLAINED,
    MARGIN,
    SAME_MODEL_NATS,
    check_arms,
    check_reconstruction,
    model_divergence,
    probe_rows,
)
from tools.errors import LoadError
from tools.study.corpus import TokenRows
from tools.study.definition import Arm, Study
from tools.study.reading import load_study

TRAINED_AT = "blocks.3.hook_resid_pre"


@pytest.fixture(scope="module")
def pocket() -> Study:
    return load_study(str(Path(__file__).parents[3] / "studies" / "pocket"))


@pytest.fixture(scope="module")
def base(pocket: Study) -> Workbench:
    return load_arm(pocket, "base")


@pytest.fixture(scope="module")
def tuned(pocket: Study) -> Workbench:
    return load_arm(pocket, "finetuned")


@pytest.fixture(scope="module")
def rows(base: Workbench, pocket: Study) -> TokenRows:
    return probe_rows(base, pocket, most=3)


def relabelled(model: Workbench, sae: Any, hook_name: str = TRAINED_AT) -> Workbench:
    """A model with an SAE whose configuration says that it was trained at this hook."""
    own = copy.deepcopy(sae)
    own.cfg.metadata.hook_name = hook_name
    return Workbench(model.bridge, own, Arm(model="-", sae="-", hook_name=hook_name), model.arm_name, model.hashes)


def refusal(bench: Workbench, rows: TokenRows) -> str:
    with pytest.raises(LoadError) as raised:
        check_reconstruction(bench, rows)
    text = str(raised.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("arm", ["base", "tuned"])
def test_sae_where_it_was_trained_is_accepted(arm: str, rows: TokenRows, request: pytest.FixtureRequest) -> None:
    probe = check_reconstruction(request.getfixturevalue(arm), rows)
    assert probe.hook_name == TRAINED_AT
    assert probe.n_tokens == rows.real.sum()
    assert probe.explained_variance > 0.75
    assert set(probe.elsewhere) == {f"blocks.{n}.hook_resid_pre" for n in (0, 1, 2, 4)} | {"blocks.4.hook_resid_post"}
    assert max(probe.elsewhere.values()) < probe.explained_variance - MARGIN


@pytest.mark.parametrize("layer", [0, 1, 2, 4])
def test_layer_3_sae_labelled_as_another_layers_is_refused_with_its_own_named(
    layer: int, base: Workbench, rows: TokenRows
) -> None:
    hook_name = f"blocks.{layer}.hook_resid_pre"
    said = refusal(relabelled(base, base.sae, hook_name), rows)
    assert f"at {hook_name} but 8" in said
    assert f"at {TRAINED_AT}: it was trained elsewhere than the arm says; correct hook_name" in said


def test_layer_0_sae_labelled_as_layer_3_is_refused(base: Workbench, rows: TokenRows) -> None:
    """The published study's own case; an SAE of the principal components stands in for one trained at layer 0."""
    at_start = relabelled(base, base.sae, "blocks.0.hook_resid_pre")
    residuals = at_start.residuals(torch.from_numpy(rows.tokens))[torch.from_numpy(rows.real)]
    centre = residuals.mean(dim=0)
    axes = torch.linalg.svd(residuals - centre, full_matrices=False).Vh[:100]
    sae = StandardSAE(StandardSAEConfig(d_in=len(centre), d_sae=200, metadata=SAEMetadata(hook_name=TRAINED_AT)))
    with torch.no_grad():
        sae.W_dec.copy_(torch.cat([axes, -axes]))
        sae.W_enc.copy_(sae.W_dec.T)
        sae.b_enc.zero_()
        sae.b_dec.copy_(centre)
    assert "at blocks.0.hook_resid_pre: it was trained elsewhere" in refusal(relabelled(base, sae), rows)


def test_the_same_place_under_its_other_name_is_accepted(base: Workbench, rows: TokenRows) -> None:
    probe = check_reconstruction(relabelled(base, base.sae, "blocks.2.hook_resid_post"), rows)
    assert probe.explained_variance == pytest.approx(probe.elsewhere[TRAINED_AT], abs=1e-4)


@pytest.mark.parametrize("spoilt", ["W_enc", "W_dec"])
def test_random_weights_are_refused(spoilt: str, base: Workbench, rows: TokenRows) -> None:
    sae = copy.deepcopy(base.sae)
    weights = getattr(sae, spoilt)
    with torch.no_grad():
        weights.copy_(torch.randn(weights.shape, generator=torch.Generator().manual_seed(0)) * weights.std())
    said = refusal(relabelled(base, sae), rows)
    assert f"and {LOWEST_EXPLAINED:.0%} is the least of one that belongs there" in said


def test_scale_of_training_left_out_is_refused(base: Workbench, rows: TokenRows) -> None:
    """Trained on residuals scaled to a norm of sqrt(d_model), and run on them as they are."""
    sae = copy.deepcopy(base.sae)
    with torch.no_grad():
        sae.W_enc.mul_(4)
    assert "is the least" in refusal(relabelled(base, sae), rows)


def test_other_arms_sae_cannot_be_told_by_itself(base: Workbench, tuned: Workbench, rows: TokenRows) -> None:
    probe = check_reconstruction(relabelled(tuned, base.sae), rows)
    assert probe.explained_variance > 0.7


def test_two_arms_with_their_own_saes_are_accepted(base: Workbench, tuned: Workbench, rows: TokenRows) -> None:
    probe = check_arms(base, tuned, rows)
    assert probe.divergence > 100 * SAME_MODEL_NATS
    assert probe.left_own > probe.left_by_right
    assert probe.right_own > probe.right_by_left
    assert probe.advantage > 10 * LEAST_ADVANTAGE


def test_exchanged_saes_are_refused(base: Workbench, tuned: Workbench, rows: TokenRows) -> None:
    with pytest.raises(
        LoadError, match=r"explain the other arm's model no worse than their own .*: they are exchanged"
    ):
        check_arms(relabelled(base, tuned.sae), relabelled(tuned, base.sae), rows)


def test_two_saes_of_one_model_are_refused(base: Workbench, tuned: Workbench, rows: TokenRows) -> None:
    """The second is the first with its features in another order: another file, and no more of the tuned model in it."""
    order = torch.randperm(base.d_sae, generator=torch.Generator().manual_seed(0))
    sae = copy.deepcopy(base.sae)
    with torch.no_grad():
        sae.W_dec.copy_(sae.W_dec[order])
        sae.W_enc.copy_(sae.W_enc[:, order])
        sae.b_enc.copy_(sae.b_enc[order])
    with pytest.raises(LoadError, match="both were trained on one model"):
        check_arms(base, relabelled(tuned, sae), rows)


def test_one_sae_for_both_models_is_refused(base: Workbench, tuned: Workbench, rows: TokenRows) -> None:
    with pytest.raises(LoadError, match="arms base and finetuned are read with the same SAE"):
        check_arms(base, relabelled(tuned, base.sae), rows)


def test_arms_at_two_hooks_are_refused(base: Workbench, tuned: Workbench, rows: TokenRows) -> None:
    with pytest.raises(LoadError, match=r"are read at blocks\.3\.hook_resid_pre and blocks\.2\.hook_resid_pre"):
        check_arms(base, relabelled(tuned, tuned.sae, "blocks.2.hook_resid_pre"), rows)


def test_arms_of_another_vocabulary_are_refused(base: Workbench, bench: Workbench, rows: TokenRows) -> None:
    tiny = copy.copy(bench)
    tiny.hook_name = TRAINED_AT
    with pytest.raises(LoadError, match="differ in vocabulary or width"):
        check_arms(base, tiny, rows)


def test_base_weights_in_the_tuned_models_place_are_refused_in_any_file(
    pocket: Study, base: Workbench, rows: TokenRows, tmp_path: Path
) -> None:
    """Saved again in another precision they have another hash, which file checks cannot see through."""
    assert isinstance(pocket.folder, Path)
    shutil.copytree(pocket.folder / "base" / "model", tmp_path / "model")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    rounded = {name: tensor.bfloat16() for name, tensor in weights.items()}
    save_file(rounded, tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    tuned_arm = pocket.arms["finetuned"].model_copy(update={"model": str(tmp_path / "model")})
    never_loaded = load_arm(pocket.model_copy(update={"arms": {**pocket.arms, "finetuned": tuned_arm}}), "finetuned")
    assert never_loaded.hashes.model != base.hashes.model
    with pytest.raises(LoadError, match="are the same model .*the fine-tuned weights were not loaded"):
        check_arms(base, never_loaded, rows)


def test_divergence_is_the_mean_over_real_tokens(bench: Workbench, study: Study) -> None:
    other = load_arm(study, "finetuned")
    few = probe_rows(bench, study, most=3)
    tokens, real = torch.from_numpy(few.tokens), torch.from_numpy(few.real)
    left, right = (one.logits(tokens).double().log_softmax(dim=-1) for one in (bench, other))
    each = (left.exp() * (left - right)).sum(dim=-1)  # [rows, positions]
    expected = sum(float(each[row, place - 1]) for row, place in real.nonzero().tolist()) / int(real.sum())
    assert model_divergence(bench, other, few) == pytest.approx(expected, rel=1e-4)
    assert model_divergence(bench, bench, few) == 0
