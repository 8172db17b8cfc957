"""Projection against the full product, and the invariances its claim rests on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from scipy import stats

from tools.bench.readout import FinalNorm, LastStep, Readout
from tools.bench.workbench import Workbench
from tools.survey.projection import ProjectionTable, project, random_directions


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ranks(direction: torch.Tensor, W_U: torch.Tensor) -> list[int]:
    return project(direction[None], W_U, W_U.shape[1]).top_ids[0].tolist()


@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(2, 8), st.integers(5, 30), st.integers(1, 12))
def test_blocked_projection_equals_the_full_product(seed: int, n: int, d_model: int, d_vocab: int, block: int) -> None:
    directions, W_U = drawn(seed, n, d_model), drawn(seed + 1, d_model, d_vocab)
    k = 1 + seed % 5
    table = project(directions, W_U, k, block_rows=block)
    full = directions.double().numpy() @ W_U.double().numpy()
    np.testing.assert_allclose(table.top_weights, -np.sort(-full, axis=1)[:, :k], atol=1e-5)
    np.testing.assert_allclose(table.bottom_weights, np.sort(full, axis=1)[:, :k], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(full, table.top_ids.numpy(), 1), table.top_weights, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(full, table.bottom_ids.numpy(), 1), table.bottom_weights, atol=1e-5)
    np.testing.assert_allclose(table.mean, full.mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(table.std, full.std(axis=1), atol=1e-5)
    np.testing.assert_allclose(table.skewness, stats.skew(full, axis=1), atol=1e-3)
    np.testing.assert_allclose(table.kurtosis, stats.kurtosis(full, axis=1, fisher=False), atol=1e-3)


@given(st.integers(0, 10_000), st.sampled_from([3, 64, 700, 2500]), st.sampled_from([1.0, 1e-2, 1e-4]))
def test_rounded_first_pass_changes_no_token(seed: int, d_vocab: int, spread: float) -> None:
    """However near the scores lie to each other: with a spread of 1e-4 bfloat16 alone could tell none apart."""
    directions = drawn(seed, 6, 16)
    directions[5] = 0
    W_U = drawn(seed + 1, 16, 1) + spread * drawn(seed + 2, 16, d_vocab)
    k = min(10, d_vocab)
    exact, rounded = (project(directions, W_U, k, 4, first_pass) for first_pass in (torch.float32, torch.bfloat16))
    full = (directions.double() @ W_U.double()).numpy()
    for weights, ids, expected in (
        (rounded.top_weights, rounded.top_ids, exact.top_weights),
        (rounded.bottom_weights, rounded.bottom_ids, exact.bottom_weights),
    ):
        np.testing.assert_allclose(weights, expected, atol=1e-5)
        np.testing.assert_allclose(np.take_along_axis(full, ids.numpy(), 1), weights, atol=1e-5)
        assert all(len(set(row)) == k for row in ids.tolist())


def test_rounded_first_pass_gives_moments_to_a_hundredth() -> None:
    directions, W_U = drawn(0, 8, 64), drawn(1, 64, 3000)
    exact, rounded = (project(directions, W_U, 5, 4, first_pass) for first_pass in (torch.float32, torch.bfloat16))
    torch.testing.assert_close(rounded.mean, exact.mean)
    torch.testing.assert_close(rounded.std, exact.std, rtol=2e-3, atol=0)
    torch.testing.assert_close(rounded.skewness, exact.skewness, rtol=0, atol=1e-2)
    torch.testing.assert_close(rounded.kurtosis, exact.kurtosis, rtol=0, atol=2e-2)


def test_block_size_changes_nothing() -> None:
    directions, W_U = drawn(0, 7, 4), drawn(1, 4, 20)
    whole, blocked = project(directions, W_U, 5, block_rows=100), project(directions, W_U, 5, block_rows=2)
    for name, left, right in zip(ProjectionTable._fields, whole, blocked, strict=True):
        torch.testing.assert_close(left, right, msg=name)


def test_projecting_leaves_the_directions_as_they_were() -> None:
    directions = drawn(0, 3, 4)
    before = directions.clone()
    project(directions, torch.eye(4), 2)
    assert torch.equal(directions, before)


@given(st.integers(0, 1000))
def test_unembedding_column_ranks_its_own_token_first(seed: int) -> None:
    W_U = drawn(seed, 6, 40)
    W_U = W_U / W_U.norm(dim=0)
    assert project(W_U.T.contiguous(), W_U, 1).top_ids[:, 0].tolist() == list(range(40))


@pytest.mark.parametrize("scale", [0.01, 3.0, 250.0])
def test_scaling_a_direction_changes_weights_and_no_rank(bench: Workbench, scale: float) -> None:
    direction = bench.directions[:1]
    plain, scaled = project(direction, bench.W_U, 10), project(direction * scale, bench.W_U, 10)
    assert scaled.top_ids.tolist() == plain.top_ids.tolist()
    torch.testing.assert_close(scaled.top_weights, plain.top_weights * scale, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(scaled.std, plain.std * scale, rtol=1e-4, atol=1e-6)


def test_mean_of_the_unembedding_columns_changes_no_rank_once_centred(bench: Workbench) -> None:
    direction, mean = bench.directions[3], bench.W_U.mean(dim=1)
    torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-6, rtol=0)
    assert ranks(direction + 100 * mean, bench.W_U) == ranks(direction, bench.W_U)
    raw = bench.bridge.W_U.detach()
    assert ranks(direction + 100 * raw.mean(dim=1), raw) != ranks(direction, raw), "uncentred, it does change them"


def test_mean_over_the_residual_dimensions_changes_no_rank(bench: Workbench) -> None:
    direction, raw = bench.directions[3], bench.bridge.W_U.detach()
    ones = torch.ones_like(direction)
    assert ranks(direction + 2 * ones, bench.W_U)[:50] == ranks(direction, bench.W_U)[:50]
    assert ranks(direction + 2 * ones, raw)[:50] != ranks(direction, raw)[:50], "unprocessed, it does change them"


def test_unembedding_is_centred_after_the_final_norm_is_folded_in() -> None:
    W_U, weight = drawn(0, 4, 9), torch.tensor([1.0, 2.0, 0.5, 1.5])
    layer = Readout(FinalNorm(weight, True, 1e-5), LastStep(1.0, None)).process(W_U)
    folded = W_U * weight[:, None]
    expected = folded - folded.mean(0, keepdim=True) - folded.mean(1, keepdim=True) + folded.mean()
    torch.testing.assert_close(layer, expected)


def test_rms_norm_keeps_the_mean_over_the_residual_dimensions() -> None:
    W_U = drawn(0, 4, 9)
    rms = Readout(FinalNorm(torch.ones(4), False, 1e-5), LastStep(1.0, None)).process(W_U)
    torch.testing.assert_close(rms, W_U - W_U.mean(1, keepdim=True))


def test_more_tokens_than_the_vocabulary_are_refused() -> None:
    with pytest.raises(ValueError, match="k = 10"):
        project(drawn(0, 2, 4), drawn(1, 4, 9), 10)


def test_direction_of_another_width_is_refused() -> None:
    with pytest.raises((ValueError, TypeCheckError)):
        project(drawn(0, 2, 5), drawn(1, 4, 9), 3)


def test_random_directions_have_unit_length_and_follow_their_seed() -> None:
    left, again, other = (random_directions(50, 32, seed) for seed in (1, 1, 2))
    torch.testing.assert_close(left.norm(dim=1), torch.ones(50))
    assert torch.equal(left, again)
    assert not torch.allclose(left, other)


def test_random_direction_stays_itself_when_more_are_drawn() -> None:
    assert torch.equal(random_directions(3, 32, 5), random_directions(40, 32, 5)[:3])


def test_random_directions_point_everywhere() -> None:
    many = random_directions(4000, 8, 0)
    assert float(many.mean(dim=0).abs().max()) < 0.03
    torch.testing.assert_close(many.T @ many / 4000, torch.eye(8) / 8, atol=0.02, rtol=0)
