"""What is made of times and peaks, on known numbers."""

from __future__ import annotations

import pytest

from benchmarks.machine import LoadMeter, PeakMeter, resident_mb
from benchmarks.measure import Arm, Race, equal, faster, race, row, small
from benchmarks.records import Load, Reach

QUIET = Load(average=0.1, others=0.0, cores=2)


def make_race(
    baseline_s: list[float], ours_s: list[float], share: float = 1.0, peak: float | None = 5.0
) -> Race[int, int]:
    baseline: Arm[int] = Arm("a loop", lambda: 1, share)
    return Race(baseline, baseline_s, ours_s, 90.0, peak, 1, 1, QUIET)


def test_ratio_is_the_median_of_the_rounds_not_the_ratio_of_medians() -> None:
    found = row("x", "work", make_race([10.0, 30.0, 12.0], [1.0, 10.0, 2.0]))
    assert found.ratio == 6.0, "of 10, 3 and 6"
    assert (found.ratio_low, found.ratio_high) == (3.0, 10.0)
    assert (found.baseline_s, found.ours_s) == (12.0, 2.0)


def test_arms_take_turns_at_going_first() -> None:
    order: list[str] = []
    found = race(Arm("", lambda: order.append("baseline")), Arm("", lambda: order.append("ours")), rounds=3)
    assert order == ["baseline", "ours", "ours", "baseline", "baseline", "ours"]
    assert len(found.ratios) == 3


def test_results_of_both_arms_are_kept() -> None:
    found = race(Arm("", lambda: "loop"), Arm("", lambda: 3), rounds=2)
    assert (found.baseline_result, found.ours_result) == ("loop", 3)


def test_seconds_of_a_share_are_scaled_to_the_whole() -> None:
    turns = iter(range(100))
    found = race(Arm("", lambda: sum(range(200_000)), share=0.001), Arm("", lambda: next(turns)), rounds=1)
    alone = race(Arm("", lambda: sum(range(200_000))), Arm("", lambda: next(turns)), rounds=1)
    assert found.baseline_s[0] > 50 * alone.baseline_s[0]


def test_row_of_a_share_says_so() -> None:
    found = row("x", "work", make_race([10.0], [1.0], share=0.25), notes=["more"])
    assert found.notes == ("the baseline ran 25.00% of the work and is scaled up", "more")
    assert found.baseline_share == 0.25


def test_no_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="0 rounds measure nothing"):
        race(Arm("", lambda: 1), Arm("", lambda: 1), rounds=0)


@pytest.mark.parametrize(
    ("sense", "value", "met"),
    [("at least", 8.0, True), ("at least", 7.9, False), ("at most", 8.0, True), ("at most", 8.1, False)],
)
def test_a_reach_is_met_on_its_side_of_the_limit(sense: str, value: float, met: bool) -> None:
    reach = Reach.model_validate({"what": "x", "value": value, "limit": 8.0, "sense": sense})
    assert reach.met is met


def test_reaches_are_read_off_a_race() -> None:
    found = make_race([10.0], [2.0])
    assert faster(found, 5.0, judged=True).met
    assert not faster(found, 5.1, judged=True).met
    assert [reach.met for reach in small(found, 4.0, judged=True)] == [False]
    assert small(make_race([1.0], [1.0], peak=None), 4.0, judged=True) == []
    assert equal("difference", 0.0, 0.0).met


def test_peak_counts_what_was_freed_again_and_nothing_from_before() -> None:
    if resident_mb() is None:
        pytest.skip("this system does not say how much memory is resident")
    before = bytearray(64_000_000)
    del before
    with PeakMeter() as idle:
        pass
    with PeakMeter() as busy:
        held = bytearray(64_000_000)
        del held
    assert idle.peak_mb is not None and busy.peak_mb is not None
    assert idle.peak_mb < 5
    assert busy.peak_mb == pytest.approx(64, abs=5)


def test_others_are_what_is_busy_and_not_ours() -> None:
    with LoadMeter() as meter:
        sum(range(3_000_000))
    assert meter.load.others is None or 0 <= meter.load.others <= meter.load.cores + 0.5


@pytest.mark.parametrize(("others", "disturbed"), [(None, False), (0.1, False), (0.3, True)])
def test_timings_are_mistrusted_when_others_use_a_tenth_of_the_cores(others: float | None, disturbed: bool) -> None:
    assert Load(average=2.0, others=others, cores=2).disturbed is disturbed
