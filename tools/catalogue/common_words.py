"""Words that another word is compared with: single tokens of the model, about as frequent in text."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from tools.effects.promise import FrequencyOrder
from tools.survey.lexicon import Lexicon

COMMON_WORDS = 2000


class CommonWords(NamedTuple):
    """The tokens that are whole words, by their frequency in text."""

    ids: Int64[np.ndarray, " words"]
    """Rarest first."""
    places: Int64[np.ndarray, " words"]
    """Of each among all tokens."""
    of_token: Int64[np.ndarray, " d_vocab"]
    """The same of every token."""

    def like(self, token: int, most: int = COMMON_WORDS) -> Int64[np.ndarray, " n"]:
        """At most so many words that are next to a token by frequency, the token itself left out."""
        others = self.ids != token
        ids, places = self.ids[others], self.places[others]
        middle = int(np.searchsorted(places, self.of_token[token]))
        first = max(0, min(middle - most // 2, len(ids) - most))
        return ids[first : first + most]


def find_common_words(lexicon: Lexicon, order: FrequencyOrder) -> CommonWords:
    """The words that stand in a token of their own behind a space."""
    entries = zip(lexicon.tokens, lexicon.words, strict=True)
    whole = [i for i, (token, entry) in enumerate(entries) if _is_whole(token, entry.word)]
    ids = np.array(sorted(whole, key=lambda i: int(order.places[i])), dtype=np.int64)
    return CommonWords(ids, order.places[ids], order.places)


def _is_whole(token: str, word: str | None) -> bool:
    return word is not None and token.startswith(" ") and token[1:].lower() == word
