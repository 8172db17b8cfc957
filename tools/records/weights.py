"""What a direction's weights say: its projection on the vocabulary, and what the tokens at its top have in common."""

from __future__ import annotations

from tools.records.record import Record


class TokenWeight(Record):
    """A vocabulary entry and the logit weight a unit step along the feature gives it."""

    token_id: int | None = None
    """None where another tool names tokens by their text alone."""
    token: str
    """Decoded text, leading space kept."""
    word: str | None = None
    """The lower-case word the token stands for; None for pieces, numbers and punctuation."""
    weight: float | None = None
    """None where another tool gives an order without weights."""


class Projection(Record):
    """Decoder direction (unit norm) times the processed unembedding. A claim about weights, not about effects."""

    top: tuple[TokenWeight, ...]
    bottom: tuple[TokenWeight, ...] = ()
    mean: float | None = None
    std: float | None = None
    skewness: float | None = None
    kurtosis: float | None = None
    """Population moments of the row over the vocabulary; kurtosis is not in excess of 3."""


class KeywordHit(Record):
    """One token that matched the domain vocabulary."""

    token: str
    word: str
    """The vocabulary word it matched."""
    joined: bool
    """The token is only the beginning of that word."""


class KeywordEvidence(Record):
    """Top tokens that are words of the domain."""

    hits: tuple[KeywordHit, ...]
    n_top: int
    substring_hits: int
    """Hits by the study's rule: a vocabulary word inside the lower-cased token. For comparison only."""
    null_share: float
    """Share of random directions of equal norm with at least as many hits."""


class CoherenceEvidence(Record):
    """Weighted mean cosine of the top tokens' word vectors."""

    weighted: float | None
    """The published score; None for fewer than two valid tokens."""
    deduplicated: float | None
    """The same after equal words are counted once; None for fewer than two different words."""
    n_valid: int
    coverage: float
    """Share of the top tokens with a word vector."""
    null_share: float | None
    """Share of random directions with at least the same de-duplicated score."""
