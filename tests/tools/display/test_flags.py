"""Numbers are taken between their bounds, in any spelling that Python reads, and nothing else is."""

from __future__ import annotations

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.display.flags import number, whole


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
