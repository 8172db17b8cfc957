"""What steered texts say more often than their unsteered twins: statistics over all of them, for single texts mislead.

A small model writes gibberish when it is steered, and a reader of a few pairs sees in them what it looks for. Over all
prompts and seeds some words rise. They do so along any direction: so the largest rise of any word is held against the
largest along random directions whose effect is as large, which pays for looking at all words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tools.effects.log_odds import Odds, compare_words
from tools.records import Rise, SteeredPair, SteeredWords
from tools.survey.keywords import words_of

LISTED = 10


Reader = Callable[[str], Iterable[str]]
"""A text's words, or its tokens."""


class Chance(NamedTuple):
    """What texts say in any case, and how far words rise along random directions."""

    usual: Counter[str]
    """In how many of the model's own unsteered texts each stands."""
    z: float
    """The largest along any of n random directions: one more has a larger one with a chance of 1 / (n + 1)."""


class Chances(NamedTuple):
    """Of words and of tokens."""

    words: Chance
    tokens: Chance
    read_tokens: Reader


def measure_chances(
    usual: Sequence[str], steered: Sequence[Sequence[str]], unsteered: Sequence[Sequence[str]], read_tokens: Reader
) -> Chances:
    """The null of both statistics.

    Args:
        usual: texts of the unsteered model.
        steered: texts of each of n random directions, as many as other directions have.
        unsteered: their twins.
        read_tokens: a text's tokens, as text.
    """
    return Chances(
        _measure_chance(usual, steered, unsteered, words_of),
        _measure_chance(usual, steered, unsteered, read_tokens),
        read_tokens,
    )


def describe_words(pairs: Sequence[SteeredPair], chances: Chances) -> SteeredWords | None:
    """The words and tokens that rise most; None without pairs."""
    if not pairs:
        return None
    return SteeredWords(
        n=len(pairs),
        words=_rises(pairs, chances.words.usual, words_of),
        tokens=_rises(pairs, chances.tokens.usual, chances.read_tokens),
        chance_words=round(chances.words.z, 3),
        chance_tokens=round(chances.tokens.z, 3),
    )


def _measure_chance(
    usual: Sequence[str], steered: Sequence[Sequence[str]], unsteered: Sequence[Sequence[str]], read: Reader
) -> Chance:
    known = _count(usual, read)
    count = _reader(read)
    scored = [_score(count(ours), count(theirs), known) for ours, theirs in zip(steered, unsteered, strict=True)]
    return Chance(known, max((entry.z for words in scored for entry in words), default=0.0))


def _rises(pairs: Sequence[SteeredPair], usual: Counter[str], read: Reader) -> tuple[Rise, ...]:
    count = _reader(read)
    ours, theirs = count([pair.steered for pair in pairs]), count([pair.unsteered for pair in pairs])
    controls = [pair.random for pair in pairs if pair.random is not None]
    random = count(controls) if len(controls) == len(pairs) else None
    return tuple(
        Rise(
            text=entry.word,
            steered=entry.first,
            unsteered=entry.second,
            random=None if random is None else random[entry.word],
            z=round(entry.z, 3),
        )
        for entry in _score(ours, theirs, usual)[:LISTED]
        if entry.z > 0
    )


def _score(ours: Counter[str], theirs: Counter[str], usual: Counter[str]) -> list[Odds]:
    return compare_words(ours.elements(), theirs.elements(), usual.elements())


def _reader(read: Reader) -> Callable[[Iterable[str]], Counter[str]]:
    return lambda texts: _count(texts, read)


def _count(texts: Iterable[str], read: Reader) -> Counter[str]:
    """In how many texts each word stands."""
    return Counter(word for text in texts for word in set(read(text)))
