"""Confidence: scores worked by hand, a decomposition that adds up, and maps that find what was done to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from evals.agreement.calibration import (
    Answered,
    apply_calibrator,
    calibrate,
    equal_mass_bins,
    fit_isotonic,
    fit_temperature,
    reliability_bins,
    risk_by_coverage,
    score,
)


def answered(confidence: list[float] | np.ndarray, right: list[bool] | np.ndarray) -> Answered:
    p, y = np.asarray(confidence, dtype=float), np.asarray(right, dtype=bool)
    return Answered(p, y, np.arange(len(p)))


def simulate(n: int, temperature: float = 1.0, seed: int = 0) -> Answered:
    """Answers right as often as their true confidence, which is stated `temperature` times too boldly in log-odds."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(0.5, 0.98, n)
    return answered(expit(logit(true) * temperature), rng.random(n) < true)


def test_brier_and_its_parts_by_hand() -> None:
    """Ten answers at 0.9 of which eight are right, ten at 0.6 of which six are."""
    found = score("x", answered([0.9] * 10 + [0.6] * 10, [True] * 8 + [False] * 2 + [True] * 6 + [False] * 4))
    assert found.brier.value == pytest.approx((8 * 0.01 + 2 * 0.81 + 6 * 0.16 + 4 * 0.36) / 20)
    assert found.reliability == pytest.approx((0.1**2 + 0) / 2)
    assert found.resolution == pytest.approx(0.1**2)
    assert found.uncertainty == pytest.approx(0.7 * 0.3)
    assert found.within_bins == pytest.approx(0)
    assert found.ece.value == pytest.approx(0.05)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=3, max_size=80))
def test_the_parts_of_the_brier_score_add_up_exactly(pairs: list[tuple[float, bool]]) -> None:
    found = score("x", answered([p for p, _ in pairs], [y for _, y in pairs]))
    total = found.reliability - found.resolution + found.uncertainty + found.within_bins
    assert found.brier.value == pytest.approx(total, abs=1e-9)


def test_equal_confidences_share_a_bin_and_bins_are_of_like_size() -> None:
    assert len(set(equal_mass_bins(np.full(50, 0.7)))) == 1
    sizes = np.bincount(equal_mass_bins(np.linspace(0.5, 1, 100)))
    assert sizes.tolist() == [10] * 10
    tied = equal_mass_bins(np.array([0.5] * 30 + list(np.linspace(0.6, 1, 70))))
    assert len(set(tied[:30])) == 1


def test_reliability_bins_say_how_often_each_confidence_was_right() -> None:
    low, high = reliability_bins(answered([0.6] * 20 + [0.9] * 20, [True] * 12 + [False] * 8 + [True] * 19 + [False]))
    assert (low.n, low.confidence, low.right) == (20, pytest.approx(0.6), 0.6)
    assert (high.n, high.confidence, high.right) == (20, pytest.approx(0.9), 0.95)
    assert high.low < 0.95 < high.high


@pytest.mark.parametrize("bold", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(bold: float) -> None:
    assert fit_temperature(simulate(6000, bold)).temperature == pytest.approx(bold, rel=0.1)


def test_isotonic_calibration_pools_what_violates_the_order() -> None:
    fitted = fit_isotonic(answered([0.2, 0.2, 0.5, 0.5, 0.9, 0.9], [False, True, False, False, True, True]))
    assert fitted.confidence == (0.2, 0.5, 0.9)
    assert fitted.calibrated == pytest.approx((0.25, 0.25, 1.0))
    assert apply_calibrator(fitted, np.array([0.0, 0.7, 1.0])) == pytest.approx([0.25, 0.625, 1.0])


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_an_isotonic_map_never_falls(pairs: list[tuple[float, bool]]) -> None:
    fitted = fit_isotonic(answered([p for p, _ in pairs], [y for _, y in pairs]))
    assert np.all(np.diff(apply_calibrator(fitted, np.linspace(0, 1, 50))) >= -1e-12)


def test_calibration_fitted_on_one_half_mends_overconfidence_on_the_other() -> None:
    found = {one.name: one for one in calibrate(simulate(1000, 3.0), unanswered=0).scores}
    stated, mended = found["stated, held-out half"], found["temperature, held-out half"]
    assert stated.ece.low is not None and mended.ece.high is not None
    assert mended.ece.high < stated.ece.low
    assert mended.log_loss < stated.log_loss
    assert found["isotonic, held-out half"].ece.high < stated.ece.low


def test_the_controls_know_nothing() -> None:
    found = {one.name: one for one in calibrate(simulate(800), unanswered=0).scores}
    constant, shuffled = found["control: always the share of right answers"], found["control: shuffled"]
    assert constant.brier.value == pytest.approx(constant.uncertainty)
    assert constant.resolution == 0
    assert shuffled.resolution < 0.2 * found["stated"].resolution


def test_few_answers_fit_no_map() -> None:
    found = calibrate(simulate(30), unanswered=2)
    assert found.calibrators == ()
    assert [one.name for one in found.scores if "half" in one.name] == []


def test_risk_by_coverage_by_hand() -> None:
    """The two surest right, then one wrong, then a tie of one right and one wrong; five of ten have an answer."""
    curve = risk_by_coverage(answered([0.95, 0.9, 0.8, 0.7, 0.7], [True, True, False, True, False]), unanswered=5)
    assert [point.coverage for point in curve] == pytest.approx([0.1, 0.2, 0.3, 0.5])
    assert [point.risk for point in curve] == pytest.approx([0, 0, 1 / 3, 0.4])


def test_surest_first_is_better_than_any_order_when_confidence_means_something() -> None:
    found = calibrate(simulate(500), unanswered=50)
    assert found.area is not None and found.area_floor is not None
    assert found.area < found.area_floor - 0.03
    assert found.curve[-1].coverage == pytest.approx(500 / 550)
    assert found.curve[-1].risk == pytest.approx(found.area_floor)
