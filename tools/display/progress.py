"""How far a stage is, how long it took and about how long it still takes: bars on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread
from typing import Any, TypeVar

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from tools.display.console import LineConsole
from tools.display.unseen import spell_out

T = TypeVar("T")
Status = str | Callable[[], str]
"""A few words that go with a task, or what says them whenever they are shown; it is called from another thread."""
EVERY = 20.0
"""Seconds between the lines on a console that is no terminal."""
WORTH_A_LINE = 2.0
"""Seconds after which a wait is told of."""


class Bars(Progress):
    """Tasks with counts, elapsed and remaining time, and what else there is to say of them (`status=`).

    Any user of `rich.progress.Progress` can be handed one. On a terminal the bars move and a task's status stands below
    them; elsewhere a line says every 20 seconds how far the task is. The finished bars are left on either.

    Args:
        console: where.
        stage: whose tasks these are; it is said to go on while none of them runs.
        every: seconds between lines.
        clock: of elapsed times, for tests.
    """

    def __init__(
        self,
        console: Console,
        stage: str = "",
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stage, self._clock, self._began, self._over = stage, clock, clock(), False
        super().__init__(
            TextColumn("{task.description:<28}", markup=False),
            BarColumn(20),
            MofNCompleteColumn(),
            _Times(),
            console=console,
            get_time=clock,
        )
        self._pulse = None if console.is_terminal else _Pulse(self.beat, every)

    def start(self) -> None:
        """Show them, and go on showing that they live."""
        self._began = self._clock()
        super().start()
        if self._pulse:
            self._pulse.start()

    def stop(self) -> None:
        """Leave the bars as they are now."""
        self._over = True
        if self._pulse:
            self._pulse.stop()
        if self.tasks:
            super().stop()
        else:  # nothing is left of them, not even an empty line
            self.live.transient = True
            self.live.stop()

    def add_task(
        self,
        description: str,
        start: bool = True,
        total: int | float | None = 100,
        completed: int = 0,
        visible: bool = True,
        **fields: Any,
    ) -> TaskID:
        """As rich's; `status` is one of the fields, here and in `update`. What was completed before says no speed."""
        return super().add_task(description, start, total, completed, visible, **{**fields, "before": completed})

    def seconds(self) -> dict[str, float]:
        """How long the tasks took by their descriptions, in the order in which they came; those of one name together."""
        took: dict[str, float] = {}
        for task in self.tasks:
            name = " ".join(task.description.split())
            lasted = task.elapsed if task.finished_time is None else task.finished_time
            took[name] = round(took.get(name, 0.0) + (lasted or 0.0), 3)
        return took

    def beat(self) -> None:
        """A line for every task that runs, or for the stage while none does."""
        for line in [describe_task(task) for task in self._running()] or self._between():
            self.console.print(line)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bars, and below them what else there is to say of those that move."""
        yield self.make_tasks_table(self.tasks)
        running = self._running()
        below = [f"{'':13}{status}" for task in running if (status := status_of(task))]
        for line in below if running else self._between():
            yield Text(line, no_wrap=True, overflow="ellipsis")

    def _running(self) -> list[Task]:
        return [] if self._over else [task for task in self.tasks if task.started and not task.finished]

    def _between(self) -> list[str]:
        """Of a stage that works at something which is not counted."""
        took = self._clock() - self._began
        if self._over or not self._stage or took < WORTH_A_LINE:
            return []
        return [f"{self._stage:<12} goes on, {clock_time(took)} so far"]


class _Times(ProgressColumn):
    """Elapsed, and while it runs about how much longer."""

    def render(self, task: Task) -> Text:
        if task.finished:
            return Text(str(timedelta(seconds=int(task.finished_time or 0.0))), style="progress.elapsed")
        left = seconds_left(task)
        ahead = "" if left is None else f", {clock_time(left)} left"
        return Text(f"{clock_time(task.elapsed or 0.0)}{ahead}", style="progress.elapsed")


class _Pulse:
    """Calls something again and again, from a thread of its own, until it is stopped."""

    def __init__(self, call: Callable[[], None], every: float) -> None:
        self._call, self._every = call, every
        self._ended = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._run, name="progress", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            self._call()


def describe_task(task: Task) -> str:
    """One line: what, how far, how long so far, about how much longer, and its status."""
    stage, _, words = task.description.partition(" ")
    count = "" if task.total is None else f" {int(task.completed)}/{int(task.total)}"
    parts = [f"{words.strip()}{count}".strip(), f"{clock_time(task.elapsed or 0.0)} so far"]
    left = seconds_left(task)
    if left is not None:
        parts.append(f"about {clock_time(left)} left")
    if status := status_of(task):
        parts.append(status)
    return f"{stage:<12} {', '.join(part for part in parts if part)}"


def seconds_left(task: Task) -> float | None:
    """At the rate of late, or where little is known of that, at the rate so far; None before anything is done."""
    if task.total is None or task.finished:
        return None
    rate = task.speed
    if not rate:
        done, elapsed = task.completed - task.fields.get("before", 0), task.elapsed
        rate = done / elapsed if elapsed and done > 0 else None
    return (task.total - task.completed) / rate if rate else None


def status_of(task: Task) -> str:
    """What else there is to say of a task just now."""
    status: Status = task.fields.get("status", "")
    return spell_out(status if isinstance(status, str) else status())


def clock_time(seconds: float) -> str:
    """1:02, or 1:02:03 from an hour on."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def track(
    items: Iterable[T], description: str, total: int | float | None = None, console: Console | None = None
) -> Iterator[T]:
    """The items, with a bar of how many there were."""
    with Bars(console or LineConsole()) as bars:
        yield from bars.track(items, total=total, description=description)


@contextmanager
def waiting(
    console: Console,
    what: str,
    lasting: bool = True,
    every: float = EVERY,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[None]:
    """Shows that something without a count goes on, and says how long it took if that was over two seconds.

    Args:
        console: where.
        what: stage and object, as a task's description: "load         model and SAE".
        lasting: whether how long it took is said.
        every: seconds between lines where the console is no terminal.
        clock: for tests.
    """
    began = clock()

    def say() -> None:
        console.print(f"{what}, {clock_time(clock() - began)} so far")

    if console.is_terminal:
        columns = (TextColumn("{task.description:<28}", markup=False), SpinnerColumn("line"), TimeElapsedColumn())
        with Progress(*columns, console=console, get_time=clock, transient=True) as progress:
            progress.add_task(what, total=None)
            yield
    else:
        pulse = _Pulse(say, every)
        pulse.start()
        try:
            yield
        finally:
            pulse.stop()
    if lasting and (took := clock() - began) > WORTH_A_LINE:
        console.print(f"{what} in {took:.1f} s")
