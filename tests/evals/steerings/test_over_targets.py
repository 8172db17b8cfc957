"""Statistics over targets against counting by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from evals.steerings.over_targets import auroc_of, by_score, estimate_over, share_of

COUNTS = st.integers(0, 4).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def ones(n: int) -> np.ndarray:
    return np.ones(n)


@given(st.lists(st.tuples(st.integers(0, 3), COUNTS), min_size=2, max_size=8))
def test_auroc_is_the_share_of_pairs_of_beginnings_in_the_right_order(
    targets: list[tuple[int, tuple[int, int]]],
) -> None:
    won = [score for score, (k, _) in targets for _ in range(k)]
    lost = [score for score, (k, n) in targets for _ in range(n - k)]
    found = float(
        auroc_of(by_score([score for score, _ in targets]), [counts for _, counts in targets])(ones(len(targets)))
    )
    if not won or not lost:
        assert np.isnan(found)
        return
    by_hand = np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in product(won, lost)])
    assert found == pytest.approx(by_hand)
    assert found == pytest.approx(mannwhitneyu(won, lost).statistic / (len(won) * len(lost)))


def test_a_target_that_is_drawn_twice_counts_twice() -> None:
    scores, counts = [0.1, 0.5, 0.9], [(0, 2), (1, 2), (2, 2)]
    doubled = auroc_of(by_score([*scores, 0.1]), [*counts, (0, 2)])(ones(4))
    assert float(auroc_of(by_score(scores), counts)(np.array([2, 1, 1]))) == pytest.approx(float(doubled))
    assert float(share_of(counts)(np.array([2, 1, 1]))) == pytest.approx(3 / 8)


def test_intervals_are_over_targets_and_not_over_their_beginnings() -> None:
    few, many = ([(k * n, n) for k in (0, 1) * 4] for n in (1, 100))
    narrow, wide = (estimate_over(8, share_of(counts), 0) for counts in (many, few))
    assert (narrow.low, narrow.high) == (wide.low, wide.high), "a hundred beginnings of a target are no hundred targets"
    assert narrow.value == 0.5 and narrow.low is not None and narrow.low < 0.25


def test_one_target_has_no_interval() -> None:
    found = estimate_over(1, share_of([(1, 3)]), 0)
    assert found.value == pytest.approx(1 / 3) and found.low is None
    assert estimate_over(0, share_of([]), 0).value is None
