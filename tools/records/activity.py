"""Where a direction is active in text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tools.records.record import Record, is_none

Beginning = Literal["text", "row"]
"""Of what a token is the first: of a text, or of a row of one that was cut."""


class Shared(Record):
    """What a silent context has in common with those in which the feature is active."""

    kind: Literal["word", "neighbour"]
    """A token at which the feature is most active elsewhere, or activity of the feature whose decoder row is most alike."""
    place: int
    """Of that token in the context."""


class Context(Record):
    """One stretch of text with the feature's activation at each token."""

    document: str
    tokens: tuple[str, ...]
    activations: tuple[float, ...] | None = None
    """One a token; None where another tool shows text without them."""
    max_activation: float | None = None
    quantile: int | None = None
    """None for the top examples; 1 is the highest of the sampled strata."""
    begins: Beginning | None = Field(default=None, exclude_if=is_none)
    """What begins with its first token; None for a stretch from within a row, and where nobody looked."""
    shared: Shared | None = Field(default=None, exclude_if=is_none)
    """Of a near miss; None of any other context, and where nobody looked."""

    @model_validator(mode="after")
    def _has_one_activation_a_token(self) -> Context:
        if self.activations is not None and len(self.activations) != len(self.tokens):
            raise ValueError(f"{len(self.tokens)} tokens but {len(self.activations)} activations")
        if self.shared is not None and not 0 <= self.shared.place < len(self.tokens):
            raise ValueError(f"{len(self.tokens)} tokens, and what is shared is at {self.shared.place}")
        return self


class TokenShare(Record):
    """A token, and how much of a feature's activity falls on it, or on what follows it."""

    token: str
    """Decoded text, leading space kept; empty for the start of a row, among tokens before."""
    mass: float
    """Share of the activation, summed over tokens."""
    occurrences: float
    """Share of the tokens at which the feature is active."""
    active_share: float
    """Share of the token's own occurrences at which, or right after which, the feature is active; by chance, its density."""


class TokenStatistics(Record):
    """The tokens at which a feature is active, and the tokens before them, those with the most mass first."""

    n_active: int
    """Tokens at which it is active."""
    different: int
    """How many different ones that are."""
    tokens: tuple[TokenShare, ...]
    different_before: int
    before: tuple[TokenShare, ...]
    recurrence: float | None = Field(default=None, exclude_if=is_none)
    """Share of the other places of a token at which it is active too, mean over the places at which it is; None where
    nobody looked."""
    usual_recurrence: float | None = Field(default=None, exclude_if=is_none)
    """The same of the median random reading that is active as often."""
    recurrence_null_share: float | None = Field(default=None, exclude_if=is_none)
    """Share of such readings of which it is as large."""


class PositionEvidence(Record):
    """How much of a feature's activation lies at the first tokens of rows of text, wherever those were cut."""

    first: int
    """Tokens of a row that count as first."""
    share: float
    """Of the activation, summed over tokens."""
    token_share: float
    """Of all tokens: what a feature would have there that is active anywhere."""
    active: int
    """First tokens at which it is active."""
    opening_share: float | None = None
    """Of the activation, at first tokens of rows that begin a text; the rest goes on with one."""
    opening_token_share: float | None = None
    occurrences: float | None = Field(default=None, exclude_if=is_none)
    """Share of the tokens at which it is active; None where that was not counted."""

    @property
    def is_artefact(self) -> bool:
        """It answers to the place: nearly all of it is there, where few tokens are, and not by a handful of cases."""
        return self.share >= NEARLY_ALL and self.token_share <= FEW_TOKENS and self.active >= LEAST_ACTIVE

    @property
    def sentence(self) -> str:
        """What to say of it."""
        where = f"{self.share:.0%} of its activation is at the first {self.first} tokens of a row of text"
        said = f"{where}, where {self.token_share:.1%} of the tokens are"
        if self.opening_share is not None and self.opening_share >= NEARLY_ALL:
            said = f"{said}, and {self.opening_share:.0%} where a text begins"
        return f"{said}: it answers to the place, which is no meaning" if self.is_artefact else said


NEARLY_ALL, FEW_TOKENS, LEAST_ACTIVE = 0.9, 0.25, 5
"""What makes a feature one of a place (`PositionEvidence.is_artefact`)."""


class ActivationEvidence(Record):
    """Where the feature is active in the `train` split of the corpus."""

    n_tokens: int | None = None
    density: float | None = None
    """Share of tokens with an activation above 0."""
    max_activation: float | None = None
    domain_lift: float | None = None
    """Mean share of domain words near active tokens over their share in the corpus; None if never active."""
    peak_documents: int | None = None
    """Documents looked at: those it is most active in, at most 20."""
    domain_peaks: int | None = None
    """Of these, the ones whose most active token has a word of the domain near."""
    domain_share: float | None = None
    """Share of all tokens that have one near: how often a token anywhere would."""
    top: tuple[Context, ...]
    quantiles: tuple[Context, ...] = ()
    near_misses: tuple[Context, ...] = ()
    """The feature is silent, although a word it is most active at is there, or the feature most like it is active."""
    position: PositionEvidence | None = Field(default=None, exclude_if=is_none)
    """None where not even most of its activation is at the beginnings of rows."""
    statistics: TokenStatistics | None = Field(default=None, exclude_if=is_none)
    """None for a feature that is never active, and where tokens were not counted."""
    usual_density: float | None = Field(default=None, exclude_if=is_none)
    """Of the median live feature: what a density is held against."""
    domain_near: float | None = Field(default=None, exclude_if=is_none)
    """Share of the tokens at which it is active that have a word of the domain near."""
    passage_share: float | None = Field(default=None, exclude_if=is_none)
    """The same of all tokens of the passages in which it is active, each weighed by how many of its active tokens it has:
    what `domain_near` would be if the feature chose its places in them at random."""


class DensityNull(Record):
    """The densities of features, and those that random directions were given."""

    features: int
    """Of the SAE, or of a sample of it, that are active somewhere in the text."""
    silent: int
    """Others of the sample, which are active nowhere in it and lend their density to no direction."""
    deciles: tuple[float, ...]
    """Of the features' densities, from the least to the largest."""
    directions: tuple[float, ...]
    """Of the random directions, as their numbers order them."""
