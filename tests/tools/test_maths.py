"""Statistics against scipy and against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tools.maths import binomial_tail, combine_tails, derangement, seed_of, upper_share, wilson_interval

counts = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts)
def test_wilson_interval_equals_scipy(count: tuple[int, int]) -> None:
    successes, n = count
    expected = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_wilson_interval_of_the_published_win_count() -> None:
    assert wilson_interval(158, 311) == pytest.approx((0.4527, 0.5632), abs=1e-4)


def test_wilson_interval_of_nothing_observed_is_everything() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(counts, st.floats(0, 1))
def test_binomial_tail_equals_scipy(count: tuple[int, int], p: float) -> None:
    successes, n = count
    assert binomial_tail(successes, n, p) == pytest.approx(stats.binom.sf(successes - 1, n, p), rel=1e-9, abs=1e-12)


def test_binomial_tail_holds_for_a_whole_survey() -> None:
    assert binomial_tail(1100, 2048, 0.5) == pytest.approx(stats.binom.sf(1099, 2048, 0.5), rel=1e-9)


def test_published_win_count_is_chance() -> None:
    assert binomial_tail(158, 311, 0.5) > 0.4


def test_impossible_success_count_has_no_tail() -> None:
    assert binomial_tail(5, 4, 0.9) == 0.0


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.lists(st.integers(-1, 10), min_size=1, max_size=9))
def test_upper_share_counts_ties_and_is_never_zero(null: list[int], values: list[int]) -> None:
    got = upper_share(np.array(null, dtype=float), np.array(values, dtype=float))
    expected = [(1 + sum(drawn >= value for drawn in null)) / (1 + len(null)) for value in values]
    assert got.tolist() == pytest.approx(expected)
    assert (got > 0).all()


def test_upper_share_takes_counts_as_well_as_scores() -> None:
    assert upper_share(np.array([0, 1, 2, 3]), np.array([2])).tolist() == [0.6]


@given(st.integers(2, 60), st.integers(0, 5))
def test_derangement_moves_every_element_and_loses_none(n: int, seed: int) -> None:
    drawn = derangement(n, seed)
    assert sorted(drawn) == list(range(n))
    assert (drawn != np.arange(n)).all()


def test_derangement_follows_its_seed() -> None:
    assert derangement(30, 1).tolist() == derangement(30, 1).tolist()
    assert derangement(30, 1).tolist() != derangement(30, 2).tolist()


def test_one_element_has_no_derangement() -> None:
    with pytest.raises(ValueError, match="one element"):
        derangement(1, 0)


@given(st.floats(1e-6, 1), st.floats(1e-6, 1))
def test_combined_tails_are_fishers(first: float, second: float) -> None:
    assert combine_tails(first, second) == pytest.approx(
        stats.combine_pvalues([first, second], method="fisher").pvalue, rel=1e-6
    )


# Seeds: verdicts depend on each of these numbers, so that none may ever change


@pytest.mark.parametrize(
    ("parts", "seed"),
    [
        (("base-000001|0",), 8556430834995254947),  # the noise of a row of steered text
        (("0 base-000001",), 14406462476770441654),  # the contexts drawn of held-out text
        (("everyday-05",), 2002358031403740224),  # the split of a document
        (("base-000001|hypotheses|0|1",), 1320494606603991272),  # what a blind judge sees first
    ],
)
def test_seed_of_a_text_is_the_one_it_has_always_been(parts: tuple[object, ...], seed: int) -> None:
    assert seed_of(*parts) == seed


def test_seed_of_parts_is_that_of_the_parts_with_bars_between() -> None:
    assert seed_of(3, "base-000001", "control") == seed_of("3|base-000001|control")
    assert seed_of(3, "base-000001", "control") >> 8 == 14856939083818126  # a control direction's
