"""Scores are numbers between 0 and 1, or they are none at all; and two scorers are compared where both have one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from tools.alignment.agreement import agree
from tools.alignment.scores import FeatureScores, Scorer
from tools.errors import UnveilError


def make(score: object, scorer: Scorer = "contrast", **changes: object) -> FeatureScores:
    values = np.asarray(score, dtype=np.float64)
    fields: dict[str, object] = {"scored": np.ones(len(values), bool), "statistic": values.copy()} | changes
    return FeatureScores(scorer=scorer, score=values, **fields)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", ["score", "statistic", "p", "q"])
def test_what_is_no_number_is_an_error_that_names_its_feature(field: str, bad: float) -> None:
    values = np.array([0.5, bad, 0.25])
    changes = {} if field == "score" else {field: values}
    with pytest.raises(UnveilError, match=f"feature 1 has a {field} of") as raised:
        make(values if field == "score" else [0.5, 0.5, 0.25], statistic=np.zeros(3), **changes) if (
            field != "statistic"
        ) else make([0.5, 0.5, 0.25], statistic=values)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("bad", [-0.01, 1.01])
def test_score_outside_0_and_1_is_an_error(bad: float) -> None:
    with pytest.raises(UnveilError, match="between 0 and 1"):
        make([bad, 0.5])


def test_feature_without_a_score_holds_0_and_nothing_else() -> None:
    with pytest.raises(UnveilError, match="0 where there is none"):
        make([0.5, 0.5], scored=np.array([True, False]))


def test_never_firing_features_are_in_no_ranking_and_in_the_coverage() -> None:
    scores = make([0.0, 0.9, 0.0, 1.0], scored=np.array([True, True, False, True]))
    assert scores.ranking().tolist() == [3, 1, 0]
    assert scores.coverage == 0.75


def test_equal_scores_rank_by_what_is_behind_them() -> None:
    ones = [1.0, 1.0, 1.0]
    assert make(ones, statistic=np.array([3.0, 9.0, 3.0])).ranking().tolist() == [1, 0, 2]
    assert make(ones, "reference", statistic=np.array([3.0, 9.0, 1.0])).ranking().tolist() == [2, 0, 1]


def test_beyond_the_null_are_positive_scores_with_a_small_q() -> None:
    scores = make([0.9, 0.9, 0.0, 0.1], q=np.array([0.01, 0.2, 0.01, 0.05]))
    assert scores.beyond(0.05).tolist() == [True, False, False, True]
    assert make([0.9, 0.0]).beyond(0.05).tolist() == [True, False]


def test_scores_kept_for_some_features_are_0_for_the_others() -> None:
    kept = make([0.9, 0.5]).keep(np.array([False, True]))
    assert kept.score.tolist() == [0.0, 0.5]
    assert kept.scored.all()


# Agreement


def test_scorer_agrees_with_itself_and_not_with_its_reverse() -> None:
    rising = make(np.linspace(0, 1, 100))
    falling = make(np.linspace(1, 0, 100))
    same, other = agree(rising, rising, 10), agree(rising, falling, 10)
    assert (same.spearman, same.overlap) == (pytest.approx(1), 10)
    assert (other.spearman, other.overlap) == (pytest.approx(-1), 0)
    assert same.chance_share < 1e-10
    assert other.chance_share == 1
    assert same.by_chance == 1


@given(st.integers(0, 2**32 - 1), st.integers(5, 80))
def test_agreement_is_over_features_that_both_have_scored(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    scored = rng.random((2, n)) < 0.8
    scored[:, :4] = True
    first, second = (make(np.where(mask, rng.random(n), 0), scored=mask) for mask in scored)
    both = scored.all(axis=0)
    found = agree(first, second, 10)
    assert found.n == both.sum()
    assert found.spearman == pytest.approx(float(spearmanr(first.score[both], second.score[both]).statistic))
    assert 0 <= found.overlap <= found.top <= max(1, found.n // 2)


def test_chance_gives_as_many_of_the_best_as_it_says() -> None:
    rng = np.random.default_rng(0)
    pairs = [agree(make(rng.random(400)), make(rng.random(400)), 100) for _ in range(60)]
    assert np.mean([pair.overlap for pair in pairs]) == pytest.approx(pairs[0].by_chance, abs=2)
    assert np.mean([pair.chance_share <= 0.05 for pair in pairs]) < 0.15


def test_scorer_that_tells_no_feature_apart_has_no_correlation() -> None:
    found = agree(make(np.ones(10)), make(np.linspace(0, 1, 10)))
    assert found.spearman is None
    assert "no rank correlation" in found.sentence


def test_scores_of_two_saes_or_of_hardly_a_feature_are_not_compared() -> None:
    with pytest.raises(UnveilError, match="different SAEs"):
        agree(make([0, 1]), make([0, 1, 1]))
    with pytest.raises(UnveilError, match="1 features are scored by both"):
        agree(make([0.5, 0], scored=np.array([True, False])), make([0, 1]))
