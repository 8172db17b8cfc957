"""A text has collapsed when it is beyond what the unsteered model writes."""

from __future__ import annotations

import numpy as np
import pytest

from tools.effects.fluency import MOST_REPETITION, draw_bounds, repetition_of
from tools.effects.stock import UsualTexts


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0.0),
        ("word", 0.0),
        ("one two three four", 0.0),
        ("the the the the the", 0.75),
        ("a b a b a b a", 2 / 3),
        ("The end. the END", 1 / 3),
    ],
)
def test_repetition_is_the_share_of_word_pairs_used_before(text: str, share: float) -> None:
    assert repetition_of(text) == pytest.approx(share)


def test_perplexity_bound_is_a_multiple_of_the_99th_percentile() -> None:
    bounds = draw_bounds(UsualTexts(["one two three"] * 101, np.arange(101.0)), factor=3.0)
    assert (bounds.usual, bounds.perplexity) == pytest.approx((99, 297))


def test_repetition_is_measured_against_the_models_own_but_never_more_strictly() -> None:
    fluent = UsualTexts(["one two three"] * 50, np.ones(50))
    assert draw_bounds(fluent, 2.0).repetition == MOST_REPETITION
    stammering = UsualTexts(["the the the the the"] * 50, np.ones(50))
    assert draw_bounds(stammering, 2.0).repetition == pytest.approx(0.75)
