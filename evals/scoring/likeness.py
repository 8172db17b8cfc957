"""How like a label each token of a text is, by spelling and by word vectors: what costs nothing, and a model has to beat.

A label that lists words, pieces or signs is each of them; any other is one phrase. A word is as good as another, more than a
half, if it is the same or among the `NEAREST` words to it; a token that is a listed piece or sign is it too. How near that is
differs from word to word: a fixed cosine would be met by some text word or other in half of all texts. A phrase is in a text as
far as its words are, on average, and its words count no more there than that; the most frequent words are passed over, unless
there are no others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from evals.scoring.wording import list_alternatives
from tools.survey.coherence import WordVectors
from tools.survey.keywords import find_words, normalise, words_of
from tools.survey.lexicon import CONTENT_RANK

NEAREST = 10
_ALIKE = 0.99
"""What a word that is not the same is worth at most."""
_AFFIX = "-#~…*"
"""Around a piece, where the rest of the word stands."""


class Likeness:
    """One label, compared with texts."""

    def __init__(self, vectors: WordVectors, label: str, pieces: bool = False) -> None:
        """`pieces`: a listed piece counts where it is a token inside of a word, not as a word alone."""
        self._pieces = pieces
        self._vectors = vectors
        self._frequent = frozenset(vectors.words[:CONTENT_RANK])
        parts = list_alternatives(label)
        self._spelt = {part.strip(_AFFIX) for part in parts if len(words_of(part)) < 2} | set(parts)
        phrases = (frozenset(words_of(part)) for part in parts)
        self._phrases = [tuple(sorted(words - self._frequent or words)) for words in phrases if words]
        self._known: dict[str, np.ndarray] = {}
        self._read: dict[tuple[str, ...], tuple[float, ...]] = {}
        self._wanted = [word for phrase in self._phrases for word in phrase]
        self._bounds = np.cumsum([0, *map(len, self._phrases)]).tolist()
        rows = [vectors.row.get(word, -1) for word in self._wanted]
        none = np.zeros(vectors.matrix.shape[1])
        self._matrix = np.array([vectors.matrix[row] if row >= 0 else none for row in rows])
        self._edges = np.array([_edge(vectors, vector) for vector in self._matrix])

    def at_tokens(self, tokens: tuple[str, ...]) -> tuple[float, ...]:
        """Of each token, 0 to 1: above a half it is one of the label's, or as good as one. A text is read once."""
        if tokens not in self._read:
            self._read[tokens] = tuple(round(value, 6) for value in self._compare(tokens))
        return self._read[tokens]

    def _compare(self, tokens: tuple[str, ...]) -> Iterator[float]:
        text = "".join(tokens)
        words = [(match.span(), normalise(match[0])) for match in find_words(text)]
        values = np.zeros(len(text))
        if self._wanted and words:
            like = np.array([self._like(word) for _, word in words])  # [words, wanted]
            for start, stop in zip(self._bounds, self._bounds[1:], strict=False):
                within = float(like[:, start:stop].max(axis=0).mean())
                for ((first, last), _), own in zip(words, like[:, start:stop].max(axis=1), strict=True):
                    values[first:last] = np.maximum(values[first:last], min(float(own), within))
        place = 0
        for token in tokens:
            here = values[place : place + len(token)]
            place += len(token)
            yield 1.0 if self._is_spelt(token.strip().casefold()) else float(here.max(initial=0.0))

    def _is_spelt(self, token: str) -> bool:
        """A sign, or a piece where pieces are meant; words are found as words."""
        return bool(token) and token in self._spelt and (self._pieces or not token[0].isalpha())

    def _like(self, word: str) -> np.ndarray:
        """A word of a text beside each that is wanted."""
        if word not in self._known:
            same = np.array([float(word == one) for one in self._wanted])
            row = self._vectors.row.get(word)
            if row is not None and word not in self._frequent:
                cosines = self._matrix @ self._vectors.matrix[row]
                same = np.maximum(same, np.clip(cosines / (2 * self._edges), 0.0, _ALIKE))
            self._known[word] = same
        return self._known[word]


def _edge(vectors: WordVectors, vector: np.ndarray) -> float:
    """Cosine that the words nearest to one reach, and no others; infinite where nothing is near."""
    cosines = vectors.matrix @ vector
    beyond = min(NEAREST + 1, len(cosines) - 1)  # the word is its own nearest
    edge = float(np.partition(cosines, -1 - beyond)[-1 - beyond])
    return edge if edge > 0 else math.inf
