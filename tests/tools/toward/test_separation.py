"""How well held-out text is told from other text, and how sure that is with so few documents."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from tools.toward.separation import auroc_interval, measure_separation


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.lists(st.integers(0, 6), min_size=1, max_size=12))
def test_the_area_is_the_share_of_pairs_that_mann_and_whitney_count(own: list[int], others: list[int]) -> None:
    found = measure_separation(np.array(own, float), np.array(others, float))
    assert found is not None
    assert found.auroc == pytest.approx(mannwhitneyu(own, others).statistic / (len(own) * len(others)))
    assert found.interval.low - 1e-9 <= found.auroc <= found.interval.high + 1e-9


def test_the_interval_solves_newcombes_equation() -> None:
    low, high = auroc_interval(0.8, 20, 30)
    for end in (low, high):
        half = 24
        variance = end * (1 - end) * (1 + half * (1 - end) / (2 - end) + half * end / (1 + end)) / 600
        assert abs(end - 0.8) == pytest.approx(1.959964 * variance**0.5, rel=1e-6)


def test_few_documents_that_are_all_told_apart_leave_doubt() -> None:
    low, high = auroc_interval(1.0, 5, 50)
    assert high == 1
    assert 0.4 < low < 0.9
    assert auroc_interval(1.0, 50, 50).low > low


def test_the_two_ends_mirror_each_other() -> None:
    low, high = auroc_interval(0.3, 7, 11)
    assert auroc_interval(0.7, 7, 11) == pytest.approx((1 - high, 1 - low))


def test_a_side_without_documents_has_no_area() -> None:
    assert measure_separation(np.empty(0), np.ones(3)) is None
