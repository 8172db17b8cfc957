"""Pairs of texts spent in sequence: what stopping whenever one likes costs, and what it finds."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.effects.sequence import (
    FUTILE_SHARE,
    bounds_of,
    describe_test,
    follow,
    further_seeds,
    is_open,
    plan_sequence,
    walk,
)
from tools.study.definition import SteeringSequence

SETTINGS = SteeringSequence(win_rate=0.75, power=0.8, alpha=0.01)
RUNS = 1500


def share_passing(odds: float, asked: SteeringSequence, pairs: int, seed: int) -> float:
    """Of directions whose words win at so many times the odds of others', under nulls that differ from pair to pair."""
    rng = np.random.default_rng(seed)
    null = rng.uniform(0.1, 0.9, (RUNS, pairs))
    wins = rng.random((RUNS, pairs)) < null * odds / (1 - null + null * odds)
    return float(np.mean([follow(asked, *both)[0] == "passes" for both in zip(wins, null, strict=True)]))


@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_chance_alone_passes_no_more_often_than_alpha_though_every_pair_is_looked_at(alpha: float) -> None:
    found = share_passing(1.0, SETTINGS.model_copy(update={"alpha": alpha}), 300, seed=1)
    assert 0 < found <= alpha + 3 * math.sqrt(alpha / RUNS)


def test_a_test_on_the_binomial_tail_that_is_looked_at_as_often_would_err_far_more() -> None:
    """That the simulation can tell a valid test from one that is none."""
    from tools.maths import binomial_tail

    rng = np.random.default_rng(2)
    wins = (rng.random((150, 60)) < 0.5).cumsum(axis=1)
    naive = [any(binomial_tail(int(won[n - 1]), n, 0.5) <= 0.01 for n in range(1, 61)) for won in wins]
    assert np.mean(naive) > 0.03


def test_the_p_value_is_as_small_as_some_number_no_more_often_than_that() -> None:
    rng = np.random.default_rng(3)
    null = rng.uniform(0.2, 0.8, (RUNS, 60))
    wins = rng.random((RUNS, 60)) < null
    p_values = np.array([follow(SETTINGS, *both)[1] for both in zip(wins, null, strict=True)])
    for level in (0.01, 0.05, 0.2, 0.5):
        assert (p_values <= level).mean() <= level + 3 * math.sqrt(level / RUNS)


def test_as_many_directions_with_the_effect_pass_as_the_plan_says() -> None:
    plan = plan_sequence(SETTINGS, 10)
    assert plan.most == 60
    assert plan.with_effect.passing >= SETTINGS.power
    rng = np.random.default_rng(4)
    wins, null = rng.random((RUNS, plan.most)) < SETTINGS.win_rate, np.full(plan.most, 0.5)
    found = np.mean([follow(SETTINGS, won, null)[0] == "passes" for won in wins])
    assert found == pytest.approx(plan.with_effect.passing, abs=3 * 0.4 / math.sqrt(RUNS))
    assert share_passing(3.0, SETTINGS, 120, seed=5) >= SETTINGS.power, "the same odds, where chance wins unevenly"


def test_pairs_are_saved_on_both_sides() -> None:
    plan = plan_sequence(SETTINGS, 10)
    assert plan.without.pairs < plan.most / 3
    assert plan.with_effect.pairs < plan.most / 1.8
    assert plan.without.passing < SETTINGS.alpha


@settings(max_examples=12)
@given(
    win_rate=st.sampled_from([0.7, 0.8, 0.9]),
    power=st.sampled_from([0.5, 0.8, 0.9]),
    alpha=st.sampled_from([0.01, 0.1]),
    size=st.integers(1, 20),
)
def test_a_plan_has_the_power_asked_for_and_a_round_fewer_would_not(
    win_rate: float, power: float, alpha: float, size: int
) -> None:
    asked = SteeringSequence(win_rate=win_rate, power=power, alpha=alpha)
    plan = plan_sequence(asked, size)
    assert plan.most % size == 0
    assert plan.with_effect.passing >= power
    course = list(islice(walk(asked, win_rate), plan.most))
    assert course[-1] == plan.with_effect
    assert plan.most == size or course[-1 - size].passing < power
    assert plan.without.passing <= alpha


def test_stakes_of_known_pairs() -> None:
    """Three times the odds: a win against one half multiplies by 1.5, a loss by 0.5; ten wins are 57.7 to 1."""
    half = np.full(10, 0.5)
    assert follow(SETTINGS, np.ones(10, dtype=bool), half) == ("undecided", pytest.approx(1.5**-10))
    assert follow(SETTINGS, np.ones(12, dtype=bool), np.full(12, 0.5)) == ("passes", pytest.approx(1.5**-12))
    assert follow(SETTINGS, np.zeros(3, dtype=bool), half[:3]) == ("fails", 1.0)
    assert follow(SETTINGS, np.zeros(0, dtype=bool), half[:0]) == ("undecided", 1.0)
    even = follow(SETTINGS, np.array([True, True, False]), np.array([0.2, 0.5, 0.8]))
    assert even == ("undecided", pytest.approx(1 / (3 / 1.4 * 1.5)))


def test_what_comes_after_a_decision_changes_nothing() -> None:
    lost_then_won = np.array([False] * 3 + [True] * 40)
    assert follow(SETTINGS, lost_then_won, np.full(43, 0.5)) == ("fails", 1.0)
    won_then_lost = np.array([True] * 12 + [False] * 30)
    assert follow(SETTINGS, won_then_lost, np.full(42, 0.5))[0] == "passes"


def test_a_pair_that_every_word_wins_or_none_can_win_tells_nothing() -> None:
    wins, null = np.array([True, False] * 50), np.array([1.0, 0.0] * 50)
    assert follow(SETTINGS, wins, null) == ("undecided", 1.0)


def test_no_more_texts_are_spent_where_hardly_any_pair_can_be_won() -> None:
    wins = np.array([True, False] * 5)
    assert is_open(SETTINGS, wins, np.array([0.5, 0.0] * 5)) is True
    assert is_open(SETTINGS, np.zeros(10, dtype=bool), np.array([0.1] * 4 + [0.0] * 6)) is False
    assert is_open(SETTINGS, np.ones(12, dtype=bool), np.full(12, 0.5)) is False, "it has passed"


def test_the_record_holds_what_its_verdict_can_be_made_of_again() -> None:
    wins, null = np.array([True] * 14 + [False] * 6), np.linspace(0.3, 0.7, 20)
    test = describe_test(SETTINGS, wins, null, 10)
    again = SteeringSequence(win_rate=test.win_rate, power=SETTINGS.power, alpha=test.alpha)
    assert follow(again, wins, np.array(test.null)) == (test.verdict, test.p_value)
    assert (test.opening, test.most) == (10, 60)
    assert test.power >= SETTINGS.power


def test_more_is_missed_at_the_end_than_the_futile_share_leaves_out() -> None:
    bounds = bounds_of(SETTINGS)
    assert bounds.passes == pytest.approx(math.log(100))
    assert bounds.fails == pytest.approx(math.log(FUTILE_SHARE * 0.2))


def test_no_seed_comes_twice() -> None:
    rounds = [(0, 1, 7), *(further_seeds((0, 1, 7), number) for number in range(1, 5))]
    flat = [seed for seeds in rounds for seed in seeds]
    assert len(set(flat)) == len(flat) == 15
