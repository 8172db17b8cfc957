"""What instruments return, as frozen records: the evidence a judge may look at, and nothing about verdicts.

Evidence may come from elsewhere: every kind of it but the feature's identity is optional, and a missing kind is `None`,
never an empty stand-in.
"""

from __future__ import annotations

import hashlib
import re
from statistics import fmean
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION = 1
_LONGEST_NAME = 60
LARGEST_INDEX = 10**12
"""Of a feature: more than any autoencoder has, and a number that every file format and array can hold."""

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
    index: int = Field(ge=0, le=LARGEST_INDEX)
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

    @model_validator(mode="after")
    def _has_one_activation_a_token(self) -> Context:
        if self.activations is not None and len(self.activations) != len(self.tokens):
            raise ValueError(f"{len(self.tokens)} tokens but {len(self.activations)} activations")
        return self


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


def _is_none(value: object) -> bool:
    """For fields that are left out of what is stored where there is nothing to say, as they always were."""
    return value is None


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
    position: PositionEvidence | None = Field(default=None, exclude_if=_is_none)
    """None where not even most of its activation is at the beginnings of rows."""


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


class TokenChange(Record):
    """A vocabulary entry and what an intervention does to it."""

    token_id: int
    token: str
    """Decoded text, leading space kept."""
    change: float


Policy = Literal["all", "prompt", "generated", "published"]
"""Positions that are steered; `published` is the study's hook, which under a cache leaves generated tokens alone."""
InterventionKind = Literal["add", "clamp", "ablate"]
"""Add the direction; hold its activation at a value; hold it at 0."""
StrengthUnit = Literal["kl", "residual_norm", "max_activation"]
"""What a strength is asked for in: nats of effect, mean residual norms, the direction's largest activations."""
Precision = Literal["auto", "float32", "bfloat16"]
"""Of a language model: `auto` is float32 unless its weights would take more than half of the memory."""
PromptForm = Literal["plain", "chat"]
"""How a prompt is put to the model: as it stands, or as what a user says."""
CausalVerdict = Literal["confirmed", "projection only", "reversed"]
SteeringWord = Literal["passes", "fails", "undecided"]


class SteeredPair(Record):
    """One prompt and seed, continued with and without the feature and with its two controls."""

    prompt: str
    seed: int
    unsteered: str
    steered: str
    random: str | None
    """The same was written along a random direction; None for a pair that was written without controls."""
    flipped: str | None
    """The same was written with the sign turned; None as for `random`."""
    score_unsteered: float | None
    score_steered: float | None
    score_random: float | None
    score_flipped: float | None
    """Likeness of the continuation to the feature's own reference words (`SteeringEvidence.metric`); None for a text
    without content words, or a feature without reference words."""
    collapsed: bool
    """The steered text is repetitive or improbable beyond the unsteered texts' range; it cannot win."""
    perplexity_unsteered: float | None = None
    perplexity_steered: float | None = None
    """Of the continuation, under the unsteered model."""
    repetition_unsteered: float | None = None
    repetition_steered: float | None = None
    """Share of a text's pairs of consecutive words that it has used before."""

    @property
    def win(self) -> bool:
        """Strictly more like the reference than the unsteered text, and not collapsed.

        Where either text has no score nobody wins, and the pair counts all the same: under other features' words it
        is lost too, so that neither the win rate nor its null gains by it.
        """
        if self.score_steered is None or self.score_unsteered is None:
            return False
        return self.score_steered > self.score_unsteered and not self.collapsed


def _is_plain(form: PromptForm) -> bool:
    return form == "plain"


class SequentialTest(Record):
    """Pairs were written until they decided: what was asked of them, and what they said (`tools.effects.sequence`)."""

    win_rate: float
    alpha: float
    power: float
    """Share of the directions that win as often as `win_rate` which passes, where chance wins half."""
    most: int
    """Pairs after which a direction is left undecided."""
    opening: int
    """Pairs that every direction was given before any was looked at: what strata are compared by."""
    null: tuple[float, ...]
    """For each pair, the share of other features' words that win it."""
    verdict: SteeringWord
    p_value: float
    """Holds whenever one stops."""


