"""What instruments return, as frozen records: the evidence a judge may look at, and nothing about verdicts.

Evidence may come from elsewhere: every kind of it but the feature's identity is optional, and a missing kind is `None`,
never an empty stand-in.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1
_LONGEST_NAME = 60

Stratum = Literal["candidates", "near controls", "unrelated controls", "random directions", "imported"]
STRATA: tuple[Stratum, ...] = ("candidates", "near controls", "unrelated controls", "random directions", "imported")


class Record(BaseModel):
    """Frozen, and closed to unknown fields: a misspelt or foreign field is an error, not data."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FeatureRef(Record):
    """Which direction is meant."""

    study: str
    sae: str
    """The arm's name, or the SAE's own id."""
    index: int = Field(ge=0)
    """Row of `W_dec`, or the number of the random direction."""
    kind: Literal["feature", "random_direction"] = "feature"

    @property
    def key(self) -> str:
        """A file name: `base-000123`, random directions `base-r000123`. SAE ids that no file name can carry are hashed."""
        letter = "r" if self.kind == "random_direction" else ""
        return f"{_file_name(self.sae)}-{letter}{self.index:06d}"


def _file_name(sae: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._]", "_", sae).lstrip(".")
    if plain == sae and len(plain) <= _LONGEST_NAME:
        return plain
    return f"{plain[-_LONGEST_NAME:]}-{hashlib.sha256(sae.encode()).hexdigest()[:8]}"


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


class Context(Record):
    """One stretch of text with the feature's activation at each token."""

    document: str
    tokens: tuple[str, ...]
    activations: tuple[float, ...] | None = None
    """One a token; None where another tool shows text without them."""
    max_activation: float | None = None
    quantile: int | None = None
    """None for the top examples; 1 is the highest of the sampled strata."""


class ActivationEvidence(Record):
    """Where the feature is active in the `train` split of the corpus."""

    n_tokens: int | None = None
    density: float | None = None
    """Share of tokens with an activation above 0."""
    max_activation: float | None = None
    domain_lift: float | None = None
    """Mean share of domain words near active tokens over their share in the corpus; None if never active."""
    top: tuple[Context, ...]
    quantiles: tuple[Context, ...] = ()


class SteeredPair(Record):
    """One prompt and seed, continued with and without the feature and with its two controls."""

    prompt: str
    seed: int
    unsteered: str
    steered: str
    random: str
    """A random direction of equal norm was added."""
    flipped: str
    """The feature was subtracted."""
    score_unsteered: float
    score_steered: float
    score_random: float
    score_flipped: float
    """Likeness of the continuation to the feature's own reference words (`SteeringEvidence.metric`)."""
    collapsed: bool
    """The steered text repeats itself beyond the unsteered texts' range; it cannot win."""

    @property
    def win(self) -> bool:
        """Strictly more like the reference than the unsteered text, and not collapsed."""
        return self.score_steered > self.score_unsteered and not self.collapsed


class SteeringEvidence(Record):
    """What adding the feature does to generated text."""

    metric: str
    policy: Literal["all", "prompt", "generated", "published"]
    unit: Literal["residual_norm"]
    strength: float
    """Length of the added vector over the mean residual norm at the hook."""
    kl: float
    """Mean KL divergence in nats of the next-token distribution, unsteered from steered, at that strength."""
    hook_calls: int
    positions_steered: int
    """How often the hook ran and how many token positions it changed, one row: the proof that it acted."""
    pairs: tuple[SteeredPair, ...]
    win_rate: float
    n: int
    null_win_rate: float
    """Win rate of the same texts under other features' reference words: the metric's chance level."""
    log_probability_lift: float
    """Mean change in nats of the log-probability of the reference tokens, steered minus unsteered, over the continuation."""


class CausalEvidence(Record):
    """Effect on the logits where the feature is really active."""

    n_contexts: int
    ablation_effect: float
    """Mean change of the reference tokens' logits, minus that of all tokens, when the feature is set to zero."""
    survival_ratio: float | None
    """Causal change over the change the projection promises; 1 direct, 0 erased by later layers, below 0 reversed."""


class Evidence(Record):
    """Everything about one feature that a judge may look at."""

    schema_version: Literal[1] = SCHEMA_VERSION
    feature: FeatureRef
    stratum: Stratum
    projection: Projection | None = None
    keywords: KeywordEvidence | None = None
    coherence: CoherenceEvidence | None = None
    activations: ActivationEvidence | None = None
    steering: SteeringEvidence | None = None
    causal: CausalEvidence | None = None
