"""What the examiner writes: figures with their intervals, how each interval was made, and what stands beside them."""

from __future__ import annotations

from typing import Literal

from evals.statistics.estimate import Estimate
from tools.records import SCHEMA_VERSION, FeatureRef, Record, Stratum

RowKind = Literal["judge", "treatment", "people", "stratum", "control"]


class Row(Record):
    """One comparison: who is compared with whom, over how many answers, and every statistic of it."""

    name: str
    kind: RowKind
    n: int
    """Answers compared."""
    features: int
    """Features they are about; intervals are over these."""
    undecided: int = 0
    """Answers left out because the judge was undecided."""
    failed: int = 0
    """Answers left out because the judge failed."""
    statistics: dict[str, Estimate]


class Confusion(Record):
    """Counts of answers; a row is what people said, a column what the judge said."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class PairedTest(Record):
    """Two judges on the same labelled features (McNemar, exact). Undecided and failed count as not right."""

    other: str
    """The other run."""
    n: int
    both: int
    only_this: int
    only_other: int
    neither: int
    p: float
    """Two-sided."""


class Advantage(Record):
    """One annotator left out: does the judge represent the others as well as this annotator does?"""

    annotator: str
    n: int
    """Features on which both, and at least one other annotator, answered."""
    advantage: float
    """Share of instances on which the judge is as near to the others as this annotator is, or nearer."""
    difference: float
    """Mean advantage of the annotator over the judge."""
    p: float
    """One-sided, of a difference of epsilon or more; corrected by Benjamini and Yekutieli."""
    test: Literal["t", "wilcoxon", "constant"]
    won: bool


class AltTest(Record):
    """The alternative annotator test (Calderon, Reichart and Dror 2025)."""

    name: str
    epsilon: float
    score: Literal["accuracy", "neg_rmse"]
    winning_rate: float | None
    """omega: share of annotators the judge can stand in for; None if none has enough answers."""
    advantage: float | None
    """rho: mean of the annotators' `advantage`."""
    passed: bool
    annotators: tuple[Advantage, ...]
    left_out: dict[str, str] = {}
    """Annotators without enough shared answers, and why."""


class Bin(Record):
    """Answers of like confidence."""

    n: int
    confidence: float
    """Mean."""
    right: float
    """Share."""
    low: float
    high: float
    """Wilson interval of `right`."""


class Scores(Record):
    """How far stated confidence is from how often the judge is right."""

    name: str
    n: int
    brier: Estimate
    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float
    """Brier score = reliability - resolution + uncertainty + within_bins, exactly."""
    ece: Estimate
    log_loss: float


class Calibrator(Record):
    """A map of confidences, fitted on one half of the labelled features and scored on the other."""

    method: Literal["temperature", "isotonic"]
    n_fitted: int
    temperature: float | None = None
    confidence: tuple[float, ...] = ()
    calibrated: tuple[float, ...] = ()
    """Isotonic: the map's corners, joined by straight lines and flat outside."""


class RiskPoint(Record):
    """Answering only where the confidence is at least so high."""

    threshold: float
    coverage: float
    """Share of all labelled features that are answered."""
    risk: float
    """Share of wrong answers among them."""


class Calibration(Record):
    """What the judge's confidence is worth."""

    scores: tuple[Scores, ...]
    """As stated, with controls; then as calibrated, on the half that nothing was fitted on."""
    bins: tuple[Bin, ...]
    calibrators: tuple[Calibrator, ...]
    curve: tuple[RiskPoint, ...]
    area: float | None
    """Under the risk-coverage curve; `area_floor` for confidences in random order."""
    area_floor: float | None
    unanswered: int
    """Labelled features without a yes, no or rating of the judge; the curve ends below full coverage by their share."""


class StratumLabels(Record):
    """What is known of one stratum."""

    stratum: Stratum
    population: int
    drawn: int
    labelled: int
    relevant: int
    judged_yes: int
    random_sample: bool
    """Whether the drawn features are all, or a random sample, of the stratum."""


class Share(Record):
    """One estimate of a share of the SAE's features."""

    name: str
    estimate: Estimate
    features: tuple[float, float, float] | None
    """The same in features: estimate, low, high."""


class Prevalence(Record):
    """How many features of the whole SAE are relevant, and how many of those the keyword filter finds."""

    population: int
    strata: tuple[StratumLabels, ...]
    shares: tuple[Share, ...]
    recall: tuple[Share, ...]
    tuning: float
    """Weight of the judge's answers in the prediction-powered estimate: 0 ignores the judge, 1 takes it at full weight."""
    sensitivity: float | None
    specificity: float | None
    remarks: tuple[str, ...]


class Disagreement(Record):
    """One feature that judge and people see differently."""

    feature: FeatureRef
    stratum: Stratum
    question: str
    judged: str
    given: dict[str, str]
    confidence: float | None
    label: str | None


class Proposal(Record):
    """One feature to label next."""

    feature: FeatureRef
    stratum: Stratum
    judged: str


class Plan(Record):
    """Which features to label next, in order, and what that is worth."""

    target: str
    proposals: tuple[Proposal, ...]
    error_now: float
    error_planned: float
    error_random: float
    """Expected standard error of the target: now, after these labels, and after as many drawn at random."""


class Agreement(Record):
    """Everything one examination found."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run_id: str
    judge: str
    question: str
    ordinal: bool
    annotators: dict[str, int]
    """Labels of each on features of the run."""
    labelled: int
    """Features of the run with at least one label."""
    failure_rate: float | None
    """Of the labelled features; `undecided_rate` likewise."""
    undecided_rate: float | None
    people_undecided: int
    """Answers of people that are undecided: they stand in the confusion matrix and in no statistic."""
    headline: str
    """Name of the row that gates and summaries read."""
    rows: tuple[Row, ...]
    sides: tuple[Row, ...] = ()
    """The headline for each side of the features; none where the judge was not asked for sides."""
    confusion: Confusion
    paired: PairedTest | None = None
    alternative: tuple[AltTest, ...] = ()
    calibration: Calibration | None = None
    prevalence: Prevalence | None = None
    disagreements: tuple[Disagreement, ...] = ()
    plan: Plan | None = None
    figures: dict[str, float] = {}
    """Every figure a requirement may name."""
    remarks: tuple[str, ...] = ()
