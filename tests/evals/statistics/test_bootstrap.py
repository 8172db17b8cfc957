"""Intervals: those of another implementation, and right as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from evals.agreement.comparison import Compared, measure_row
from evals.statistics.bootstrap import bca_interval, gather_units, resample
from evals.statistics.matrices import accuracy, cohen_kappa, confusion_cells, gwet_ac1

TRUE = np.array([[0.60, 0.10], [0.06, 0.24]])
"""How often people and judge give each pair of answers, in the world that label sets are drawn from."""


def draw_cells(n: int, rng: np.random.Generator) -> np.ndarray:
    k = len(TRUE)
    return np.eye(k * k)[rng.choice(k * k, size=n, p=TRUE.ravel())].reshape(n, 1, k, k)


def test_equal_features_are_gathered_and_none_is_lost() -> None:
    cells = confusion_cells(np.array([0, 0, 1, 1, 1]), np.array([0, 0, 1, 0, 1]), 2)
    units = gather_units(cells)
    assert sorted(units.sizes.tolist()) == [1, 2, 2]
    assert np.array_equal(units.total, cells.sum(0))


def test_a_resample_holds_as_many_features_of_each_group_as_there_are() -> None:
    rng = np.random.default_rng(0)
    cells = confusion_cells(rng.integers(0, 2, 30), rng.integers(0, 2, 30), 2)
    groups = np.repeat([0, 1], [10, 20])
    marked = np.concatenate([cells.reshape(30, 4), np.eye(2)[groups]], axis=1)
    sums = resample(gather_units(marked, groups), seed=3, resamples=50)
    assert (sums[:, :4].sum(1) == 30).all()
    assert (sums[:, 4:] == [10, 20]).all()
    assert len(np.unique(sums, axis=0)) > 20


@pytest.mark.parametrize("measure", [accuracy, cohen_kappa, gwet_ac1])
def test_the_interval_is_that_of_scipy(measure) -> None:
    rng = np.random.default_rng(4)
    cells = draw_cells(90, rng)[:, 0]
    units = gather_units(cells)
    ours = bca_interval(units, resample(units, seed=0, resamples=40_000), measure)
    theirs = scipy.stats.bootstrap(
        (np.arange(90),),
        lambda drawn, axis: measure(cells[drawn].sum(-3)),
        vectorized=True,
        n_resamples=40_000,
        batch=1000,
        rng=1,
    ).confidence_interval
    assert ours is not None
    assert ours.low == pytest.approx(theirs.low, abs=0.012)
    assert ours.high == pytest.approx(theirs.high, abs=0.012)


def test_a_statistic_that_hardly_any_resample_defines_has_no_interval() -> None:
    units = gather_units(confusion_cells(np.zeros(20, dtype=int), np.zeros(20, dtype=int), 2))
    assert bca_interval(units, resample(units, 0), cohen_kappa) is None


def test_perfect_agreement_is_not_certain() -> None:
    given = np.arange(20) % 2
    row = measure_row("r", "judge", Compared(confusion_cells(given, given, 2)[:, None]), ordinal=False, seed=0)
    kappa, right = row.statistics["kappa"], row.statistics["accuracy"]
    assert kappa.method == "no disagreement"
    assert right.method == "wilson"
    hidden = 1 - 0.025 ** (1 / 20)
    assert kappa.low == pytest.approx(1 - 2 * hidden)
    assert (kappa.value, kappa.high) == (1, 1)


def test_a_feature_with_many_answers_counts_as_one() -> None:
    """Eight answers that always go together are worth one, however often they are repeated."""
    rng = np.random.default_rng(5)
    single = draw_cells(40, rng)
    one = measure_row("r", "judge", Compared(single), ordinal=False, seed=0).statistics["kappa"]
    eight = measure_row("r", "judge", Compared(single * 8), ordinal=False, seed=0).statistics["kappa"]
    assert (one.low, one.high) == pytest.approx((eight.low, eight.high))


def coverage(sets: int, n: int, statistics: tuple[str, ...]) -> dict[str, float]:
    """How often the interval of each statistic holds the true one."""
    rng = np.random.default_rng(6)
    truth = measure_row("r", "judge", Compared(TRUE[None, None] * 1e6), ordinal=False, seed=0).statistics
    held = dict.fromkeys(statistics, 0)
    for number in range(sets):
        row = measure_row("r", "judge", Compared(draw_cells(n, rng)), ordinal=False, seed=number)
        for name in statistics:
            one, true = row.statistics[name], truth[name].value
            assert one.low is not None and one.high is not None and true is not None
            held[name] += one.low <= true <= one.high
    return {name: count / sets for name, count in held.items()}


def test_intervals_hold_the_true_agreement_about_as_often_as_they_say() -> None:
    assert 0.88 <= coverage(120, 120, ("kappa",))["kappa"] <= 0.99


@pytest.mark.endurance
@pytest.mark.timeout(540)
def test_intervals_hold_the_true_agreement_95_times_in_100_over_a_thousand_label_sets() -> None:
    found = coverage(1000, 200, ("kappa", "accuracy", "ac1", "mcc", "alpha", "f1_yes", "recall_yes", "precision_yes"))
    assert all(0.93 <= share <= 0.97 for share in found.values()), found
