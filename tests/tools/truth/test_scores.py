"""Predictors measured by transcript: against brute force, and intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import f1_score

from tests.tools.truth.worlds import chunked
from tools.truth.scores import Scores, bootstrap, measure


def score(said: np.ndarray, truths: np.ndarray, per_game: int = 10, size: int = 37) -> Scores:
    stream = chunked(said * 1.0, truths, per_game, size)
    return measure(stream, [lambda activations: activations > 0])[0]


@settings(max_examples=20, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(2, 40), st.integers(2, 4), st.just(2))), st.integers(1, 50))
def test_scores_are_those_of_the_library_however_examples_are_cut(both: np.ndarray, size: int) -> None:
    said, truths = both[..., 0], both[..., 1]
    found = score(said, truths, per_game=3, size=size)
    assert len(found.boards) == -(-len(both) // 3)
    for g, value in enumerate(found.by_variable()):
        if truths[:, g].any() and not truths[:, g].all():
            assert value == pytest.approx(f1_score(truths[:, g], said[:, g], zero_division=0))
        else:
            assert np.isnan(value)
    averaged = f1_score(truths, said, average="samples", zero_division=1)
    assert found.reconstruction().value == pytest.approx(averaged) == pytest.approx(found.mean_f1)
    assert found.pooled().value == pytest.approx(f1_score(truths, said, average="micro", zero_division=0))


def test_coverage_is_the_mean_over_variables_that_vary() -> None:
    truths = np.stack([np.arange(40) % 2, np.arange(40) % 4 == 0, np.ones(40), np.zeros(40)], axis=1).astype(bool)
    said = np.stack([truths[:, 0], np.ones(40), np.ones(40), np.ones(40)], axis=1).astype(bool)
    assert score(said, truths).coverage().value == pytest.approx((1 + 2 * 0.25 / 1.25) / 2)


def test_intervals_are_over_games_and_not_over_positions() -> None:
    """Games are told entirely or not at all: there are as many independent observations as games."""
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(200) < 0.7, 10)[:, None]
    truths = np.ones((2000, 1), dtype=bool)
    by_game, by_position = score(right, truths).reconstruction(), score(right, truths, per_game=1).reconstruction()
    assert by_game.value == by_position.value
    width = by_game.interval.high - by_game.interval.low
    assert width == pytest.approx(2 * 1.96 * np.sqrt(0.7 * 0.3 / 200), rel=0.15)
    assert width > 2.5 * (by_position.interval.high - by_position.interval.low)


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng, covered = np.random.default_rng(1), 0
    for seed in range(100):
        drawn = rng.poisson(3, size=(80, 1)).astype(float)
        by_game = np.concatenate([drawn, np.ones((80, 1))], axis=1)
        interval = bootstrap(by_game, lambda sums: sums[:, 0] / sums[:, 1], seed).interval
        covered += interval.low <= 3 <= interval.high
    assert 88 <= covered <= 99


def test_a_seed_gives_the_same_interval_again() -> None:
    by_game = np.random.default_rng(2).random((50, 1))
    first, again, other = (bootstrap(by_game, lambda sums: sums[:, 0], seed) for seed in (0, 0, 1))
    assert first == again != other


def test_two_predictors_are_compared_pair_by_pair() -> None:
    """Both are hard put to by the same games: their difference is known far better than either."""
    rng = np.random.default_rng(3)
    hard = rng.random((100, 1))
    by_game = np.concatenate([hard, hard + 0.01, np.ones((100, 1))], axis=1)
    found = bootstrap(by_game, lambda sums: (sums[:, 1] - sums[:, 0]) / sums[:, 2])
    assert found.value == pytest.approx(0.01)
    assert found.interval == pytest.approx((0.01, 0.01))


def test_a_variable_that_few_games_have_does_not_leave_the_mean_when_they_are_not_drawn() -> None:
    """It is true in one game of 40, and never told there; the other variable is always told."""
    truths = np.stack([np.arange(400) < 10, np.arange(400) % 2 == 0], axis=1)
    found = score(truths & [False, True], truths).coverage()
    assert found == (0.5, (0.5, 0.5))


def test_where_nothing_varies_there_is_no_coverage() -> None:
    found = score(np.ones((20, 1), bool), np.ones((20, 1), bool)).coverage()
    assert np.isnan([found.value, *found.interval]).all()
