"""What steered texts say more often than their unsteered twins: statistics over all of them, for single texts mislead.

A small model writes gibberish when it is steered, and a reader of a few pairs sees in them what it looks for. Over all
prompts and seeds some words rise. How far a word rises by chance is not read off a table: the two texts of each pair are
exchanged by lot, many times, and the largest rise of any word is kept, so that looking at all of them is paid for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tools.effects.log_odds import make_prior, score
from tools.maths import seed_of
from tools.records import Rise, SteeredPair, SteeredWords
from tools.survey.keywords import words_of

LISTED = 10
EXCHANGES = 200
CHANCE = 0.05
"""How often the largest rise of exchanged texts exceeds what is given as chance."""


class Usual(NamedTuple):
    """In how many of the model's own unsteered texts each word and each token stands."""

    words: Counter[str]
    tokens: Counter[str]


Reader = Callable[[str], Iterable[str]]
"""A text's words, or its tokens."""


def count_usual(texts: Sequence[str], read_tokens: Reader) -> Usual:
    """The prior of both statistics, from texts that belong to no direction."""
    return Usual(_count(texts, words_of), _count(texts, read_tokens))


def describe_words(pairs: Sequence[SteeredPair], usual: Usual, read_tokens: Reader) -> SteeredWords | None:
    """The words and tokens that rise most; None without pairs.

    Args:
        pairs: steered and unsteered, over all prompts and seeds.
        usual: what the model says in any case.
        read_tokens: a text's tokens, as text.
    """
    if not pairs:
        return None
    words, chance_words = _rises(pairs, usual.words, words_of)
    tokens, chance_tokens = _rises(pairs, usual.tokens, read_tokens)
    return SteeredWords(
        n=len(pairs), words=words, tokens=tokens, chance_words=chance_words, chance_tokens=chance_tokens
    )


def _rises(pairs: Sequence[SteeredPair], usual: Mapping[str, int], read: Reader) -> tuple[tuple[Rise, ...], float]:
    steered, unsteered = ([frozenset(read(text)) for text in texts] for texts in _sides(pairs))
    words = sorted(frozenset[str]().union(*steered, *unsteered))
    if not words:
        return (), 0.0
    ours, theirs = (_mark(side, words) for side in (steered, unsteered))  # [pairs, words]
    n_ours, n_theirs = ours.sum(0), theirs.sum(0)
    known = Counter(usual)
    known.update(dict(zip(words, (n_ours + n_theirs).astype(int).tolist(), strict=True)))
    prior = make_prior(known, words)
    z = score(n_ours, n_theirs, prior)[1]
    controls = _count([pair.random for pair in pairs if pair.random is not None], read)
    have_controls = all(pair.random is not None for pair in pairs)
    found = [
        Rise(
            text=words[place],
            steered=int(n_ours[place]),
            unsteered=int(n_theirs[place]),
            random=controls[words[place]] if have_controls else None,
            z=round(float(z[place]), 3),
        )
        for place in np.argsort(-z, kind="stable")[:LISTED]
        if z[place] > 0
    ]
    return tuple(found), round(_chance(ours, theirs, prior), 3)


def _chance(
    ours: Float[np.ndarray, "pairs words"], theirs: Float[np.ndarray, "pairs words"], prior: Float[np.ndarray, " words"]
) -> float:
    """The z that the most risen word exceeds in one of twenty exchanges."""
    exchanged = np.random.default_rng(seed_of("exchanges", len(ours))).random((EXCHANGES, len(ours))) < 0.5
    moved = exchanged @ (theirs - ours)  # [exchanges, words]
    largest = score(ours.sum(0) + moved, theirs.sum(0) - moved, prior)[1].max(axis=1)
    return float(np.quantile(largest, 1 - CHANCE))


def _sides(pairs: Sequence[SteeredPair]) -> tuple[list[str], list[str]]:
    return [pair.steered for pair in pairs], [pair.unsteered for pair in pairs]


def _mark(texts: Sequence[frozenset[str]], words: Sequence[str]) -> Float[np.ndarray, "texts words"]:
    place = {word: number for number, word in enumerate(words)}
    marked = np.zeros((len(texts), len(words)))
    for row, text in enumerate(texts):
        marked[row, [place[word] for word in text]] = 1
    return marked


def _count(texts: Iterable[str], read: Reader) -> Counter[str]:
    """In how many texts each word stands."""
    return Counter(word for text in texts for word in sorted(set(read(text))))
