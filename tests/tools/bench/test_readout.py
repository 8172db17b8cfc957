"""Logits as the bench reads them off the residual stream are the model's own, whatever family it is of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.tools.models import D_MODEL, FAMILIES, MISREAD, N_LAYERS, save_model
from tools.bench.loading import load_arm
from tools.bench.readout import FinalNorm, LastStep, measure_norm
from tools.bench.workbench import Workbench
from tools.dictionaries.belonging import probe_reconstruction, probe_rows
from tools.errors import LoadError
from tools.proof.proof import prove
from tools.study.definition import Arm, Study

HANDING_ON_MORE = {"gpt_neo", "bloom", "falcon", "mpt"}
PADDED = 448
"""Rows of the embedding; the tokenizer has fewer tokens."""
HOOK = f"blocks.{N_LAYERS - 1}.hook_resid_pre"


@pytest.fixture(scope="session")
def load_family(study: Study, tmp_path_factory: pytest.TempPathFactory, make_sae: Callable[..., Any]) -> Any:
    """Load a family's tiny model with an SAE at its last layer, as a run does."""

    def load(family: str, change: Callable[[Path], None] | None = None, **settings: Any) -> Workbench:
        folder = tmp_path_factory.mktemp(family)
        save_model(folder / "model", family, study.folder / "base" / "model", PADDED, **settings)
        if change is not None:
            change(folder / "model")
        make_sae(seed=0, hook_name=HOOK, d_in=D_MODEL).save_model(str(folder / "sae"))
        own = Arm(model=str(folder / "model"), sae=str(folder / "sae"), hook_name="")
        return load_arm(study.model_copy(update={"arms": {"own": own}, "hub": True}), "own")

    return load


@pytest.fixture(scope="session", params=FAMILIES)
def family_bench(request: pytest.FixtureRequest, load_family: Any) -> Workbench:
    return load_family(request.param)


@pytest.fixture
def rows(family_bench: Workbench) -> torch.Tensor:
    return draw_rows(family_bench)


def draw_rows(bench: Workbench) -> torch.Tensor:
    drawn = torch.randint(1, bench.n_tokens, (3, 10), generator=torch.Generator().manual_seed(1))
    drawn[:, 0] = bench.bos
    return drawn


