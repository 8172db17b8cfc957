"""Which words one set of texts uses more than another: log-odds with an informative Dirichlet prior.

Raw frequencies favour common words and raw ratios rare ones. The prior, what such texts say in any case, shrinks both: a
word that was seen twice cannot outrank one that was seen two hundred times by chance (Monroe, Colaresi and Quinn 2008,
"Fightin' Words", Political Analysis 16, equations 16, 20 and 22).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

PRIOR_SIZE = 500.0
"""Words that the prior counts for, whatever the size of the text it was taken from."""


class Odds(NamedTuple):
    """One word."""

    word: str
    log_odds: float
    """Natural logarithm of the ratio of its odds in the first texts to those in the second, both shrunk to the prior."""
    z: float
    """The same over its standard error."""
    first: int
    second: int
    """How often it stands in either."""


def compare_words(
    first: Iterable[str], second: Iterable[str], background: Iterable[str], prior_size: float = PRIOR_SIZE
) -> list[Odds]:
    """Every word of two sets of texts, the most typical of the first one first; of equal z, by the alphabet.

    Args:
        first: words of the one, in any order.
        second: words of the other.
        background: words that the prior is made from; those of both are added, so that every word has one.
        prior_size: above 0.
    """
    ours, theirs = Counter(first), Counter(second)
    usual = Counter(background) + ours + theirs
    if not usual:
        return []
    return sorted(_odds(ours, theirs, usual, prior_size), key=lambda entry: (-entry.z, entry.word))


def _odds(ours: Counter[str], theirs: Counter[str], usual: Mapping[str, int], prior_size: float) -> Iterable[Odds]:
    words = sorted({*ours, *theirs})
    prior = make_prior(usual, words, prior_size)
    counts = np.array([[side[word] for word in words] for side in (ours, theirs)], dtype=np.float64)
    delta, z = score(counts[0], counts[1], prior, prior_size)
    for place, word in enumerate(words):
        yield Odds(word, float(delta[place]), float(z[place]), ours[word], theirs[word])


def make_prior(usual: Mapping[str, int], words: Sequence[str], size: float = PRIOR_SIZE) -> Float[np.ndarray, " words"]:
    """What the prior counts each word for.

    One more is counted for all words that nobody used: the odds of the only word of a text would have no bound.
    """
    return size * np.array([usual.get(word, 0) for word in words], dtype=np.float64) / (sum(usual.values()) + 1)


def score(
    ours: Float[np.ndarray, "*sides words"],
    theirs: Float[np.ndarray, "*sides words"],
    prior: Float[np.ndarray, " words"],
    size: float = PRIOR_SIZE,
) -> tuple[Float[np.ndarray, "*sides words"], Float[np.ndarray, "*sides words"]]:
    """Log-odds of each word in one count against another, both shrunk to the prior, and the same over its standard error."""
    shrunk = [counts + prior for counts in (ours, theirs)]
    rest = [counts.sum(-1, keepdims=True) + size - own for counts, own in zip((ours, theirs), shrunk, strict=True)]
    delta = (np.log(shrunk[0]) - np.log(rest[0])) - (np.log(shrunk[1]) - np.log(rest[1]))
    return delta, delta / np.sqrt(1 / shrunk[0] + 1 / shrunk[1])
