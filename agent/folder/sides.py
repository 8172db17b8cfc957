"""What a decision says of the two sides of a feature: where it is active, and what it promotes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tools.records import Record
from tools.study.definition import Counts

Verdict = Literal["yes", "no", "undecided"]
SideClass = Literal["input", "output", "both", "neither", "cross"]
"""Which sides of a feature have a meaning: both the same one, or, for `cross`, each another."""


class Side(Record):
    """What one side of a feature shows: where it is active, or what it promotes."""

    relevant: Verdict
    confidence: float = Field(ge=0, le=1)
    label: str | None = None


class Sides(Record):
    """The verdicts that `Decision.relevant` follows from."""

    input: Side | None
    """Where the feature is active; None where nothing of that was there to be judged."""
    output: Side | None
    """What the feature promotes; None as for `input`."""
    kind: SideClass | None
    """None where one side could not be judged, or the repeats of a judgement have no majority."""
    counts: Counts
    """The rule of the study by which they make one verdict (`agent.judges.counting`)."""

    @property
    def sentence(self) -> str:
        """Both verdicts and what counts, for people."""
        said = [
            f"{name} {side.relevant} ({side.confidence:.2f})" + (f": {side.label}" if side.label else "")
            if side
            else f"{name} not seen"
            for name, side in (("input", self.input), ("output", self.output))
        ]
        kind = "" if self.kind is None else f"; meaning: {self.kind}"
        return f"{'; '.join(said)}{kind}; what counts: {self.counts}"
