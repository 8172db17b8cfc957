"""What the instruments of the catalogue return: small records that are stored with a run and read by a language model."""

from __future__ import annotations

from pydantic import Field

from tools.records import Record
from tools.records.record import is_none


def _is_false(value: object) -> bool:
    return value is False


def _is_empty(value: object) -> bool:
    return value == ()


class SentenceActivation(Record):
    """One sentence."""

    sentence: str
    max_activation: float
    peak: str
    """The token with the largest activation; empty if none is active."""
    n_active: int
    n_tokens: int
    tokens: tuple[str, ...] = Field(default=(), exclude_if=_is_empty)
    """All of them; none in measurements from before they were kept."""
    activations: tuple[float, ...] = Field(default=(), exclude_if=_is_empty)
    """At each token."""


class SentenceActivations(Record):
    """Activations on sentences, in the order given."""

    sentences: tuple[SentenceActivation, ...]
    largest_in_corpus: float
    """As recorded for the evidence; of the part of the corpus that is kept at hand where the evidence names none."""


class WordChange(Record):
    """One word under steering."""

    word: str
    change: float
    """Nats of log-probability, steered minus unsteered, of all its tokens; of the first alone in older measurements."""
    whole: bool
    """The word is a single token."""
    joined: bool = Field(default=False, exclude_if=_is_false)
    """Read as a piece that goes on with a word, without a blank before it."""
    rank: int | None = Field(default=None, exclude_if=is_none)
    """Of a single token's change among those of `of` common words about as frequent, 1 for the largest."""
    of: int | None = Field(default=None, exclude_if=is_none)
    random: float | None = Field(default=None, exclude_if=is_none)
    """The word's mean change along random directions as strong; None in older measurements."""


class RefusedWord(Record):
    """What could not be measured, and why."""

    word: str
    why: str


class PromotedWords(Record):
    """What steering does to the probability of words."""

    strength: float
    n_prompts: int
    words: tuple[WordChange, ...]
    refused: tuple[RefusedWord, ...] = Field(default=(), exclude_if=_is_empty)


class SteeredText(Record):
    """One beginning, continued with and without the feature from the same random numbers."""

    prompt: str
    strength: float
    unsteered: str
    steered: str
    repeats_itself: bool
    """The steered text has collapsed into repetition."""


class TokenNumber(Record):
    """A token with its logit weight or its change in logit."""

    token: str
    value: float


class AblationFound(Record):
    """What setting the feature to zero does to the next token's logits, mean over the positions where it is active."""

    n_positions: int
    lowered: tuple[TokenNumber, ...]
    raised: tuple[TokenNumber, ...]


class Neighbour(Record):
    """Another feature of the same autoencoder."""

    cosine: float
    top_tokens: tuple[str, ...]


class Neighbours(Record):
    """The features that write most nearly the same direction, nearest first."""

    neighbours: tuple[Neighbour, ...]


class ContextFound(Record):
    """One stretch of text, active tokens between « and »."""

    text: str
    max_activation: float


class ContextsFound(Record):
    """Contexts by falling activation, from documents not shown before."""

    first: int
    contexts: tuple[ContextFound, ...]


class WordLookup(Record):
    """One word in the domain's vocabulary and in the feature's projection."""

    word: str
    in_domain_vocabulary: bool
    logit_weight: float
    """Of the word's first token."""
    rank: int
    """1 is the token with the largest logit weight."""
    whole: bool
    """The word is a single token."""


class WordsFound(Record):
    """Words looked up, in the order given."""

    n_tokens: int
    """Size of the model's vocabulary, for the ranks."""
    words: tuple[WordLookup, ...]


class TokensFound(Record):
    """A stretch of the feature's projection."""

    first: int
    top: tuple[TokenNumber, ...]
    bottom: tuple[TokenNumber, ...]
