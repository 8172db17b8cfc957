"""What is found of steering over many targets, as it is stored."""

from __future__ import annotations

from typing import Literal

from agent.folder.steered import Scheme
from evals.statistics.estimate import Estimate
from tools.records import SCHEMA_VERSION, Record


class ArmRow(Record):
    """One arm over all targets; differences are against unsteered writing, intervals over targets."""

    arm: str
    targets: int
    nats: Estimate
    """Gained, a token of held-out text."""
    likeness: Estimate
    encoder: Estimate
    wins: Estimate
    rated: Estimate
    collapsed: Estimate
    fluency: Estimate
    """Lost: nats a token, by the unsteered model, beyond its own texts."""
    kl: Estimate


class Compared(Record):
    """One of the comparisons that were named beforehand: an arm less another, paired by target."""

    measure: str
    arm: str
    against: str
    targets: int
    difference: Estimate
    p: float | None
    """Two-sided, of the targets' signs; exact where there are few."""
    p_corrected: float | None
    """By Holm, for all comparisons of this report."""


class TargetRow(Record):
    """One target under the scheme that is told of."""

    name: str
    sha256: str
    beginnings: int
    succeeded: int
    floor: int
    """Beginnings from which shuffled scores succeed by the same rule."""
    judged: int
    """Beginnings whose texts a model compared."""
    judged_succeeded: int
    stored: float | None
    """The confidence of its run, before a word was written; None without a fitted file."""
    left_out: float | None
    """The confidence by a model of the other targets."""
    refused: bool


class Agreed(Record):
    """The measures and the model's word, by beginning: rows are the measures, no before yes."""

    counts: tuple[tuple[int, int], tuple[int, int]]
    accuracy: Estimate
    kappa: Estimate


class Ranked(Record):
    """How well something that is known beforehand tells successes from failures: 0.5 is chance."""

    by: str
    auroc: Estimate
    targets: int


class Point(Record):
    """Of a risk-coverage curve: what is answered if only the surest targets are, and how much of that fails."""

    coverage: float
    risk: float
    surer_than: float
    """Share of the other targets that the last one answered is held surer than."""


class SteeredReport(Record):
    """Everything."""

    schema_version: Literal[1] = SCHEMA_VERSION
    runs: tuple[str, ...]
    scheme: Scheme
    success: str
    judged: str | None
    """None where no model judged."""
    arms: tuple[ArmRow, ...]
    compared: tuple[Compared, ...]
    targets: tuple[TargetRow, ...]
    succeeded: Estimate
    floor: Estimate
    judged_succeeded: Estimate
    agreed: Agreed | None
    ranked: tuple[Ranked, ...]
    curve: tuple[Point, ...]
    risk_area: float | None
    """Mean risk under the curve; beside it the risk of answering all is what no order at all gives."""
    remarks: tuple[str, ...]
    allowed: str | None = None
    """Why runs that differ were read together."""
    figures: dict[str, float]
    """By the names that a requirement uses."""
