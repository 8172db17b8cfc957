"""Shuffled scores are the same scores, given to features that are active about as often."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tools.toward.shuffling import cut_bins, shuffle_scores


@given(
    density=st.lists(st.sampled_from([0.0, 1e-4, 1e-3, 1e-3, 0.01, 0.1, 1.0]), min_size=1, max_size=40),
    bins=st.integers(1, 12),
    seed=st.integers(0, 2**16),
)
def test_every_bin_keeps_its_scores(density: list[float], bins: int, seed: int) -> None:
    active = torch.tensor(density)
    scores = torch.rand(2, len(density), generator=torch.Generator().manual_seed(seed))
    shuffled = shuffle_scores(scores, active, seed, bins)
    parts = cut_bins(active.numpy(), bins)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(density)))
    for part in map(torch.from_numpy, parts):
        assert torch.equal(shuffled[:, part].sort(dim=1).values, scores[:, part].sort(dim=1).values)
        pairs = {tuple(pair) for pair in scores.T.tolist()}
        assert {tuple(pair) for pair in shuffled.T.tolist()} == pairs, "rows are shuffled alike"


def test_bins_are_of_like_density_and_features_that_never_fire_are_apart() -> None:
    density = np.array([0.3, 0.0, 0.1, 0.0, 0.2, 0.4])
    assert [part.tolist() for part in cut_bins(density, 2)] == [[1, 3], [2, 4], [0, 5]]


def test_shuffling_is_that_of_its_seed_and_moves_most_scores() -> None:
    scores, density = torch.rand(1, 1000, generator=torch.Generator().manual_seed(0)), torch.linspace(0.001, 0.5, 1000)
    one = shuffle_scores(scores, density, 3)
    assert torch.equal(one, shuffle_scores(scores, density, 3))
    assert not torch.equal(one, shuffle_scores(scores, density, 4))
    assert float((one != scores).float().mean()) > 0.9


def test_density_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="a density of every feature"):
        shuffle_scores(torch.rand(1, 3), torch.tensor([0.1, torch.nan, 0.2]), 0)
    with pytest.raises(ValueError, match="in one bin or several"):
        shuffle_scores(torch.rand(1, 3), torch.rand(3), 0, bins=0)
