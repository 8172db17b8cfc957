"""At which tokens a concept of the words is present."""

from __future__ import annotations

import pytest

from tools.truth.concepts import CONCEPTS, label_topics, label_words


def present(tokens: list[str], concept: str) -> list[str]:
    return [token for token, there in zip(tokens, label_words(tokens)[concept], strict=True) if there]


@pytest.mark.parametrize(
    ("tokens", "concept", "found"),
    [
        ([" twenty", "-", "one", " ones", " 21"], "written-out numbers", [" twenty", "one"]),
        ([" eight", "een", " weights", " Ten", " tennis"], "written-out numbers", [" eight", "een", " Ten"]),
        (["The", " P", "aris", " of", " NA", "SA", "\n", "."], "capitalised words", ["The", " P", "aris", " NA", "SA"]),
        ([" Élan", " élan", " 3D", " McX"], "capitalised words", [" Élan", " 3D", " McX"]),
        (
            ["I", "'m", " me", ",", " US", " us", " Our", "s", " mineral", " my"],
            "first-person pronouns",
            ["I", " me", " us", " Our", "s", " my"],
        ),
    ],
)
def test_concepts_are_of_whole_words_and_mark_every_token_of_them(
    tokens: list[str], concept: str, found: list[str]
) -> None:
    assert present(tokens, concept) == found


def test_a_token_over_two_words_is_marked_for_either() -> None:
    assert present(["on", "e a", "nd"], "written-out numbers") == ["on", "e a"]


def test_empty_tokens_and_documents_hold_nothing() -> None:
    assert present(["", " one", ""], "written-out numbers") == [" one"]
    assert {name: len(labels) for name, labels in label_words([]).items()} == {concept.name: 0 for concept in CONCEPTS}


def test_a_topic_is_present_throughout_its_passages() -> None:
    found = label_topics(["law", "law", "food"])
    assert {name: labels.tolist() for name, labels in found.items()} == {
        "topic: food": [False, False, True],
        "topic: law": [True, True, False],
    }
