"""Differences between arms: known answers, and the level and the reach of the tests by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import fisher_exact, permutation_test

from evals.arms.inference import adjust, cohen_h, compare_samples, hedges_g, permutation_p
from evals.arms.samples import Sample, plain


def grouped(*parts: tuple[float, list[float]]) -> Sample:
    """Weights with the values they are for."""
    values = [np.array(part, dtype=float) for _, part in parts]
    groups = np.repeat(np.arange(len(parts)), [len(part) for part in values])
    return Sample(np.concatenate(values), groups, np.array([weight for weight, _ in parts]))


def test_a_figure_is_the_weighted_sum_of_its_groups_means() -> None:
    assert grouped((0.25, [1, 3]), (0.75, [4])).value == pytest.approx(0.25 * 2 + 0.75 * 4)
    assert grouped((1.0, [0.9, 0.7]), (-1.0, [0.5])).value == pytest.approx(0.3)
    assert grouped((1.0, [0.9, 0.7]), (-1.0, [0.5])).n == 2
    assert grouped((0.5, [1.0]), (0.5, [])).value is None


def test_few_values_are_dealt_in_every_way() -> None:
    """Three against three, all of one side above: 2 of 20 deals are as extreme."""
    assert permutation_p(np.array([1.0, 2, 3]), np.array([4.0, 5, 6]), 0) == pytest.approx(0.1)
    assert permutation_p(np.array([1.0, 2, 3]), np.array([1.0, 2, 3]), 0) == 1
    assert permutation_p(np.array([1.0]), np.array([2.0, 3]), 0) is None


def test_many_values_give_the_p_value_that_scipy_gives() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(0, 1, 60), rng.normal(0.35, 1, 50)

    def welch(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        spread = x.var(axis, ddof=1) / x.shape[axis] + y.var(axis, ddof=1) / y.shape[axis]
        return abs(x.mean(axis) - y.mean(axis)) / np.sqrt(spread)

    expected = permutation_test(
        (left, right), welch, permutation_type="independent", n_resamples=9999, alternative="greater", rng=1
    ).pvalue
    assert permutation_p(left, right, 0) == pytest.approx(expected, abs=0.015)


def test_the_permutation_test_keeps_its_level_when_only_the_spread_differs() -> None:
    rng = np.random.default_rng(1)
    p = [permutation_p(rng.normal(0, 3, 5), rng.normal(0, 1, 8), seed) for seed in range(400)]
    assert np.mean([value is not None and value <= 0.05 for value in p]) < 0.09


def test_shares_are_tested_exactly() -> None:
    left, right = plain(np.array([True] * 11 + [False] * 2037)), plain(np.array([True] * 6 + [False] * 2042))
    found = compare_samples(left, right, True, 0)
    assert found.test == "exact"
    assert found.p == pytest.approx(float(fisher_exact([[11, 2037], [6, 2042]])[1]))
    assert found.base.method == "wilson"
    assert found.effect == pytest.approx(2 * math.asin(math.sqrt(6 / 2048)) - 2 * math.asin(math.sqrt(11 / 2048)))


def test_the_interval_of_a_difference_covers_it_nearly_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for seed in range(60):
        left, right = (
            grouped((0.5, list(rng.exponential(mean, 15))), (0.5, list(rng.exponential(mean, 15)))) for mean in (1, 1.5)
        )
        difference = compare_samples(left, right, False, seed).difference
        assert difference.low is not None and difference.high is not None
        covered += difference.low <= 0.5 <= difference.high
    assert 50 <= covered <= 60


def test_a_weighted_figure_is_resampled_within_its_strata() -> None:
    """The strata's means lie far apart: drawn again within them, they add nothing to the interval."""
    rng = np.random.default_rng(3)
    sides = [grouped((0.5, list(rng.normal(0, 0.1, 30))), (0.5, list(rng.normal(9, 0.1, 30)))) for _ in range(2)]
    found = compare_samples(*sides, False, 0)
    assert found.test == "bootstrap"
    assert found.difference.low is not None and found.difference.high is not None
    assert found.difference.high - found.difference.low < 0.15


def test_a_planted_difference_is_found_and_its_absence_is_not() -> None:
    rng = np.random.default_rng(4)
    none, much = plain(rng.normal(0, 1, 80)), plain(rng.normal(1, 1, 80))
    found = compare_samples(none, much, False, 0)
    assert found.p is not None and found.p < 0.001 and found.effect == pytest.approx(1, abs=0.35)
    same = compare_samples(none, none, False, 0)
    assert same.p == 1 and same.difference.value == 0 and same.effect == 0


def test_an_empty_side_gives_no_figure_and_no_test() -> None:
    found = compare_samples(plain(np.array([0.5, 0.6])), plain(np.array([])), False, 0)
    assert (found.base.value, found.finetuned.value, found.p, found.test) == (pytest.approx(0.55), None, None, "none")


def test_p_values_are_corrected_as_by_hand() -> None:
    assert adjust([0.01, 0.04, 0.03], "holm") == pytest.approx([0.03, 0.06, 0.06])
    assert adjust([0.01, 0.04, 0.03, 0.5], "fdr_bh") == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert adjust([], "holm") == adjust([], "fdr_bh") == []


def test_effect_sizes_have_their_textbook_values() -> None:
    assert cohen_h(0.5, 0.5) == 0
    assert cohen_h(0, 1) == pytest.approx(math.pi)
    assert cohen_h(0.25, 0.75) == pytest.approx(math.pi / 3)
    assert cohen_h(-1e-17, 1 + 1e-15) == pytest.approx(math.pi), "rounding takes a share out of its range"
    pooled = math.sqrt((2 + 2) / 4)
    assert hedges_g(plain(np.array([1.0, 2, 3])), plain(np.array([2.0, 3, 4]))) == pytest.approx(
        1 / pooled * (1 - 3 / 15)
    )
    assert hedges_g(plain(np.array([1.0, 1])), plain(np.array([2.0, 2]))) is None


def test_the_same_seed_gives_the_same_figures() -> None:
    rng = np.random.default_rng(5)
    sides = plain(rng.normal(0, 1, 30)), plain(rng.normal(0, 1, 25))
    assert compare_samples(*sides, False, 7) == compare_samples(*sides, False, 7)
