"""Concepts that a regular expression tells in text: which tokens of a passage are one, which count for neither side."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from tools.study.texts import Passage


class Concept(NamedTuple):
    """Something that text may be about, or consist of, at a place."""

    name: str
    meaning: str
    """In words that a reader of labels would use."""
    pattern: re.Pattern[str] | None = None
    """What is the concept wherever it stands; None for a topic."""
    topic: str | None = None
    """Of whole passages."""


class Places(NamedTuple):
    """Where a concept is, token by token."""

    true: Bool[np.ndarray, " tokens"]
    counted: Bool[np.ndarray, " tokens"]
    """False inside a match before its last token: a causal model has not read the match yet, nor is it elsewhere."""


def _words(*listed: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(' '.join(listed).split())})\b", re.IGNORECASE)


WRITTEN = (
    Concept(
        "written numbers",
        "numbers written out as words, such as two, seven or hundred",
        _words(
            "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen",
            "nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion dozen",
        ),
    ),
    Concept("digits", "numbers written in digits", re.compile(r"\d+")),
    Concept(
        "first person", "first-person pronouns: I, me, my, we, us, our", _words("i me my mine myself we us our ours")
    ),
    Concept("second person", "second-person pronouns: you, your", _words("you your yours yourself yourselves")),
    Concept("feminine pronouns", "pronouns for a woman: she, her, hers", _words("she her hers herself")),
    Concept("masculine pronouns", "pronouns for a man: he, him, his", _words("he him his himself")),
    Concept("plural pronouns", "third-person plural pronouns: they, them, their", _words("they them their theirs")),
    Concept(
        "capitals",
        "words that begin with a capital letter inside a sentence, mostly names",
        re.compile(r"(?<=[a-z,;] )(?!I\b)[A-Z][a-z]+\b"),
    ),
    Concept("negation", "negation: not, no, never, nor", re.compile(r"\b(?:not|no|never|nor|neither|cannot)\b", re.I)),
    Concept(
        "modal verbs",
        "modal verbs: can, could, may, must, will, would",
        _words("can could may might must shall should will would"),
    ),
    Concept("to be", "forms of the verb to be: is, was, were, been", _words("am is are was were be been being")),
    Concept("to have", "forms of the verb to have: has, had, have", _words("have has had having")),
    Concept("definite article", "the definite article, the", _words("the")),
    Concept("indefinite article", "the indefinite article, a or an", _words("a an")),
    Concept("of", "the preposition of", _words("of")),
    Concept("and", "the conjunction and", _words("and")),
    Concept("to", "the word to", _words("to")),
    Concept(
        "question words",
        "words that ask or begin a clause: who, which, what, when, where",
        _words("who whom whose which what when where why how"),
    ),
    Concept("demonstratives", "demonstratives: this, that, these, those", _words("this that these those")),
    Concept(
        "calendar",
        "names of days and months",
        re.compile(
            r"\b(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|January|February|March|April|June|July|August|September"
            r"|October|November|December)\b"
        ),
    ),
    Concept(
        "units of time",
        "units of time: minute, hour, day, week, month, year",
        _words("seconds? minutes? hours? days? weeks? months? years? decades? century centuries"),
    ),
    Concept(
        "family",
        "words for members of a family: mother, father, son, wife",
        _words(
            "mothers? fathers? parents? sons? daughters? brothers? sisters? wi(?:fe|ves) husbands? family families uncles? aunts?"
        ),
    ),
    Concept("commas", "commas", re.compile(",")),
    Concept("full stops", "full stops at the end of a sentence", re.compile(r"\.(?=\s|$)")),
    Concept("quotation marks", "quotation marks", re.compile('["“”]')),
    Concept("hyphens", "hyphens inside compound words", re.compile(r"(?<=\w)-(?=\w)")),
    Concept("brackets", "round brackets", re.compile(r"[()]")),
    Concept("ing", "words that end in -ing", re.compile(r"\b[a-z]{2,}ing\b")),
    Concept("adverbs", "adverbs that end in -ly", re.compile(r"\b[a-z]{3,}ly\b")),
    Concept("past tense", "words that end in -ed, mostly verbs in the past tense", re.compile(r"\b[a-z]{2,}ed\b")),
)


def topics_of(passages: Iterable[Passage]) -> list[Concept]:
    """A concept for each topic that the passages name, in alphabetical order."""
    topics = sorted({passage.topic for passage in passages if passage.topic})
    return [Concept(f"topic {topic}", f"passages about {topic}", topic=topic) for topic in topics]


def find_places(concept: Concept, passage: Passage, tokens: Sequence[str]) -> Places:
    """Which tokens of a passage are the concept.

    Args:
        concept: what is looked for.
        passage: whose tokens they are.
        tokens: as text, in order; together they are about the passage's text.
    """
    true, counted = np.zeros(len(tokens), dtype=bool), np.ones(len(tokens), dtype=bool)
    if concept.pattern is None:
        true[:] = passage.topic == concept.topic
        return Places(true, counted)
    ends = list(accumulate(map(len, tokens)))
    for match in concept.pattern.finditer("".join(tokens)):
        first, last = (int(np.searchsorted(ends, place, side="right")) for place in (match.start(), match.end() - 1))
        counted[first:last] = False
        true[first:last] = False
        true[last] = True
    return Places(true, counted)


def broken_off(pieces: Sequence[str]) -> list[str]:
    """Of each token that is a piece of a longer word, its lower-case text; of others nothing."""
    joined = [
        bool(left) and left[-1].isalpha() and right[:1].isalpha() for left, right in pairwise(["", *pieces, ""])
    ]  # to the one before: one more than there are tokens
    return [
        piece.strip().lower() if (joined[place] or joined[place + 1]) and piece.strip().isalpha() else ""
        for place, piece in enumerate(pieces)
    ]


def words_ended(pieces: Sequence[str]) -> list[str]:
    """Of each token, the lower-case word whose last piece it is, or the sign or number that it is; of others nothing."""
    found, word = [""] * len(pieces), ""
    for place, piece in enumerate(pieces):
        opens = piece[:1].isspace() or not piece[:1].isalpha()
        word = piece.strip() if opens else word + piece
        after = pieces[place + 1] if place + 1 < len(pieces) else " "
        if not piece.strip()[:1].isalpha():
            found[place] = piece.strip()
        elif word.isalpha() and not after[:1].isalpha():
            found[place] = word.lower()
    return found


def list_words(found: Iterable[tuple[str, bool]], least: float = 0.9, most: int = 200) -> tuple[str, ...]:
    """Words that are nearly always the concept where they stand, the most frequent first.

    Args:
        found: lower-case words, each with whether it is the concept there.
        least: share of a word's places that have to be.
        most: words.
    """
    total, own = Counter[str](), Counter[str]()
    for word, true in found:
        total[word] += 1
        own[word] += true
    kept = [word for word, n in own.items() if n >= least * total[word]]
    return tuple(sorted(kept, key=lambda word: (-own[word], word))[:most])