class SteeringEvidence(Record):
    """What an intervention on the feature does to generated text."""

    metric: str
    kind: InterventionKind = "add"
    policy: Policy
    unit: Literal["residual_norm"]
    """Of `strength`."""
    strength: float
    """Length of the added vector, or the value the activation is held at, over the mean residual norm at the hook."""
    activation_ratio: float | None = None
    """The same over the feature's largest activation in the corpus; None if it is never active."""
    asked_unit: StrengthUnit = "kl"
    asked: float | None = None
    """What the study asked for, in `asked_unit`; None where nothing was recorded."""
    kl: float
    """Mean KL divergence in nats of the next-token distribution, unsteered from steered, at that strength."""
    hook_calls: int
    positions_steered: int
    """How often the hook ran and how many token positions it changed, one row: the proof that it acted."""
    pairs: tuple[SteeredPair, ...]
    win_rate: float
    n: int
    """Number of pairs; 0 for a feature without reference words, of which nothing can be said."""
    null_win_rate: float
    """Win rate of the same texts under other features' reference words: the metric's chance level."""
    null_lists: int | None = None
    """Reference lists that the null is the mean over; None for the other features of the run, as it once was."""
    log_probability_lift: float
    """Mean change in nats of the log-probability of the reference tokens, steered minus unsteered, over the continuation."""
    graded_score: float | None = None
    """Mean over the pairs of the harmonic mean of how much and how fluently the text follows, each graded 0 to 2."""
    perplexity_bound: float | None = None
    repetition_bound: float | None = None
    """A text beyond either has collapsed."""
    raised: tuple[TokenChange, ...] = ()
    lowered: tuple[TokenChange, ...] = ()
    """Next tokens whose log-probability (nats) steering changes most, mean over the prompts."""
    input_score: float | None = None
    """Share of the texts it is active in whose most active token is among its tokens; None for fewer than ten texts."""
    output_score: float | None = None
    """How near its tokens are to being the next token when it is added ten times as strong as the strongest feature."""
    prompt_form: PromptForm = Field(default="plain", exclude_if=_is_plain)
    sequence: SequentialTest | None = Field(default=None, exclude_if=_is_none)
    """None where every direction was given the same number of pairs. Left out of what is stored then, as it always was."""

    @property
    def opening(self) -> tuple[SteeredPair, ...]:
        """The pairs that every direction was given, by which directions are compared: later ones go to the undecided."""
        return self.pairs[: self.sequence.opening] if self.sequence else self.pairs

    @property
    def opening_rates(self) -> tuple[float, float]:
        """Win rate and null of these pairs."""
        if self.sequence is None:
            return self.win_rate, self.null_win_rate
        return fmean(pair.win for pair in self.opening), fmean(self.sequence.null[: self.sequence.opening])


class CausalEvidence(Record):
    """Effect on the logits where the feature is really active."""

    n_contexts: int
    """Token positions."""
    ablation_effect: float
    """Mean change of the reference tokens' logits, minus that of all tokens, when the feature is set to zero."""
    survival_ratio: float | None
    """Causal change over the change that the unembedding promises; 1 direct, 0 erased by later layers, below 0 reversed."""
    addition_effect: float | None = None
    """The same change as `ablation_effect` when the feature is added once more, as strongly as it is active."""
    promise_ratio: float | None = None
    """Mean causal effect of having the feature on the reference tokens, over what the study's lens promises."""
    projection_curve: tuple[float, ...] = ()
    """After each block from the hook on: how much of what was removed is still missing along the same direction.

    1 untouched, 0 made up for entirely; the blocks between have written `value - 1` of it themselves.
    """
    auroc: float | None = None
    """How often a reference token is moved up more by the feature than a token as frequent in the corpus."""
    verdict: CausalVerdict | None = None
    """Of `auroc` and `promise_ratio` (`tools.effects.promise`); None where nothing is promised."""
    raised: tuple[TokenChange, ...] = ()
    lowered: tuple[TokenChange, ...] = ()
    """Tokens whose logits the feature changes most where it is active."""


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
