"""One way from counts to a figure with its interval, and one to text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from evals.agreement.calibration import Answered, score
from evals.agreement.comparison import Compared, measure_row
from evals.arms.inference import compare_samples
from evals.arms.samples import Sample
from evals.scoring.measures import estimate_mean
from evals.statistics.estimate import Estimate, estimate_share, format_estimate, list_cells

ALIKE = np.zeros(12, dtype=int)


def judge_that_never_says_yes() -> Estimate:
    cells = np.zeros((12, 1, 2, 2))
    cells[:6, 0, 0, 0] = cells[6:, 0, 1, 0] = 1
    return measure_row("", "judge", Compared(cells), ordinal=False, seed=0).statistics["kappa"]


def brier_of_answers_that_are_alike() -> Estimate:
    return score("stated", Answered(np.full(12, 0.75), np.ones(12, dtype=bool), np.arange(12))).brier


def difference_of_arms_whose_features_are_alike() -> Estimate:
    base, finetuned = (Sample(np.full(12, value), ALIKE, np.ones(1)) for value in (0.25, 0.5))
    return compare_samples(base, finetuned, is_share=False, seed=0).difference


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (judge_that_never_says_yes, 0.0),
        (brier_of_answers_that_are_alike, 0.0625),
        (difference_of_arms_whose_features_are_alike, 0.25),
        (lambda: estimate_mean([0.5, 0.5, 0.5], 0), 0.5),
        (lambda: estimate_mean([0.5], 0), 0.5),
    ],
)
def test_no_examiner_gives_an_interval_where_every_resample_is_the_same(
    make: Callable[[], Estimate], value: float
) -> None:
    assert make() == Estimate(value=value, method="one answer only")


def test_perfect_agreement_is_no_proof_of_it() -> None:
    cells = np.zeros((12, 1, 2, 2))
    cells[:6, 0, 0, 0] = cells[6:, 0, 1, 1] = 1
    kappa = measure_row("", "judge", Compared(cells), ordinal=False, seed=0).statistics["kappa"]
    assert (kappa.value, kappa.high, kappa.method) == (1, 1, "no disagreement")
    assert kappa.low == pytest.approx(1 - 2 * (1 - 0.025 ** (1 / 12))), "half of what is hidden agrees by chance"


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_share_has_wilsons_interval(count: tuple[int, int]) -> None:
    share = estimate_share(*count)
    assert (share.low, share.high) == pytest.approx(proportion_confint(*count, method="wilson"), abs=1e-6)
    assert share.value == count[0] / count[1] and share.method == "wilson"


def test_share_of_nothing_has_no_figure() -> None:
    assert estimate_share(0, 0) == Estimate(value=None)


def test_every_form_of_an_estimate_is_one_text() -> None:
    share = Estimate(value=0.125, low=0.0, high=0.25, method="bca")
    assert format_estimate(share) == "0.12 [0.00, 0.25]"
    assert format_estimate(share, ".1%") == "12.5% [0.0%, 25.0%]"
    assert format_estimate(share, "+.3f") == "+0.125 [+0.000, +0.250]"
    assert format_estimate(share.model_copy(update={"low": None})) == "0.12"
    assert format_estimate(None) == format_estimate(Estimate(value=None)) == "-"
    assert list_cells(share) == ("0.125", "0", "0.25", "bca")
