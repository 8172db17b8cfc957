"""What is found where the truth is known, as it is stored."""

from __future__ import annotations

from typing import Literal

from agent.folder.records import PromptRef
from agent.llm.records import Usage
from evals.agreement.results import Calibration
from evals.statistics.estimate import Estimate
from evals.truths.naming import Outcome
from tools.records import SCHEMA_VERSION, FeatureRef, Record
from tools.truth.known import Kind


class MatcherRef(Record):
    """Who said whether label and meaning are the same."""

    name: str
    base_url: str | None = None
    prompt: PromptRef | None = None
    usage: Usage = Usage()


class OutcomeRow(Record):
    """What came of a group of features."""

    group: Kind | Literal["placebos"]
    features: int
    counts: dict[Outcome, int]
    share: Estimate
    """Right, of a concept's features; named, of placebos; of all of them, failures included."""


class LabelRow(Record):
    """One feature whose meaning, or lack of one, is known."""

    feature: FeatureRef
    group: Kind
    name: str
    meaning: str | None
    label: str | None
    confidence: float | None
    outcome: Outcome
    why: str = ""
    """Of a failure, or where nobody could tell."""


class LabelsHeld(Record):
    """A run's labels against what is known."""

    matcher: MatcherRef
    rows: tuple[OutcomeRow, ...]
    concepts: tuple[LabelRow, ...]
    """And placebos, in the run's order."""
    swapped: Estimate
    """Share of pairs of a label and another concept's meaning that were called the same: what a yes is worth."""
    swapped_pairs: int
    same_group: Estimate
    """Of the labels, those called the same as their own concept, failures to tell left out."""
    calibration: Calibration | None
    """Of the labels' confidence; None with too few."""


class TruthReport(Record):
    """All of it."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run: str
    judge: str
    without: tuple[str, ...] = ()
    labels: LabelsHeld | None = None
    remarks: tuple[str, ...] = ()

    @property
    def figures(self) -> dict[str, float]:
        """What a requirement may name."""
        found: dict[str, float] = {}
        if self.labels is not None:
            for row in self.labels.rows:
                if row.group in ("concept", "placebos"):
                    said = "right" if row.group == "concept" else "placebos_named"
                    found |= _spread(said, row.share)
            found |= _spread("swapped", self.labels.swapped)
        return found


def _spread(name: str, estimate: Estimate) -> dict[str, float]:
    parts = {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {key: value for key, value in parts.items() if value is not None}
