"""Labels that list words, labels about pieces of words, and what a scorer is shown of tokens' borders."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.scoring.detection import Item
from evals.scoring.fuzzing import BORDER, fence_texts, show_numbered, show_text
from evals.scoring.likeness import Likeness
from evals.scoring.scorers import batches
from evals.scoring.wording import inner_tokens, is_about_pieces, list_alternatives
from prompts.loader import load_prompt
from tools.survey.coherence import WordVectors, make_vectors

NATIVE = Item("active", 1, "d", (" nat", "ive", " speak", "ers", " are", " here", "."))


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("allergen, anaphylaxis; allergens", ["allergen", "anaphylaxis", "allergens"]),
        ("Heart attack, stroke", ["heart attack", "stroke"]),
        ('"," , ";"', [",", ";"]),
        ("'that', 'which'", ["that", "which"]),
        ("don't, can't", ["don't", "can't"]),
        ("the care of patients", ["the care of patients"]),
        ("a comma, where it opens a clause that is not restrictive", None),
        ("", None),
        (",", None),
    ],
)
def test_lists_are_told_from_phrases(label: str, parts: list[str] | None) -> None:
    assert list_alternatives(label) == ([label] if parts is None else parts)


@pytest.mark.parametrize(
    "label",
    [
        "any separate letter n in a word", "the suffix -tion", "un- at the start of verbs", "words ending in 'ing'",
        'names that start with "Mc"', "second half of surnames", "pieces of long medical words", "the token 'ber'", "syllables",
        "subwords of drug names", "word-initial th", "inside a word", "##ing", "the beginning of a surname",
    ],
)  # fmt: skip
def test_labels_about_pieces_of_words_say_so(label: str) -> None:
    assert is_about_pieces(label)


@pytest.mark.parametrize(
    "label",
    ["heart, blood", "hyphen in any compound adjective", "the care of patients", "'that' after a verb", "1900s", "!"],
)
def test_labels_about_words_and_signs_are_not_about_pieces(label: str) -> None:
    assert not is_about_pieces(label)


def test_a_listed_string_that_stands_inside_of_words_in_the_texts_is_a_piece() -> None:
    assert inner_tokens(NATIVE.tokens) == [" nat", "ive", " speak", "ers"]
    assert is_about_pieces("ive, health", [NATIVE])
    assert is_about_pieces('the string "ers"', [NATIVE])
    assert not is_about_pieces("are, here", [NATIVE])
    assert not is_about_pieces("native, speakers", [NATIVE])


def test_borders_stand_inside_of_strings_only_where_they_are_asked_for() -> None:
    assert show_text(NATIVE, borders=True) == " nat¦ive speak¦ers are here¦."
    assert show_text(NATIVE, borders=False) == show_text(NATIVE) == " native speakers are here."
    marked = NATIVE._replace(marked=(False, True, False, False, False, False, False))
    assert "nat¦<<ive>> speak" in fence_texts([marked], 500, lambda item: show_text(item, borders=True))


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=8))
def test_every_border_is_ours_whatever_the_text(tokens: list[str]) -> None:
    item = Item("active", 1, "d", tuple(tokens))
    inside = sum(
        not (one[-1:].isspace() or other[:1].isspace()) for one, other in zip(tokens, tokens[1:], strict=False)
    )
    assert show_text(item, borders=True).count(BORDER) == inside
    assert BORDER not in show_text(item, borders=False)


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=8))
def test_every_number_of_a_token_is_ours_whatever_the_text(tokens: list[str]) -> None:
    shown = show_numbered(Item("active", 1, "d", tuple(tokens)))
    assert [int(n) for n in re.findall(r"\[(\d+)\]", shown)] == list(range(1, len(tokens) + 1))


def test_no_prompt_shows_a_text_twice_in_two_ways() -> None:
    texts = [
        NATIVE,
        NATIVE._replace(tokens=(" other",)),
        NATIVE._replace(marked=(True,) * 7),
        NATIVE._replace(tokens=(" third",)),
    ]
    parts = batches(texts, 3)
    assert sorted(place for part in parts for place, _ in part) == [0, 1, 2, 3]
    assert all(len({item.text for _, item in part}) == len(part) <= 3 for part in parts)
    assert [[place for place, _ in part] for part in batches(texts, 3, apart=False)] == [[0, 1, 2], [3]], "as it was"


def test_prompts_of_before_are_what_they_were_and_the_new_ones_explain_borders() -> None:
    for name in ("detect", "fuzz"):
        assert BORDER not in load_prompt(name, 1).system
        assert BORDER in load_prompt(name, 2).system
    assert load_prompt("detect", 1).sha256.startswith("10d68ae61898") and load_prompt("fuzz", 1).sha256.startswith(
        "cb2bc11aeb94"
    )


def near(*pairs: tuple[str, str]) -> WordVectors:
    """Words of which some are near each other and no others."""
    words = [f"zz{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(150)]
    words += list(dict.fromkeys(word for pair in pairs for word in pair)) + ["ship", "late", "empty"]
    matrix = np.eye(len(words), dtype=np.float32)
    for one, other in pairs:
        matrix[words.index(other)] = 0.8 * matrix[words.index(one)] + 0.6 * matrix[words.index(other)]
    return make_vectors(words, matrix)


def test_each_word_of_a_list_stands_for_itself() -> None:
    like = Likeness(near(), "ship, harbour, sail")
    assert like.at_tokens((" the", " har", "bour", " late")) == (0, 1, 1, 0)
    assert max(like.at_tokens((" late", " empty"))) == 0


def test_phrase_is_in_a_text_as_far_as_its_words_are() -> None:
    like = Likeness(near(), "late ship of war")
    assert 0 < max(like.at_tokens((" late", " one"))) < 0.5
    assert max(like.at_tokens((" late", " ship", " war", " of"))) == 1


def test_only_the_words_nearest_to_one_are_as_good_as_it() -> None:
    pairs = [("heart", f"near{chr(97 + i)}") for i in range(10)]
    vectors = near(*pairs)
    far = vectors.matrix.copy()
    far[vectors.row["ship"]] = 0.3 * far[vectors.row["heart"]] + 0.954 * far[vectors.row["ship"]]
    like = Likeness(make_vectors(vectors.words, far), "heart")
    assert 0.5 < max(like.at_tokens((" neara",))) < 1
    assert max(like.at_tokens((" ship",))) <= 0.5


def test_listed_pieces_and_signs_are_found_as_tokens_and_words_as_words() -> None:
    assert Likeness(near(), "ive, ers", pieces=True).at_tokens(NATIVE.tokens) == (0, 1, 0, 1, 0, 0, 0)
    assert Likeness(near(), "are, ers").at_tokens((" squ", "are", " are")) == (0, 0, 1)
    assert Likeness(near(), '".", ";"').at_tokens(NATIVE.tokens)[-1] == 1
    assert Likeness(near(), "").at_tokens(NATIVE.tokens) == (0,) * 7
