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
from tools.truth.world_truth import WorldTruth


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


class BesideRow(Record):
    """One of several runs over the same features, held against the first of them."""

    run: str
    judge: str
    without: tuple[str, ...]
    """Kinds of evidence that were kept from the judge."""
    outcomes: tuple[OutcomeRow, ...]
    swapped: Estimate
    pairs: int
    """Concepts in both runs."""
    gained: int
    """Of these, labelled right here and not in the first run."""
    lost: int
    """Labelled right in the first run and not here."""
    p: float | None
    """McNemar's exact test, two-sided; None of the first run itself."""
    corrected: float | None = None
    """By Holm, for all runs of this report."""


class WorldHeld(Record):
    """A run's SAE against the world that its model reads."""

    truth: WorldTruth
    untrained: WorldTruth | None
    """Of the same architecture before any training, where the study has an SAE of it: the floor."""
    remark: str = ""
    """What is missing."""


class TruthReport(Record):
    """All of it."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run: str
    judge: str
    without: tuple[str, ...] = ()
    world: WorldHeld | None = None
    """Of a run on a world of known truth."""
    labels: LabelsHeld | None = None
    """None where nobody investigated a feature that is known, which only a run on a world may be without."""
    beside: tuple[BesideRow, ...] = ()
    """This run and those that it was put beside."""
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
                    group = "concepts" if row.group == "concept" else "placebos"
                    found[f"{group}_unnamed"] = row.counts.get("nothing nameable", 0) / row.features
                    found[f"{group}_failed"] = row.counts.get("failed", 0) / row.features
            found |= _spread("swapped", self.labels.swapped)
        if self.world is not None:
            told = self.world.truth.features
            found |= {"true_labels": float(len(self.world.truth.labels))}
            for name, figure in (("coverage", told.coverage), ("reconstruction", told.reconstruction)):
                found |= _spread(name, Estimate(value=figure.value, low=figure.low, high=figure.high))
        return found


def _spread(name: str, estimate: Estimate) -> dict[str, float]:
    parts = {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {key: value for key, value in parts.items() if value is not None}
