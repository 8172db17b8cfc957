"""How busy the machine is besides us: timings taken while others use the cores say little."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Self

from benchmarks.records import Load

_STAT = Path("/proc/stat")
_BUSY = (0, 1, 2, 5, 6, 7)
"""Columns of the first line: user, nice, system, irq, softirq, and time stolen by other virtual machines."""


class LoadMeter:
    """Measures from entering to leaving the block. Child processes count as ours once they have been waited for."""

    def __enter__(self) -> Self:
        self._average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        self._began = time.perf_counter()
        self._busy, self._own = _busy_seconds(), _own_seconds()
        return self

    def __exit__(self, *exception: object) -> None:
        wall = time.perf_counter() - self._began
        busy = _busy_seconds()
        others = None
        if busy is not None and self._busy is not None and wall > 0:
            others = max(0.0, (busy - self._busy - (_own_seconds() - self._own)) / wall)
        self.load = Load(average=self._average, others=others, cores=os.cpu_count() or 1)


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _busy_seconds() -> float | None:
    """Seconds that all cores together have been busy since the start of the system; None where it does not say."""
    if not _STAT.is_file():
        return None
    ticks = [int(word) for word in _STAT.read_text("ascii").splitlines()[0].split()[1:]]
    return sum(ticks[column] for column in _BUSY) / os.sysconf("SC_CLK_TCK")
