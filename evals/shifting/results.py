"""What is found of acting on verdicts, as it is stored."""

from __future__ import annotations

from typing import Literal

from evals.statistics.estimate import Estimate
from tools.records import SCHEMA_VERSION, Record, Stratum

Threshold = Literal["old", "centred", "trained again"]
"""The classifier as it was, as published; its threshold set anew half way between its own training texts; learned anew."""
Way = Literal[
    "judged",
    "published rule",
    "no judge",
    "SCR",
    "random like judged",
    "random like SCR",
    "to the point",
    "tokens",
    "words",
    "words, trained again",
]


class Cell(Record):
    """What one way of choosing does at one number of features."""

    way: Way
    direction: Literal[1, 2]
    threshold: Threshold
    asked: int | None
    """Features, tokens or words that were to be taken out; None for all that the way names."""
    taken: float
    """That were: the mean over probe seeds."""
    scr: Estimate
    by_seed: tuple[float | None, ...]
    accuracy: Estimate
    worst: Estimate
    """Of the quadrant that does worst."""
    worst_by_seed: tuple[float, ...]
    quadrants: tuple[float, ...]
    spread: tuple[float, float] | None = None
    """Lowest and highest SCR of a draw, for random features."""


class Compared(Record):
    """One of the comparisons that were named beforehand, on the same test texts and probe seeds."""

    direction: Literal[1, 2]
    threshold: Threshold
    way: str
    against: str
    taken: float
    against_taken: float
    difference: Estimate
    """Of SCR."""
    p: float | None
    """Two-sided, of the resamples."""
    p_corrected: float | None
    """By Holm, for all comparisons of the same table."""


class Side(Record):
    """One direction: what is taken out, what is read, and how far there is to go."""

    direction: Literal[1, 2]
    removed: str
    kept: str
    oracle: Estimate
    biased: Estimate
    oracle_worst: float
    biased_worst: float
    dead: bool
    """The oracle is no better than the biased classifier, or cannot be told to be: SCR is no number."""
    judged: int
    """Features judged beside the point."""
    published: int
    to_the_point: int


class JudgeRow(Record):
    """Whoever rated features."""

    name: str
    rated: int
    failed: int
    """Verdicts that failed: they take nothing out."""
    judged: tuple[int, int]
    """Beside the point, by direction."""
    scr: tuple[Estimate, Estimate]
    """By direction, with the old threshold."""


class Kept(Record):
    """One feature of those judged beside the point, and what SCR loses when it alone stays in."""

    feature: str
    label: str | None
    ratings: dict[str, int]
    effect: float
    """On the biased classifier."""
    loss: Estimate
    loss_centred: Estimate
    word: Literal["helped", "hurt", "not told apart"]
    """By the interval with the old threshold."""
    transcript: str


class StratumBeside(Record):
    """Verdicts by stratum; of controls, each one beside the point is a false one."""

    stratum: Stratum
    rated: int
    failed: int
    beside: tuple[Estimate, Estimate]
    """Share, by direction."""
    published: tuple[Estimate, Estimate]


class ClassesRow(Record):
    """TPP at one number of features a class."""

    asked: int
    score: Estimate
    own: float
    """What a class's own probe loses."""
    others: float
    random: float
    """The score of random features of equal density and effect."""


class Classes(Record):
    """TPP on a task of several classes."""

    task: str
    classes: tuple[str, ...]
    texts: int
    accuracies: tuple[float, ...]
    rows: tuple[ClassesRow, ...]


class Ranked(Record):
    """One SAE among others."""

    run: str
    sae: str
    sae_sha256: str | None
    features: int
    direction: Literal[1, 2]
    scr: tuple[Estimate, ...]
    """By number of features, chosen by effect on the probe of what is removed, as published."""
    tpp: tuple[Estimate, ...]
    judged: int
    judged_scr: Estimate
    behind: Estimate
    """SCR of the first in rank less this one's, paired over test texts and probe seeds."""
    p_corrected: float | None


class ShiftReport(Record):
    """Everything."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run: str
    study: str
    sae: str
    model_sha256: str | None
    sae_sha256: str | None
    task: str
    task_sha256: str
    label: str
    attribute: str
    quadrants: tuple[str, ...]
    seeds: tuple[int, ...]
    texts: int
    """Of the balanced test set."""
    draws: int
    words: int
    """Cue words that were deleted; 0 where nobody looked."""
    sides: tuple[Side, ...]
    judges: tuple[JudgeRow, ...]
    """The run's own first."""
    cells: tuple[Cell, ...]
    compared: tuple[Compared, ...]
    values: tuple[Compared, ...]
    """Each further judge less the run's own: the downstream value of another label."""
    kept: tuple[Kept, ...]
    strata: tuple[StratumBeside, ...]
    classes: Classes | None
    ranked: tuple[Ranked, ...] = ()
    remarks: tuple[str, ...]
    figures: dict[str, float]
    """By the names that a requirement uses."""
