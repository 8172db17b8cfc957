"""What a benchmark returns: one row per measurement, with what it was to reach."""

from __future__ import annotations

from typing import Literal, NamedTuple

from tools.records import Record

Scale = Literal["small", "full"]
SCHEMA_VERSION = 1


class Setting(NamedTuple):
    """How the benchmarks of one run are measured."""

    scale: Scale
    rounds: int
    figure: str | None = None
    """Where a benchmark that draws one puts its figure."""


class Reach(Record):
    """One thing that a measurement is to reach."""

    what: str
    value: float
    limit: float
    sense: Literal["at least", "at most"]
    judged: bool = True
    """False for a speed at a scale it was not set for; it is shown all the same."""

    @property
    def met(self) -> bool:
        """Whether the value is on the right side of the limit."""
        return self.value >= self.limit if self.sense == "at least" else self.value <= self.limit


class Load(Record):
    """How busy the machine was while something was measured."""

    average: float | None
    """The system's load average over the last minute, when the measurement began; it counts ourselves."""
    others: float | None
    """Cores that other processes kept busy during the measurement, on average; None where the system does not say."""
    cores: int

    @property
    def disturbed(self) -> bool:
        """Whether timings are to be mistrusted."""
        return (self.others or 0.0) > 0.1 * self.cores


class Result(Record):
    """One row of the table."""

    name: str
    what: str
    """What was measured, in a few words."""
    baseline: str
    """What it is measured against."""
    baseline_s: float
    """Median over rounds, scaled to the whole work if the baseline did a share of it."""
    baseline_share: float = 1.0
    """Share of the work that the baseline did in fact."""
    ours_s: float
    ratio: float
    """Median over rounds of baseline over ours, round by round."""
    ratio_low: float
    ratio_high: float
    """Smallest and largest ratio of a round."""
    baseline_peak_mb: float | None
    peak_mb: float | None
    """Highest resident memory during the arm less what was resident before it, inputs included in the latter."""
    reaches: tuple[Reach, ...] = ()
    notes: tuple[str, ...] = ()
    load: Load


class Failed(Record):
    """A benchmark that did not end."""

    name: str
    message: str


class Machine(Record):
    """Where the figures come from."""

    processor: str
    cores: int
    threads: int
    """Of torch."""
    python: str
    torch: str


class Report(Record):
    """Everything one command measured."""

    schema_version: Literal[1] = SCHEMA_VERSION
    started: str
    """UTC, ISO 8601."""
    scale: Scale
    rounds: int
    machine: Machine
    results: tuple[Result, ...]
    failed: tuple[Failed, ...] = ()

    @property
    def missed(self) -> tuple[Reach, ...]:
        """What was judged and not reached."""
        return tuple(reach for result in self.results for reach in result.reaches if reach.judged and not reach.met)
