"""By which ratings a feature is beside the point."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.probes.beside import LEAST, is_beside, is_published

RATING = st.integers(0, 4)


@pytest.mark.parametrize(
    ("gender", "profession", "beside"),
    [(4, 0, True), (2, 1, True), (2, 2, False), (1, 0, False), (3, 4, False), (0, 0, False), (4, 4, False)],
)
def test_beside_the_point_is_more_than_a_trace_and_more_than_of_what_stays(
    gender: int, profession: int, beside: bool
) -> None:
    assert is_beside({"gender": gender, "profession": profession}, "gender", "profession") is beside


@given(first=RATING, second=RATING)
def test_no_feature_is_beside_the_point_in_both_directions(first: int, second: int) -> None:
    ratings = {"a": first, "b": second}

    assert not (is_beside(ratings, "a", "b") and is_beside(ratings, "b", "a"))


@given(first=RATING, second=RATING, least=st.integers(1, 4))
def test_what_is_beside_the_point_by_our_rule_is_so_by_the_published_one(first: int, second: int, least: int) -> None:
    ratings = {"a": first, "b": second}

    assert is_published(ratings, "a") >= is_beside(ratings, "a", "b", least)
    assert is_beside(ratings, "a", "b") == (first > second and first >= LEAST)


def test_the_published_rule_asks_for_any_trace_and_compares_nothing() -> None:
    assert is_published({"gender": 1, "profession": 4}, "gender")
    assert not is_published({"gender": 0, "profession": 0}, "gender")


def test_a_concept_that_was_not_rated_is_no_zero() -> None:
    with pytest.raises(KeyError):
        is_beside({"gender": 3}, "gender", "profession")
