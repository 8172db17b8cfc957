"""Reconstruction and transfer: SAEs whose figures are known before they are measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sae_lens import StandardSAE, StandardSAEConfig

from tools.bench.autoencoder import Autoencoder
from tools.bench.loading import load_arm
from tools.bench.workbench import Workbench
from tools.dictionaries.reconstruction import (
    explained_variance,
    mean_residual,
    measure_reconstruction,
    next_token_loss,
    spread_rows,
)
from tools.dictionaries.transfer import measure_transfer
from tools.errors import LoadError
from tools.study.corpus import TokenRows
from tools.study.definition import Study

D_MODEL = 32


@pytest.fixture(scope="module")
def rows(bench: Workbench, study: Study) -> TokenRows:
    """Texts of several lengths, so that some rows are padded."""
    return spread_rows(bench.read_text(study, "train", 20), 12)


@pytest.fixture(scope="module")
def residuals(bench: Workbench, rows: TokenRows) -> torch.Tensor:
    """[tokens, d_model] at the hook, BOS and padding left out."""
    return bench.residuals(torch.from_numpy(rows.tokens))[torch.from_numpy(rows.real)]


def both_ways(basis: torch.Tensor, centre: torch.Tensor) -> Autoencoder:
    """A ReLU SAE that writes what lies in a basis [n, d_model] about a centre: one feature for either sign."""
    sae = StandardSAE(StandardSAEConfig(d_in=D_MODEL, d_sae=2 * len(basis), apply_b_dec_to_input=True))
    with torch.no_grad():
        sae.W_dec.copy_(torch.cat([basis, -basis]))
        sae.W_enc.copy_(sae.W_dec.T)
        sae.b_enc.zero_()
        sae.b_dec.copy_(centre)
    return Autoencoder(sae)


def silent(centre: torch.Tensor) -> Autoencoder:
    """An SAE without an active feature, which writes its bias."""
    sae = both_ways(torch.eye(D_MODEL), centre)
    with torch.no_grad():
        sae.sae.b_enc.fill_(-1e6)
    return sae


def test_exact_sae_changes_nothing(bench: Workbench, rows: TokenRows) -> None:
    figures, counts = measure_reconstruction(bench, rows, both_ways(torch.eye(D_MODEL), torch.zeros(D_MODEL)))
    assert figures.n_tokens == rows.real.sum()
    assert figures.fvu == pytest.approx(0, abs=1e-9)
    assert figures.explained_variance == pytest.approx(1)
    assert figures.ce_spliced == pytest.approx(figures.ce_clean, abs=1e-4)
    assert figures.ce_score == pytest.approx(1, abs=1e-3)
    assert figures.ce_score_mean == pytest.approx(1, abs=1e-3)
    assert figures.l0 == pytest.approx(D_MODEL)  # one of the two features of each dimension
    assert figures.alive_share == 1
    assert (counts[:D_MODEL] + counts[D_MODEL:] == figures.n_tokens).all()


def test_sae_that_writes_the_mean_explains_nothing(bench: Workbench, rows: TokenRows, residuals: torch.Tensor) -> None:
    figures, _ = measure_reconstruction(bench, rows, silent(residuals.mean(dim=0)))
    assert figures.fvu == pytest.approx(1)
    assert figures.ce_spliced == pytest.approx(figures.ce_mean, abs=1e-5)
    assert figures.ce_score_mean == pytest.approx(0, abs=1e-4)
    assert figures.ce_score != pytest.approx(0, abs=1e-3)
    assert (figures.l0, figures.dead_share) == (0, 1)


def test_sae_that_writes_nothing_is_the_zero_ablation(
    bench: Workbench, rows: TokenRows, residuals: torch.Tensor
) -> None:
    figures, _ = measure_reconstruction(bench, rows, silent(torch.zeros(D_MODEL)))
    assert figures.ce_spliced == pytest.approx(figures.ce_zeroed, abs=1e-5)
    assert figures.ce_score == pytest.approx(0, abs=1e-4)
    about_mean = (residuals - residuals.mean(dim=0)).pow(2).sum()
    assert figures.fvu == pytest.approx(float(residuals.pow(2).sum() / about_mean), rel=1e-5)


def test_principal_components_explain_their_share_of_the_variance(
    bench: Workbench, rows: TokenRows, residuals: torch.Tensor
) -> None:
    centre = residuals.mean(dim=0)
    _, lengths, axes = torch.linalg.svd(residuals - centre, full_matrices=False)
    sae = both_ways(axes[:10], centre)
    expected = float(lengths[:10].pow(2).sum() / lengths.pow(2).sum())
    figures, _ = measure_reconstruction(bench, rows, sae)
    assert 0.1 < expected < 0.95
    assert figures.explained_variance == pytest.approx(expected, rel=1e-4)
    assert figures.l0 == pytest.approx(10)
    body = bench.residuals(torch.from_numpy(rows.tokens))[:, 1:]
    assert explained_variance(sae, body, torch.from_numpy(rows.real[:, 1:])) == pytest.approx(expected, rel=1e-4)


def test_mean_residual_leaves_bos_and_padding_out(bench: Workbench, rows: TokenRows, residuals: torch.Tensor) -> None:
    torch.testing.assert_close(mean_residual(bench, rows).float(), residuals.mean(dim=0), atol=1e-5, rtol=1e-5)


def test_loss_is_the_models_own_at_the_tokens_that_count(bench: Workbench, rows: TokenRows) -> None:
    tokens, real = torch.from_numpy(rows.tokens), torch.from_numpy(rows.real)
    log_probabilities = bench.logits(tokens).log_softmax(dim=-1)
    expected = -sum(
        float(log_probabilities[row, place - 1, tokens[row, place]]) for row, place in real.nonzero().tolist()
    )
    assert next_token_loss(bench, tokens, real) == pytest.approx(expected, rel=1e-5)


def test_padding_and_batches_change_nothing(bench: Workbench, rows: TokenRows) -> None:
    assert not rows.real[:, 1:].all()
    figures, counts = measure_reconstruction(bench, rows)
    wider = TokenRows(
        np.pad(rows.tokens, ((0, 0), (0, 3)), constant_values=7), np.pad(rows.real, ((0, 0), (0, 3))), rows.documents
    )
    again, same_counts = measure_reconstruction(bench, wider, tokens_per_batch=50)
    assert torch.equal(counts, same_counts)
    assert again.model_dump() == pytest.approx(figures.model_dump(), rel=1e-5)


def test_transfer_puts_both_saes_on_the_tuned_model(study: Study, bench: Workbench, rows: TokenRows) -> None:
    tuned = load_arm(study, "finetuned")
    transfer = measure_transfer(tuned, bench.autoencoder, rows)
    assert transfer.own == measure_reconstruction(tuned, rows).figures
    assert transfer.transferred == measure_reconstruction(tuned, rows, bench.autoencoder).figures
    assert transfer.own.fvu != transfer.transferred.fvu
    assert transfer.own.ce_clean == transfer.transferred.ce_clean
    assert transfer.fvu_ratio == pytest.approx(transfer.transferred.fvu / transfer.own.fvu)
    assert transfer.ce_cost == pytest.approx(transfer.transferred.ce_spliced - transfer.own.ce_spliced)


def test_own_sae_transfers_without_loss(bench: Workbench, rows: TokenRows) -> None:
    transfer = measure_transfer(bench, bench.autoencoder, rows)
    assert transfer.fvu_ratio == 1
    assert transfer.ce_cost == 0


def test_sae_of_another_width_is_refused(bench: Workbench, rows: TokenRows, make_sae: Callable[..., Any]) -> None:
    other = Autoencoder(make_sae(seed=0, hook_name="blocks.1.hook_resid_pre", d_in=16))
    with pytest.raises(LoadError, match="reads 16 dimensions but this model's residual stream has 32"):
        measure_transfer(bench, other, rows)


def test_spread_rows_reach_from_the_first_to_the_last(rows: TokenRows) -> None:
    few = spread_rows(rows, 3)
    assert few.documents == (rows.documents[0], rows.documents[len(rows.tokens) // 2], rows.documents[-1])
    assert spread_rows(rows, 99).documents == rows.documents
