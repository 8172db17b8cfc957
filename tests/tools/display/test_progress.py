"""Bars on a terminal, lines elsewhere: how far, how long, how much longer, and that it lives."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tools.display.progress import Bars, clock_time, seconds_left, track, waiting


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make_console(terminal: bool = False, width: int = 80) -> Console:
    return Console(
        file=StringIO(), force_terminal=terminal, width=width, highlight=False, soft_wrap=True, color_system=None
    )


def shown(console: Console) -> list[str]:
    assert isinstance(console.file, StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def draw(bars: Bars) -> list[str]:
    console = make_console()
    console.print(bars.get_renderable())
    return [line for line in shown(console) if line]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_line_says_how_far_how_long_and_about_how_much_longer(clock: Clock) -> None:
    bars = Bars(make_console(), clock=clock)
    task = bars.add_task("observe      steering", total=735)
    clock.now += 62
    bars.update(task, completed=210)
    bars.beat()
    assert shown(bars.console) == ["observe      steering 210/735, 1:02 so far, about 2:35 left"]


def test_line_says_nothing_of_the_future_before_anything_is_done(clock: Clock) -> None:
    bars = Bars(make_console(), clock=clock)
    bars.add_task("observe      steering", total=735)
    clock.now += 20
    bars.beat()
    assert shown(bars.console) == ["observe      steering 0/735, 0:20 so far"]


def test_what_was_done_before_says_no_speed(clock: Clock) -> None:
    bars = Bars(make_console(), clock=clock)
    task = bars.add_task("investigate  features", total=100, completed=80)
    clock.now += 10
    assert seconds_left(bars.tasks[task]) is None
    bars.update(task, advance=10)
    assert seconds_left(bars.tasks[task]) == pytest.approx(10)


def test_rate_of_late_counts_and_not_a_slow_start(clock: Clock) -> None:
    bars = Bars(make_console(), clock=clock)
    task = bars.add_task("train        steps", total=100)
    clock.now += 600  # compiling
    for _ in range(10):
        clock.now += 1
        bars.update(task, advance=1)
    assert seconds_left(bars.tasks[task]) == pytest.approx(90, rel=0.2)


@given(st.integers(1, 10_000), st.floats(0.1, 1e5), st.data())
def test_steady_work_ends_when_it_is_said_to(total: int, each: float, data: st.DataObject) -> None:
    done = data.draw(st.integers(1, total))
    clock = Clock()
    bars = Bars(make_console(), clock=clock)
    task = bars.add_task("x", total=total + 1)
    clock.now += each * done
    bars.update(task, completed=done)
    assert seconds_left(bars.tasks[task]) == pytest.approx(each * (total + 1 - done))


@pytest.mark.parametrize("status", ["12 calls, 3 failed", lambda: "12 calls, 3 failed"])
def test_status_stands_in_the_line_and_below_the_bar(status: str | Callable[[], str], clock: Clock) -> None:
    bars = Bars(make_console(), clock=clock)
    task = bars.add_task("investigate  features", total=147)
    bars.update(task, completed=3, status=status)
    clock.now += 60
    bars.beat()
    assert shown(bars.console) == ["investigate  features 3/147, 1:00 so far, about 48:00 left, 12 calls, 3 failed"]
    assert draw(bars)[-1] == "             12 calls, 3 failed"


def test_finished_bars_read_as_ever_and_carry_neither_status_nor_rest(clock: Clock) -> None:
    bars = Bars(make_console(), "observe", clock=clock)
    with bars:
        task = bars.add_task("observe      contexts", total=1015, status="something")
        clock.now += 9.4
        bars.update(task, completed=1015)
        clock.now += 50
    assert shown(bars.console) == [f"observe      contexts        {'━' * 20} 1015/1015 0:00:09"]


def test_bar_with_its_times_fits_eighty_columns(clock: Clock) -> None:
    bars = Bars(make_console(terminal=True), clock=clock)
    task = bars.add_task("observe      causal effect", total=1015)
    bars.update(task, completed=300)
    clock.now += 599
    assert draw(bars)[0].endswith(" 300/1015 9:59, 23:48 left")


def test_stage_goes_on_between_its_tasks_and_says_so(clock: Clock) -> None:
    bars = Bars(make_console(), "observe", clock=clock)
    task = bars.add_task("observe      contexts", total=1)
    bars.update(task, completed=1)
    bars.beat()
    assert shown(bars.console) == []  # it has hardly begun
    clock.now += 75
    bars.beat()
    assert shown(bars.console) == ["observe      goes on, 1:15 so far"]
    assert draw(bars)[-1] == "observe      goes on, 1:15 so far"


def test_a_stage_says_how_long_its_tasks_took_those_of_one_name_together(clock: Clock) -> None:
    bars = Bars(Console(file=StringIO()), clock=clock)
    for took in (3.0, 4.0):
        task = bars.add_task("observe      steering", total=2)
        clock.now += took
        bars.update(task, completed=2)
        clock.now += 10
    bars.add_task("observe      causal effect", total=2)
    clock.now += 5
    assert bars.seconds() == {"observe steering": 7.0, "observe causal effect": 5.0}


def test_lines_come_at_their_interval_while_nothing_moves_and_stop_with_the_stage() -> None:
    console = make_console()
    with Bars(console, every=0.05) as bars:
        bars.add_task("observe      steering", total=735)
        deadline = time.monotonic() + 20
        while len(shown(console)) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    lines = shown(console)
    assert lines[:3] == ["observe      steering 0/735, 0:00 so far"] * 3
    time.sleep(0.2)
    assert shown(console) == lines


@pytest.mark.parametrize("terminal", [False, True])
def test_a_stage_without_a_task_leaves_no_line(terminal: bool) -> None:
    console = Console(file=StringIO(), force_terminal=terminal, width=80)
    with Bars(console, "select"):
        pass
    assert isinstance(console.file, StringIO)
    assert "\n" not in console.file.getvalue()


def test_terminal_gets_bars_and_no_lines() -> None:
    console = make_console(terminal=True)
    with Bars(console, every=0.01) as bars:
        bars.add_task("observe      steering", total=735)
        time.sleep(0.1)
    assert not any("so far" in line for line in shown(console))


def test_error_in_a_stage_ends_its_lines() -> None:
    console = make_console()
    with pytest.raises(ValueError, match="broken"), Bars(console, every=0.01) as bars:
        bars.add_task("observe      steering", total=735)
        raise ValueError("broken")
    lines = shown(console)
    time.sleep(0.1)
    assert shown(console) == lines


def test_every_item_is_tracked_in_order() -> None:
    console = make_console()
    assert list(track(range(5), "read         runs", console=console)) == list(range(5))
    assert shown(console)[0].split()[:2] == ["read", "runs"]
    assert "5/5" in shown(console)[0]


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize(("took", "told"), [(1.9, False), (3.6, True)])
def test_wait_is_told_of_when_it_took_over_two_seconds(terminal: bool, took: float, told: bool, clock: Clock) -> None:
    console = make_console(terminal)
    with waiting(console, "load         model and SAE", clock=clock):
        clock.now += took
    assert any(line.endswith("load         model and SAE in 3.6 s") for line in shown(console)) == told


def test_wait_that_lasts_shows_that_it_goes_on_and_leaves_nothing_if_told_so() -> None:
    console = make_console()
    with waiting(console, "load         libraries", lasting=False, every=0.05):
        deadline = time.monotonic() + 20
        while not shown(console) and time.monotonic() < deadline:
            time.sleep(0.01)
    assert set(shown(console)) == {"load         libraries, 0:00 so far"}


def test_wait_that_fails_is_not_said_to_have_ended(clock: Clock) -> None:
    console = make_console()
    with pytest.raises(ValueError), waiting(console, "load         model and SAE", clock=clock):
        clock.now += 100
        raise ValueError
    assert shown(console) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0:00"), (59.6, "1:00"), (62.0, "1:02"), (3599.0, "59:59"), (3723.0, "1:02:03"), (-1.0, "0:00")],
)
def test_times_read_like_a_clock(seconds: float, text: str) -> None:
    assert clock_time(seconds) == text
