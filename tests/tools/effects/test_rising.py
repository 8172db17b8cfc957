"""Words that rise in steered texts, against counting and against chance."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.effects.log_odds import PRIOR_SIZE, compare_words
from tools.effects.rising import Chances, describe_words, measure_chances
from tools.records import SteeredPair

USUAL = ["the man went to the house", "a river of the land", "pain and sorrow"] * 20
TEXT = st.lists(st.sampled_from(["the", "pain", "blood", "river", "of", "!"]), max_size=8).map(" ".join)


def pair(steered: str, unsteered: str, random: str | None = "the house") -> SteeredPair:
    return SteeredPair(
        prompt="p",
        seed=0,
        unsteered=unsteered,
        steered=steered,
        random=random,
        flipped=random,
        score_unsteered=None,
        score_steered=None,
        score_random=None,
        score_flipped=None,
        collapsed=False,
    )


WORDS = ["pain", "blood", "river", "sorrow", "cell", "king"]


def chances(seed: int = 0, n: int = 20, pairs: int = 10) -> Chances:
    """Texts along n directions that change nothing but by chance."""
    rng = np.random.default_rng(seed)
    steered, unsteered = ([[" ".join(rng.choice(WORDS, 4)) for _ in range(pairs)] for _ in range(n)] for _ in range(2))
    return measure_chances(USUAL, steered, unsteered, str.split)


def described(pairs: list[SteeredPair]):  # noqa: ANN201
    found = describe_words(pairs, chances())
    assert found is not None
    return found


def test_a_word_that_steering_brings_stands_first_and_beyond_chance() -> None:
    found = described([pair(f"the blood of {word}", f"the {word}", "blood the") for word in "abcdefghij"])
    first = found.words[0]
    assert (first.text, first.steered, first.unsteered, first.random) == ("blood", 10, 0, 10)
    assert first.z > found.chance_words
    assert found.n == 10


def test_what_both_sides_say_does_not_rise() -> None:
    found = described([pair("the blood is cold", "the blood is warm"), pair("the old river", "the young river")] * 4)
    assert not {entry.text for entry in found.words} & {"the", "blood", "is", "river", "warm", "young"}


def test_directions_that_change_nothing_rise_beyond_chance_as_seldom_as_is_said() -> None:
    null = chances(1, n=19)
    rng = np.random.default_rng(2)
    beyond = 0
    for _ in range(100):
        texts = [" ".join(rng.choice(WORDS, 4)) for _ in range(20)]
        found = describe_words([pair(a, b) for a, b in zip(texts[:10], texts[10:], strict=True)], null)
        assert found is not None
        beyond += found.words[0].z > found.chance_words
    assert beyond <= 14, "one of twenty, whichever null was drawn"


def test_chance_is_what_the_largest_rises_of_random_directions_reach() -> None:
    steered = [["a b", "a c"], ["b", "b d"], ["c", "c"]]
    unsteered = [["d", "d"], ["a", "c"], ["c", "c"]]
    found = measure_chances(USUAL, steered, unsteered, str.split)
    largest = [
        max(entry.z for entry in compare_words(set_words(ours), set_words(theirs), set_words(USUAL)))
        for ours, theirs in zip(steered, unsteered, strict=True)
    ]
    assert found.words.z == pytest.approx(max(largest))
    assert found.tokens == found.words
    assert measure_chances(USUAL, [], [], str.split).words.z == 0


def set_words(texts: list[str]) -> list[str]:
    return [word for text in texts for word in set(text.split())]


def test_a_text_that_repeats_itself_counts_once() -> None:
    found = described([pair("blood blood blood blood", "the man"), pair("the man", "the house")])
    assert {entry.text: entry.steered for entry in found.words}["blood"] == 1


def test_tokens_hold_what_is_no_word() -> None:
    found = described([pair("! the", "the house") for _ in range(6)])
    assert found.tokens[0].text == "!"
    assert "!" not in {entry.text for entry in found.words}


def test_controls_are_counted_only_where_every_pair_has_them() -> None:
    pairs = [pair("blood", "man"), pair("blood", "man", random=None)]
    assert {entry.random for entry in described(pairs).words} == {None}


def test_no_pairs_and_no_words_make_no_rise() -> None:
    assert describe_words([], chances()) is None
    assert described([pair("", "")]).words == ()


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_figures_are_those_of_a_loop(texts: list[tuple[str, str]]) -> None:
    found = described([pair(a, b) for a, b in texts])
    ours = Counter(word for a, _ in texts for word in set(a.split()))
    theirs = Counter(word for _, b in texts for word in set(b.split()))
    usual = Counter(word for text in USUAL for word in set(text.split())) + ours + theirs
    expected: dict[str, float] = {}
    for word in {*ours, *theirs}:
        prior = PRIOR_SIZE * usual[word] / (usual.total() + 1)
        odds = [
            math.log(side[word] + prior) - math.log(side.total() + PRIOR_SIZE - side[word] - prior)
            for side in (ours, theirs)
        ]
        error = math.sqrt(1 / (ours[word] + prior) + 1 / (theirs[word] + prior))
        expected[word] = (odds[0] - odds[1]) / error
    assert {entry.text for entry in found.tokens} <= {word for word, z in expected.items() if z > 0}
    assert sum(z > 1e-6 for z in expected.values()) <= len(found.tokens)
    for entry in found.tokens:
        assert (entry.steered, entry.unsteered) == (ours[entry.text], theirs[entry.text])
        assert entry.z == pytest.approx(expected[entry.text], abs=1e-3)
    assert [entry.z for entry in found.tokens] == sorted((entry.z for entry in found.tokens), reverse=True)
