"""The machine that figures come from: what it is, how busy it is besides us, and how much of its memory is ours."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Self

from benchmarks.records import Load, Machine

_STAT = Path("/proc/stat")
_BUSY = (0, 1, 2, 5, 6, 7)
"""Columns of the first line: user, nice, system, irq, softirq, and time stolen by other virtual machines."""
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def describe_machine(threads: int | None) -> Machine:
    """Processor, cores, torch's threads and versions."""
    import torch

    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        threads=threads or torch.get_num_threads(),
        python=platform.python_version(),
        torch=version("torch"),
    )


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    named = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()


class LoadMeter:
    """How busy others keep the cores, for timings taken then say little.

    Measures from entering to leaving the block. Child processes count as ours once they have been waited for.
    """

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


class PeakMeter:
    """Peak of resident memory in the block, less what was resident before it; None on systems without /proc.

    Memory that was freed but is still held is first given back, and the kernel's high-water mark is set to now, so that
    earlier work does not count. Each benchmark has a process of its own, so other benchmarks don't either.
    """

    peak_mb: float | None = None

    def __enter__(self) -> Self:
        gc.collect()
        _give_back_freed()
        self._before = resident_mb()
        self._cleared = _forget_peak()
        return self

    def __exit__(self, *exception: object) -> None:
        peak = _status_mb("VmHWM")
        if self._cleared and peak is not None and self._before is not None:
            self.peak_mb = max(0.0, peak - self._before)


def resident_mb() -> float | None:
    """Resident memory now, in MB of 10^6 bytes."""
    return _status_mb("VmRSS")


def _status_mb(field: str) -> float | None:
    if not _STATUS.is_file():
        return None
    line = next((line for line in _STATUS.read_text("ascii").splitlines() if line.startswith(f"{field}:")), None)
    return int(line.split()[1]) * 1024 / 1e6 if line else None


def _forget_peak() -> bool:
    try:
        _CLEAR.write_text("5", "ascii")
    except OSError:
        return False
    return True


def _give_back_freed() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)
