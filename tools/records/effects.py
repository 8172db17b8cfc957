"""What a direction does: to texts that are written under it, and to logits where it is active."""

from __future__ import annotations

from statistics import fmean
from typing import Literal

from pydantic import Field

from tools.records.record import Record, is_none


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


class Rise(Record):
    """A word or a token, and in how many texts it stands."""

    text: str
    steered: int
    unsteered: int
    random: int | None = None
    """Along a random direction; None where no text was written along one, or not as many."""
    z: float
    """Log-odds of the steered texts against the unsteered ones over their standard error, both shrunk to what the model
    says in any case (`tools.effects.log_odds`)."""


class SteeredWords(Record):
    """What steered texts say more often than their unsteered twins, over all prompts and seeds, most of all first."""

    n: int
    """Pairs of texts, those that every direction was given. A word counts once a text, so that one that repeats itself
    does not speak for all."""
    words: tuple[Rise, ...]
    tokens: tuple[Rise, ...]
    chance_words: float
    """The largest z of any word along any of the random directions that have as large an effect."""
    chance_tokens: float


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
    sequence: SequentialTest | None = Field(default=None, exclude_if=is_none)
    """None where every direction was given the same number of pairs. Left out of what is stored then, as it always was."""
    words: SteeredWords | None = Field(default=None, exclude_if=is_none)
    """None where they were not counted."""

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

    @property
    def promised(self) -> float | None:
        """Of `ablation_effect`, in logits, by the unembedding alone; None where no share of it was kept."""
        return self.ablation_effect / self.survival_ratio if self.survival_ratio else None

    @property
    def survival(self) -> float | None:
        """`survival_ratio` where enough was promised for a share of it to mean anything."""
        return self.survival_ratio if abs(self.promised or 0.0) >= LEAST_PROMISED else None


LEAST_PROMISED = 0.2
"""Logits: a share of less is noise, of a real model from -829 to 469 where hardly anything is promised."""


class MovedToken(TokenChange):
    """A next token under a direction, and under random directions of the same effect."""

    random: float
    """Mean change under these, in nats."""


class PromotionEvidence(Record):
    """What adding the direction does to the next token, beside random directions that change it by as much altogether."""

    kl: float
    """Nats of effect, mean over the prompts."""
    n_random: int
    """Random directions."""
    change: float
    """Of the top tokens' log-probability, their mean."""
    null_change: float
    """Median of the same over the random directions and their own top tokens."""
    null_share: float
    """Share of the random directions whose own top tokens rise as much."""
    raised: tuple[MovedToken, ...]
    lowered: tuple[MovedToken, ...]
    """Those that it moves furthest beyond what random directions do."""
