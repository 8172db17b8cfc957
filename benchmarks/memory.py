"""Resident memory of this process, now and at its peak. Read from /proc; None on systems without it."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path
from typing import Self

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class PeakMeter:
    """Peak of resident memory in the block, less what was resident before it.

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
