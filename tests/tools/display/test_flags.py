"""Numbers are taken between their bounds, in any spelling that Python reads, and nothing else is."""

from __future__ import annotations

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.display.flags import Choice, features, list_choices, number, reason, whole


@given(st.integers(-1000, 1000))
def test_whole_numbers_between_the_bounds_are_taken(value: int) -> None:
    if -7 <= value <= 700:
        assert whole(-7, 700)(str(value)) == value
    else:
        with pytest.raises(argparse.ArgumentTypeError, match="from -7 to 700"):
            whole(-7, 700)(str(value))


@given(st.text(max_size=8) | st.sampled_from(["9" * 5000, "²", "1_0", "--1", "-", "1.0", "nan"]))
def test_any_text_is_a_number_or_a_complaint(text: str) -> None:
    for read in (whole(0, 99), number(0.0, 99.0)):
        try:
            assert 0 <= read(text) <= 99
        except argparse.ArgumentTypeError as error:
            assert len(str(error)) < 600


@pytest.mark.parametrize("text", ["nan", "-inf", "inf", "1e999", "-1e-300", "100.1", "", "x"])
def test_what_is_no_number_between_the_bounds_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        number(0.0, 100.0)(text)


@given(st.lists(st.integers(0, 99_999_999_999), min_size=1).flatmap(lambda some: st.permutations([*some, *some])))
def test_features_are_told_once_each_in_the_order_given(numbers: list[int]) -> None:
    assert features(", ".join(map(str, numbers))) == tuple(dict.fromkeys(map(str, numbers)))


def test_features_are_told_by_number_or_key() -> None:
    assert features("007, base-000700,7,base-r000001") == ("7", "base-000700", "base-r000001")


@pytest.mark.parametrize("text", ["", ",", "-1", "base", "base-12", "1.5", "9" * 30, f"base-{'9' * 30}", "²", "1;2"])
def test_what_is_no_list_of_features_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a list of features"):
        features(text)


@pytest.mark.parametrize("text", ["", " \n", "\udcff"])
def test_a_reason_says_something_that_a_file_can_hold(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        reason(text)
    assert reason(" a\nreason ") == "a reason"


def test_choices_are_listed_and_loaded_when_they_are_used() -> None:
    choices = {"own": Choice("our way", "tools.display.flags:reason"), "other": Choice("none", "nowhere:nothing")}
    assert list_choices("ways", choices) == "ways:\n  own    our way\n  other  none"
    assert choices["own"].load() is reason
