"""Random directions are active as often as features are: the draw against the densities it is drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.activity.densities import USUAL_DENSITY, describe_densities, draw_densities, median_density


@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=60),
    st.lists(st.integers(0, 10_000), min_size=1, max_size=20),
    st.integers(0, 19),
)
def test_each_density_is_a_live_features_and_follows_from_the_number_alone(
    counts: list[int], numbers: list[int], one: int
) -> None:
    density = np.array(counts) / 1000
    drawn = draw_densities(density, numbers)
    assert len(drawn) == len(numbers)
    assert set(drawn.tolist()) <= (set(density[density > 0].tolist()) or {USUAL_DENSITY})
    which = one % len(numbers)
    assert draw_densities(density, [numbers[which]])[0] == drawn[which]


@pytest.mark.parametrize("n", [20, 60, 500])
def test_few_directions_have_the_spread_of_the_features(n: int) -> None:
    """No decile of the features' densities, which span three decades, is met by more or fewer directions than its share."""
    density = 10 ** np.random.default_rng(3).normal(-2.5, 0.7, 4096).clip(-5, 0)
    drawn = draw_densities(density, range(n))
    edges = np.quantile(density, np.linspace(0, 1, 11)[1:-1])
    shares = np.bincount(np.searchsorted(edges, drawn), minlength=10) / n
    assert abs(shares - 0.1).max() <= 2 / n


def test_dead_features_lend_their_density_to_none() -> None:
    density = np.array([0.0, 0.0, 0.0, 0.02, 0.04])
    assert set(draw_densities(density, range(30)).tolist()) == {0.02, 0.04}
    assert median_density(density, 2).tolist() == [0.03, 0.03]
    found = describe_densities(density, draw_densities(density, [0, 1]))
    assert (found.features, found.silent) == (2, 3)
    assert (found.deciles[0], found.deciles[5], found.deciles[-1]) == pytest.approx((0.02, 0.03, 0.04))


def test_where_no_feature_is_active_directions_have_a_usual_density() -> None:
    nothing = np.zeros(4)
    assert draw_densities(nothing, [0, 5]).tolist() == [USUAL_DENSITY] * 2 == median_density(nothing, 2).tolist()
    assert describe_densities(nothing, np.empty(0)).deciles == ()