def reference(bench: Workbench) -> Any:
    """The same model as Hugging Face alone loads it."""
    return AutoModelForCausalLM.from_pretrained(
        bench.arm.model, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def doubly_centred(logits: torch.Tensor) -> torch.Tensor:
    """Without a constant for each position and a constant for each token."""
    flat = logits.flatten(0, -2)
    return flat - flat.mean(0, keepdim=True) - flat.mean(1, keepdim=True) + flat.mean()


def test_projecting_the_normed_residual_gives_the_models_own_logits(
    family_bench: Workbench, rows: torch.Tensor
) -> None:
    """Up to a constant a position and a constant a token, which is what a projection is read as."""
    final = family_bench.final_residual(rows)
    centred = final - final.mean(-1, keepdim=True) if family_bench.readout.norm.centred else final
    projected = centred / family_bench.readout.norm.scale_of(final)[..., None] @ family_bench.W_U
    with torch.no_grad():
        logits = reference(family_bench)(rows).logits[..., : family_bench.n_tokens]
    expected = doubly_centred(family_bench.readout.step.undo_cap(logits))
    assert float(expected.std()) > 0.01
    torch.testing.assert_close(doubly_centred(projected), expected, atol=2e-3 * float(expected.std()), rtol=2e-3)


def test_logits_of_final_residuals_are_those_of_the_library(family_bench: Workbench, rows: torch.Tensor) -> None:
    with torch.no_grad():
        expected = reference(family_bench)(rows).logits[..., : family_bench.n_tokens]
    torch.testing.assert_close(family_bench.logits(rows), expected, atol=1e-3, rtol=1e-3)
    unembedded = family_bench.unembed(family_bench.final_residual(rows))
    torch.testing.assert_close(unembedded, expected, atol=1e-3, rtol=1e-3)


def test_head_reads_what_the_effect_lens_differentiates(family_bench: Workbench, rows: torch.Tensor) -> None:
    with torch.no_grad():
        normed = family_bench.normed_final_residual(rows, lambda residual: residual)
        logits = family_bench.readout.step.undo_cap(reference(family_bench)(rows).logits[..., : family_bench.n_tokens])
    expected = doubly_centred(logits)
    read = doubly_centred(normed @ family_bench.head())
    torch.testing.assert_close(read, expected, atol=2e-3 * float(expected.std()), rtol=2e-3)


def test_residuals_at_the_hook_are_the_librarys_hidden_states(family_bench: Workbench, rows: torch.Tensor) -> None:
    """After the embedding's scale, where a family has one: the first layer's input is no other place than SAEs are trained at."""
    with torch.no_grad():
        states = reference(family_bench)(rows, output_hidden_states=True).hidden_states
    torch.testing.assert_close(family_bench.residuals(rows), states[N_LAYERS - 1], atol=1e-3, rtol=1e-3)


def test_rows_that_pad_the_vocabulary_are_no_tokens(family_bench: Workbench) -> None:
    n_tokens = family_bench.n_tokens
    assert n_tokens == len(family_bench.tokenizer) < PADDED
    assert family_bench.W_U.shape == (D_MODEL, n_tokens)
    assert len(family_bench.token_strings) == n_tokens


# What is refused


@pytest.mark.parametrize("family", MISREAD)
def test_family_that_is_not_read_rightly_is_refused(load_family: Any, family: str) -> None:
    with pytest.raises(LoadError, match="cannot be studied|that TransformerLens does not read") as raised:
        load_family(family)
    assert "\n" not in str(raised.value)


def spoil(name: str, value: float) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "model.safetensors"
        weights = load_file(file)
        weights[name].fill_(value)
        save_file(weights, file, metadata={"format": "pt"})

    return change


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_tensor_that_cannot_be_right_is_named(load_family: Any, value: float) -> None:
    said = r"weight model\.layers\.1\.mlp\.down_proj\.weight (holds values that are not finite|is 0 everywhere)"
    with pytest.raises(LoadError, match=said):
        load_family("llama", spoil("model.layers.1.mlp.down_proj.weight", value))


def test_final_norm_of_zeros_is_refused(load_family: Any) -> None:
    with pytest.raises(LoadError, match="logits are the same for every token"):
        load_family("llama", spoil("model.norm.weight", 0.0))


# The parts, against known answers


@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize("centred", [True, False])
def test_norms_formula_is_measured_from_what_it_does(offset: float, centred: bool) -> None:
    stored = torch.randn(D_MODEL, generator=torch.Generator().manual_seed(3))

    class Norm(torch.nn.Module):
        weight = stored

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x - x.mean(-1, keepdim=True) if centred else x
            return (offset + stored) * x / (x.pow(2).mean(-1, keepdim=True) + 3e-5).sqrt() + 0.25

    found = measure_norm(Norm(), D_MODEL, torch.zeros(1))
    assert found.weight is not None
    assert torch.equal(found.weight, offset + stored), "with all of its digits"
    assert found.centred == centred
    assert found.eps == pytest.approx(3e-5, rel=0.01)


def test_norm_whose_weight_is_stored_in_another_form_is_measured_too() -> None:
    logarithm = torch.linspace(-1, 1, D_MODEL)
    found = measure_norm(
        lambda x: logarithm.exp() * x / x.pow(2).mean(-1, keepdim=True).sqrt(), D_MODEL, torch.zeros(1)
    )
    assert found.weight is not None
    torch.testing.assert_close(found.weight, logarithm.exp(), atol=1e-5, rtol=1e-5)


def test_norm_of_another_form_is_refused() -> None:
    with pytest.raises(LoadError, match="neither a LayerNorm nor an RMSNorm"):
        measure_norm(torch.tanh, D_MODEL, torch.zeros(1))


def test_model_without_a_final_norm_divides_by_one() -> None:
    found = measure_norm(None, D_MODEL, torch.zeros(1))
    assert found == FinalNorm(None, False, 0.0)
    assert found.scale_of(torch.full((2, D_MODEL), 7.0)).tolist() == [1.0, 1.0]


def test_bending_is_undone() -> None:
    step = LastStep(2.0, 30.0)
    logits = step.apply(torch.linspace(-20, 20, 9))
    torch.testing.assert_close(step.undo_cap(logits), 2 * torch.linspace(-20, 20, 9), atol=1e-3, rtol=1e-3)
    assert float(logits.abs().max()) < 30


def failures(bench: Workbench, study: Study) -> dict[str, str]:
    proof = prove(bench, probe_reconstruction(bench, probe_rows(bench, study)))
    return {check.name: proof.explain(check) for check in proof.failed}


def test_a_family_passes_every_check_of_the_benchs_proof(family_bench: Workbench, study: Study) -> None:
    """But one: TransformerLens 3.9 loses the cache of MPT's attention, which nothing but the proof would tell."""
    is_mpt = "Mpt" in type(family_bench.bridge.original_model).__name__
    assert set(failures(family_bench, study)) == ({"cache"} if is_mpt else set())


def test_blocks_before_the_hook_need_not_run_again_in_most_families_and_change_nothing_in_any(
    family_bench: Workbench, rows: torch.Tensor, request: pytest.FixtureRequest
) -> None:
    """Some hand on more than the residual stream from block to block, and run whole."""
    below = family_bench.read_below(rows)
    whole, logits = family_bench.final_residual(rows), family_bench.logits(rows)[:, -1]
    torch.testing.assert_close(family_bench.final_residual(rows, None, below), whole, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(family_bench.next_logits(rows, None, below), logits, atol=1e-4, rtol=1e-4)
    assert (below is None) == (request.node.callspec.params["family_bench"] in HANDING_ON_MORE)
