"""Concepts of real text that can be told from the words alone, so that it is known at which tokens they are present."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

_WORD = re.compile(r"[^\W\d_]+")
_NUMBER = re.compile(
    "(?i:zero|one|two|three|four(teen)?|five|six(teen|ty)?|seven(teen|ty)?|eight(een|y)?|nine(teen|ty)?|ten|eleven|twelve"
    "|thirteen|fifteen|twenty|thirty|forty|fifty|hundred|thousand|million|billion)"
)
_FIRST_PERSON = re.compile("I|[Mm](e|y|ine|yself)|[Ww]e|[Uu]s|[Oo]ur(s|selves)?")  # not US, which is a country


class Concept(NamedTuple):
    """A property of words."""

    name: str
    meaning: str
    """In words, for whoever names a feature."""
    holds: Callable[[str], bool]
    """Of a word as it is written: letters only, an apostrophe parts two."""


CONCEPTS = (
    Concept(
        "written-out numbers",
        "a cardinal number written out in letters",
        lambda word: _NUMBER.fullmatch(word) is not None,
    ),
    Concept("capitalised words", "a word that begins with a capital letter", lambda word: word[0].isupper()),
    Concept(
        "first-person pronouns",
        "a pronoun of the first person, singular or plural",
        lambda word: _FIRST_PERSON.fullmatch(word) is not None,
    ),
)


def label_words(
    tokens: Sequence[str], concepts: Sequence[Concept] = CONCEPTS
) -> dict[str, Bool[np.ndarray, " tokens"]]:
    """At which tokens each concept is present: at all that a word of it has letters in, also where it is only beginning.

    Args:
        tokens: of one document, in order, each as the text it stands for: joined they are the document.
        concepts: to look for.
    """
    text = "".join(tokens)
    ends = np.cumsum([0, *map(len, tokens)])
    present = {concept.name: np.zeros(len(text) + 1, dtype=np.int64) for concept in concepts}
    for word in _WORD.finditer(text):
        for concept in concepts:
            if concept.holds(word[0]):
                present[concept.name][word.start() + 1 : word.end() + 1] = 1
    letters = {name: np.cumsum(marked) for name, marked in present.items()}
    return {name: counted[ends[1:]] > counted[ends[:-1]] for name, counted in letters.items()}


def label_topics(topics: Sequence[str]) -> dict[str, Bool[np.ndarray, " tokens"]]:
    """A concept for each topic, present throughout its passages.

    Args:
        topics: of the passage that each token is of.
    """
    of = np.asarray(topics)
    return {f"topic: {topic}": of == topic for topic in sorted(set(topics))}
