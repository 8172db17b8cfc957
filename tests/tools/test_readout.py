"""Logits as the bench reads them off the residual stream are the model's own, whatever family it is of."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.tools.models import D_MODEL, FAMILIES, N_LAYERS, save_model
from tools.errors import LoadError
from tools.loading import load_arm
from tools.readout import FinalNorm, LastStep, measure_norm
from tools.studies import Arm, Study
from tools.workbench import Workbench

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
    return AutoModelForCausalLM.from_pretrained(bench.arm.model, dtype=torch.float32, attn_implementation="eager").eval()


def doubly_centred(logits: torch.Tensor) -> torch.Tensor:
    """Without a constant for each position and a constant for each token."""
    flat = logits.flatten(0, -2)
    return flat - flat.mean(0, keepdim=True) - flat.mean(1, keepdim=True) + flat.mean()


def test_projecting_the_normed_residual_gives_the_models_own_logits(family_bench: Workbench, rows: torch.Tensor) -> None:
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


def test_rows_that_pad_the_vocabulary_are_no_tokens(family_bench: Workbench, study: Study) -> None:
    n_tokens = family_bench.n_tokens
    assert n_tokens == len(family_bench.tokenizer) < PADDED
    assert family_bench.W_U.shape == (D_MODEL, n_tokens)
    assert len(family_bench.token_strings) == n_tokens
