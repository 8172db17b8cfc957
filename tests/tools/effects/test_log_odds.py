"""Log-odds with a prior: known answers, and the same figures by a loop."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.effects.log_odds import compare_words

WORDS = st.lists(st.sampled_from(["the", "pain", "blood", "river", "of"]), max_size=30)


def test_a_word_of_one_side_leads_and_a_common_word_is_even() -> None:
    steered, unsteered = ["the"] * 50 + ["blood"] * 10, ["the"] * 50 + ["river"] * 10
    found = compare_words(steered, unsteered, [])
    assert [entry.word for entry in found] == ["blood", "the", "river"]
    assert found[0].z == pytest.approx(-found[2].z)
    assert found[1].log_odds == pytest.approx(0)
    assert (found[0].first, found[0].second) == (10, 0)


def test_a_rare_word_does_not_outrank_a_frequent_one_by_chance() -> None:
    steered = ["pain"] * 60 + ["zygote"] * 2 + ["the"] * 400
    unsteered = ["pain"] * 20 + ["the"] * 440
    ranked = [entry.word for entry in compare_words(steered, unsteered, unsteered * 5)]
    assert ranked.index("pain") < ranked.index("zygote")


def test_nothing_said_nothing_found() -> None:
    assert compare_words([], [], []) == []
    assert compare_words([], [], ["the"]) == []


@given(WORDS, WORDS, WORDS, st.floats(0.5, 1000))
@settings(max_examples=80, deadline=None)
def test_the_figures_are_those_of_the_formula(a: list[str], b: list[str], usual: list[str], size: float) -> None:
    pooled = Counter(a) + Counter(b) + Counter(usual)
    found = {entry.word: entry for entry in compare_words(a, b, usual, size)}
    assert set(found) == {*a, *b}
    for word, entry in found.items():
        prior = size * pooled[word] / (pooled.total() + 1)
        parts = [(side.count(word) + prior, len(side) + size - side.count(word) - prior) for side in (a, b)]
        delta = math.log(parts[0][0] / parts[0][1]) - math.log(parts[1][0] / parts[1][1])
        assert entry.log_odds == pytest.approx(delta, abs=1e-9)
        assert entry.z == pytest.approx(delta / math.sqrt(1 / parts[0][0] + 1 / parts[1][0]), abs=1e-9)


@given(WORDS, WORDS)
@settings(max_examples=40, deadline=None)
def test_the_two_sides_are_mirror_images(a: list[str], b: list[str]) -> None:
    there, back = compare_words(a, b, []), compare_words(b, a, [])
    assert {entry.word: entry.z for entry in there} == pytest.approx(
        {entry.word: -entry.z for entry in back}, nan_ok=True
    )
