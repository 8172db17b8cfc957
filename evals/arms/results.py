"""What a comparison of two arms writes: `comparison.json`, and one `ArmSummary` a run for later comparisons over SAE seeds."""

from __future__ import annotations

from typing import Literal

from evals.statistics.estimate import Estimate
from tools.records import SCHEMA_VERSION, Record

Claim = Literal["relevant", "sharper", "steerable"]
"""What the published study claims of the fine-tuned arm's features: there are more of them, they are more coherent, and
they steer better."""
Definition = Literal["published", "corrected"]
Test = Literal["permutation", "exact", "bootstrap", "none"]
"""`exact`: Fisher's test of two shares. `bootstrap`: twice the smaller tail of the resampled differences; for figures that
are weighted over strata, which cannot be permuted."""


class StratumCount(Record):
    """A stratum of the SAE's features: how many there are, were drawn and were found relevant."""

    stratum: str
    population: int
    drawn: int
    yes: int
    undecided: int
    failed: int
    ruled_out: int
    """Not drawn, but known to be no: the rules judge rejects them by their keyword hits alone."""

    weighed: int
    """Drawn, and not to be ruled out in that way: what stands for the unknown."""

    @property
    def unknown(self) -> int:
        """Neither drawn nor ruled out."""
        return self.population - self.drawn - self.ruled_out


class SharedFeatures(Record):
    """Shares of one dictionary's living features that have a partner in another."""

    kept: float
    """As near as the same feature."""
    paired: float
    """Beyond chance."""


class ArmSummary(Record):
    """Everything that a comparison over SAE seeds needs of one run."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run_id: str
    arm: str
    model_sha256: str
    sae_sha256: str
    size: int
    """Features of the SAE."""
    settings: dict[str, str | None]
    """What must be equal among runs that are compared; None for what the run does not show."""
    figures: dict[str, float | None]
    """Value of every measure, by its key."""
    n: dict[str, int]
    """Features that each figure rests on."""
    strata: tuple[StratumCount, ...] = ()
    shared_with: dict[str, SharedFeatures] = {}
    """What this SAE has in common with others of the same model, by their sha256."""

    @property
    def relevant_bounds(self) -> tuple[float, float] | None:
        """The share of relevant features if none, or all, of the candidates of which nothing is known were relevant."""
        share = self.figures.get("relevant")
        if share is None or not self.strata:
            return None
        candidates = self.strata[0]
        taken = candidates.yes * candidates.unknown / candidates.weighed if candidates.weighed else 0.0
        low = share - taken / self.size
        return low, low + candidates.unknown / self.size


class SeedTest(Record):
    """The same measure over SAEs that differ in their seed: the difference of arm means against seed-to-seed noise."""

    base: tuple[float, ...]
    finetuned: tuple[float, ...]
    """One value an SAE, the two compared runs first."""
    difference: float
    low: float
    high: float
    """Welch's t interval, 95 %."""
    p: float
    """Welch's t test, two-sided."""
    p_adjusted: float | None = None
    p_permutation: float
    """Exact, two-sided, over all ways to deal the SAEs to two arms of these sizes."""
    least_p: float
    """The smallest value that `p_permutation` can take with so many SAEs."""
    noise: float
    """Standard deviation between SAEs of the same arm, pooled."""


class Measured(Record):
    """One measure in both arms, their difference, and what the difference is worth."""

    key: str
    name: str
    definition: Definition
    over: str
    """The features it is taken over."""
    claim: Claim | None = None
    """Set for the measures that the verdicts rest on; their p-values are corrected among themselves by Holm's method, all
    others by Benjamini and Hochberg's."""
    is_share: bool
    base: Estimate
    finetuned: Estimate
    n_base: int
    n_finetuned: int
    difference: Estimate
    """Fine-tuned less base."""
    p: float | None = None
    p_adjusted: float | None = None
    test: Test = "none"
    effect: float | None = None
    """Cohen's h for shares, Hedges' g for means."""
    seeds: SeedTest | None = None
    bounds: tuple[float, float] | None = None
    """The difference, over all SAEs, if none or all of what was left uninvestigated, and not by chance, counted; None where
    nothing was."""
    lost: str | None = None
    """Why there is no difference, where an arm's figure was read from an instrument that measured nothing."""


class Spread(Record):
    """Table 2 of the published study: the coherence of a set of features in both arms."""

    definition: Definition
    over: str
    n: tuple[int, int]
    mean: tuple[float, float]
    median: tuple[float, float]
    lowest: tuple[float, float]
    highest: tuple[float, float]
    difference: float
    """Of the means, fine-tuned less base."""
    normalised: float | None
    """Size of the difference over the mean of the two ranges, as published."""


class Coverage(Record):
    """How many of the tokens in features' lists a set of word vectors knows (published cleaning of tokens)."""

    vectors: str
    arm: str
    over: str
    tokens: int
    known: int
    different: int
    """Different cleaned tokens."""
    different_known: int


class Coefficient(Record):
    """One predictor of a regression; numbers are per standard deviation of the predictor, or for a group against the first."""

    name: str
    value: float
    low: float
    high: float
    p: float
    p_adjusted: float | None
    """Holm's method over the coefficients of interest of all models; None for the groups' own."""


class Regression(Record):
    """Steering effect on coherence and on the shape of the logit weights: ordinary least squares, HC3 standard errors."""

    outcome: str
    over: str
    n: int
    r_squared: float
    coefficients: tuple[Coefficient, ...]


class FeatureChange(Record):
    """One feature of either dictionary and what it became."""

    base: int | None
    finetuned: int | None
    cosine: float | None
    status: str
    candidate_base: bool
    candidate_finetuned: bool


class Changes(Record):
    """How many features of the two dictionaries are the same, and how many are of two dictionaries of one model."""

    name: str
    """Which two dictionaries."""
    counts: dict[str, int]
    """Features by status."""
    shared: SharedFeatures | None = None
    """A mean, where it is of several pairs of dictionaries."""
    kept_range: tuple[float, float] | None = None
    """Lowest and highest share kept, then."""
    threshold: float | None = None
    """The cosine that a match must exceed, from a null."""


class Transfer(Record):
    """An SAE run on a model: how well it reconstructs what that model computes."""

    name: str
    figures: dict[str, float]


class Verdict(Record):
    """A sentence made from the statistics, and the unit it rests on."""

    claim: Claim
    measure: str
    unit: Literal["SAE seeds", "features"]
    found: Literal["more", "less", "no evidence", "not measured"]
    text: str


class Comparison(Record):
    """Everything one comparison found."""

    schema_version: Literal[1] = SCHEMA_VERSION
    base: ArmSummary
    finetuned: ArmSummary
    allowed: str | None
    """The reason given for comparing what differs."""
    faults: tuple[str, ...]
    """What would have stopped the comparison without that reason."""
    unchecked: tuple[str, ...]
    """Settings that the runs do not show."""
    verdicts: tuple[Verdict, ...]
    measured: tuple[Measured, ...]
    spreads: tuple[Spread, ...]
    coverage: tuple[Coverage, ...] = ()
    regressions: tuple[Regression, ...] = ()
    changes: tuple[Changes, ...] = ()
    transfer: tuple[Transfer, ...] = ()
    figures: dict[str, float] = {}
    """Every figure a requirement may name."""
    remarks: tuple[str, ...] = ()
