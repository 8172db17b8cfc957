"""Statistics of yes-or-no answers against known answers, and the checks of the measures themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.scoring.measures import average_precision, count_as_wrong, estimate_mean, measure
from evals.scoring.sanity import check_measures, compose, spoil


def yes(*answers: int) -> np.ndarray:
    return np.array(answers, dtype=bool)


def test_oracle_is_perfect_and_always_yes_is_worth_nothing() -> None:
    truth = yes(1, 1, 0, 0, 0)
    assert measure(truth, truth.astype(float)) == {"balanced_accuracy": 1, "f1": 1, "auprc": 1, "mcc": 1}
    always = measure(truth, np.ones(5))
    assert always == {"balanced_accuracy": 0.5, "f1": pytest.approx(4 / 7), "auprc": 0.4, "mcc": 0}


def test_the_floor_of_scoring_by_accuracy_is_not_ours() -> None:
    """Two of four windows in fourteen are active: always no is right on 10 of 14, and worth half here (METHODS 6.3)."""
    truth = np.arange(14) < 4
    assert np.mean(~truth) == pytest.approx(0.714, abs=1e-3)
    assert measure(truth, np.zeros(14))["balanced_accuracy"] == 0.5


def test_average_precision_of_the_textbook_example() -> None:
    """The example in scikit-learn's documentation of average_precision_score."""
    assert average_precision(yes(0, 0, 1, 1), np.array([0.1, 0.4, 0.35, 0.8])) == pytest.approx(0.8333333)


def test_equal_answers_are_taken_together_in_any_order() -> None:
    truth, answers = yes(1, 0, 1, 0, 0, 1), np.array([0.9, 0.9, 0.5, 0.5, 0.5, 0.1])
    expected = (1 / 3) * (1 / 2) + (1 / 3) * (2 / 5) + (1 / 3) * (3 / 6)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(6)
        assert average_precision(truth[order], answers[order]) == pytest.approx(expected)


@given(st.integers(0, 10_000))
def test_average_precision_is_the_mean_precision_at_the_yeses_without_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(12) < rng.integers(1, 11))
    answers = rng.permutation(12) / 12
    ranked = truth[np.argsort(-answers)]
    at_yeses = [ranked[: place + 1].mean() for place in np.flatnonzero(ranked)]
    assert average_precision(truth, answers) == pytest.approx(np.mean(at_yeses))


def test_failures_are_left_out_and_count_as_wrong_in_the_worst_case() -> None:
    truth, answers = yes(1, 1, 0, 0), np.array([1.0, math.nan, 0.0, math.nan])
    assert measure(truth, answers)["balanced_accuracy"] == 1
    assert measure(truth, count_as_wrong(truth, answers))["balanced_accuracy"] == 0.5
    assert measure(truth, np.full(4, math.nan)) == {}, "nothing was answered: no figure, not 0"


def test_there_is_no_figure_without_a_yes_and_a_no() -> None:
    assert measure(yes(1, 1), np.ones(2)) == {} == measure(yes(0, 0), np.ones(2))


def test_interval_of_a_mean_covers_it_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(100):
        estimate = estimate_mean(rng.binomial(10, 0.7, 40) / 10, seed)
        assert estimate.low is not None and estimate.high is not None
        covered += estimate.low <= 0.7 <= estimate.high
    assert 88 <= covered <= 100


def test_mean_of_one_feature_has_no_interval_and_of_none_no_value() -> None:
    assert estimate_mean([0.4], 0).model_dump() == {
        "value": 0.4,
        "low": None,
        "high": None,
        "method": "one answer only",
    }
    assert estimate_mean([], 0).value is None


def test_half_of_the_marks_dropped_or_as_many_added() -> None:
    truth, rng = np.arange(40) < 10, np.random.default_rng(0)
    missing, extra = spoil(truth, "missing", rng), spoil(truth, "extra", rng)
    assert (missing[truth].sum(), missing[~truth].sum()) == (5, 0)
    assert (extra[truth].sum(), extra[~truth].sum()) == (10, 10)


def test_missing_and_extra_labels_lower_our_composite_score() -> None:
    """METHODS, section 8, test 27."""
    drawn = [(np.arange(40) < 10, np.arange(30) < 10)] * 20
    checks = {(check.measure, check.on): check for check in check_measures(drawn, [0.01] * 20, seed=0)}
    composite = checks["composite", "texts drawn"]
    assert composite.passes
    assert all(fall > 0.2 for fall in composite.falls.values())
    passing = {name for name, check in checks.items() if check.passes}
    assert {("f1", "all tokens"), ("auprc", "all tokens"), ("mcc", "all tokens")} <= passing


def test_balanced_accuracy_does_not_notice_wide_labels_of_rare_features() -> None:
    drawn = [(np.arange(40) < 10, np.arange(30) < 10)] * 3
    checks = {(check.measure, check.on): check for check in check_measures(drawn, [0.01] * 3, seed=0)}
    assert checks["balanced_accuracy", "texts drawn"].passes
    rare = checks["balanced_accuracy", "all tokens"]
    assert not rare.passes
    assert rare.falls["extra"] == pytest.approx(0.01 / (2 * 0.99))
    assert rare.falls["missing"] == pytest.approx(0.25)


@pytest.mark.parametrize("damage", ["missing", "extra"])
def test_closed_forms_are_what_damaged_tokens_come_to(damage: str) -> None:
    truth, rng = np.arange(2000) < 100, np.random.default_rng(0)
    found = measure(truth, spoil(truth, "missing" if damage == "missing" else "extra", rng))
    checks = [check for check in check_measures([], [0.05], seed=0) if check.on == "all tokens"]
    for check in checks:
        assert 1 - check.falls["missing" if damage == "missing" else "extra"] == pytest.approx(found[check.measure])


def test_no_features_pass_no_check() -> None:
    assert not any(check.passes for check in check_measures([], [], seed=0))


def test_composite_is_0_for_always_yes_and_1_for_an_oracle() -> None:
    truth = np.arange(30) < 10
    oracle, always = measure(truth, truth.astype(float)), measure(truth, np.ones(30))
    assert (compose(oracle, oracle), compose(always, always), compose(oracle, always)) == (1, 0, 0.5)
