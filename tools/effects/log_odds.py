"""Which words one set of texts uses more than another: log-odds with an informative Dirichlet prior.

Raw frequencies favour common words and raw ratios rare ones. The prior, what such texts say in any case, shrinks both: a
word that was seen twice cannot outrank one that was seen two hundred times by chance (Monroe, Colaresi and Quinn 2008,
"Fightin' Words", Political Analysis 16, equations 16, 20 and 22).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

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
    ours, theirs, usual = Counter(first), Counter(second), Counter(background)
    words = sorted({*ours, *theirs})
    if not words:
        return []
    sides = np.array([[side[word] for word in words] for side in (ours, theirs)], dtype=np.float64)
    pooled = sides.sum(0) + [usual[word] for word in words]
    # One more for all words that nobody used: the odds of the only word of a text would have no bound.
    prior = prior_size * pooled / (sides.sum() + usual.total() + 1)
    shrunk = sides + prior  # [2, words]
    log_odds = np.log(shrunk) - np.log(sides.sum(1, keepdims=True) + prior_size - shrunk)
    delta = log_odds[0] - log_odds[1]
    z = delta / np.sqrt((1 / shrunk).sum(0))
    found = [
        Odds(word, float(delta[place]), float(z[place]), ours[word], theirs[word]) for place, word in enumerate(words)
    ]
    return sorted(found, key=lambda entry: (-entry.z, entry.word))
