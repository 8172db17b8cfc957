"""Two ways to do the same work, run in turn, and the row that comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Generic, TypeVar

from benchmarks.machine import LoadMeter, PeakMeter
from benchmarks.records import Load, Reach, Result

T = TypeVar("T")
B = TypeVar("B")
R = TypeVar("R")


@dataclass(frozen=True)
class Arm(Generic[T]):
    """One way to do the work."""

    name: str
    run: Callable[[], T]
    share: float = 1.0
    """Share of the work that it does: its seconds are divided by this."""


@dataclass(frozen=True)
class Race(Generic[B, R]):
    """What two arms took, and what they returned last."""

    baseline: Arm[B]
    baseline_s: list[float]
    """One a round, scaled to the whole work."""
    ours_s: list[float]
    baseline_peak_mb: float | None
    peak_mb: float | None
    baseline_result: B
    ours_result: R
    load: Load

    @property
    def ratios(self) -> list[float]:
        """Baseline over ours, round by round."""
        return [baseline / ours for baseline, ours in zip(self.baseline_s, self.ours_s, strict=True)]

    @property
    def ratio(self) -> float:
        """Their median."""
        return median(self.ratios)


def race(baseline: Arm[B], ours: Arm[R], rounds: int) -> Race[B, R]:
    """Run both arms once a round, the one that goes first changing from round to round.

    Raises:
        ValueError: fewer than one round.
    """
    if rounds < 1:
        raise ValueError(f"{rounds} rounds measure nothing")
    lap_of_baseline, lap_of_ours = _Lap(baseline), _Lap(ours)
    with LoadMeter() as meter:
        for number in range(rounds):
            order = (lap_of_baseline, lap_of_ours) if number % 2 == 0 else (lap_of_ours, lap_of_baseline)
            for lap in order:
                lap.run()
    return Race(
        baseline=baseline,
        baseline_s=lap_of_baseline.seconds,
        ours_s=lap_of_ours.seconds,
        baseline_peak_mb=lap_of_baseline.peak_mb,
        peak_mb=lap_of_ours.peak_mb,
        baseline_result=lap_of_baseline.result,
        ours_result=lap_of_ours.result,
        load=meter.load,
    )


class _Lap(Generic[T]):
    """Runs of one arm so far."""

    result: T

    def __init__(self, arm: Arm[T]) -> None:
        self.arm = arm
        self.seconds: list[float] = []
        self.peak_mb: float | None = None

    def run(self) -> None:
        if self.seconds:
            del self.result  # the last round's must not be resident while the next is made
        with PeakMeter() as meter:
            began = time.perf_counter()
            self.result = self.arm.run()
            took = time.perf_counter() - began
        self.seconds.append(took / self.arm.share)
        if meter.peak_mb is not None:
            self.peak_mb = max(self.peak_mb or 0.0, meter.peak_mb)


def row(name: str, what: str, race: Race[B, R], reaches: Sequence[Reach] = (), notes: Sequence[str] = ()) -> Result:
    """The table's row of a race; a baseline that did a share of the work says so."""
    share = race.baseline.share
    scaled = [f"the baseline ran {share:.2%} of the work and is scaled up"] if share < 1 else []
    return Result(
        name=name,
        what=what,
        baseline=race.baseline.name,
        baseline_s=median(race.baseline_s),
        baseline_share=share,
        ours_s=median(race.ours_s),
        ratio=race.ratio,
        ratio_low=min(race.ratios),
        ratio_high=max(race.ratios),
        baseline_peak_mb=race.baseline_peak_mb,
        peak_mb=race.peak_mb,
        reaches=tuple(reaches),
        notes=(*scaled, *notes),
        load=race.load,
    )


def faster(race: Race[B, R], limit: float, judged: bool, what: str = "times as fast") -> Reach:
    """That the median ratio is at least so large."""
    return Reach(what=what, value=race.ratio, limit=limit, sense="at least", judged=judged)


def small(race: Race[B, R], limit_mb: float, judged: bool) -> list[Reach]:
    """That our peak is at most so large; nothing where peaks cannot be read."""
    if race.peak_mb is None:
        return []
    return [Reach(what="our peak, MB", value=race.peak_mb, limit=limit_mb, sense="at most", judged=judged)]


def equal(what: str, difference: float, limit: float) -> Reach:
    """That results differ by at most so much; judged at every scale."""
    return Reach(what=what, value=difference, limit=limit, sense="at most")
