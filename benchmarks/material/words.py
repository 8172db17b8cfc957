"""Made-up words and vectors, the same for the same numbers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tools.survey.coherence import WordVectors, make_vectors

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORD_LENGTH = 4
"""Letters of every word: 26^4 are 456,976 words."""


def spell(number: int) -> str:
    """The word with a number, from 0; different numbers have different words."""
    letters: list[str] = []
    for _ in range(WORD_LENGTH):
        number, place = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[place])
    return "".join(letters)


def make_word_vectors(n: int, dim: int, seed: int = 0) -> WordVectors:
    """Random unit vectors of the first n words."""
    drawn: Float[np.ndarray, "n dim"] = np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)
    return make_vectors([spell(number) for number in range(n)], drawn)
