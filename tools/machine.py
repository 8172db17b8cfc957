"""How many cores this process may use, how busy they are, and on how many threads to compute.

The libraries read their settings when they are loaded: `settle_threads` comes before torch and numpy, and this module
imports neither.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import NamedTuple

COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
PASSIVE = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",  # of libgomp, which torch brings on Linux
    "KMP_BLOCKTIME": "0",  # of LLVM's and Intel's, which it brings elsewhere
    "OPENBLAS_THREAD_TIMEOUT": "4",  # 2^4 cycles, the least: numpy's and scipy's
}
"""A thread that has nothing to do sleeps at once, instead of keeping a core from the thread it waits for."""
SAMPLE_SECONDS = 0.25
_BUSY = ("user", "system", "irq", "softirq", "steal")
"""Of a core's time. What runs at a low priority (`nice`) makes way for us and is left out."""


class Machine(NamedTuple):
    """What there is, and what is left of it."""

    cores: int
    """That this process may run on."""
    quota: float | None = None
    """Cores' worth of time that it may use, where a control group sets a limit."""
    load: float | None = None
    """Processes that were running or waiting for a core, on average over the last minute; it counts ourselves."""
    others: float = 0.0
    """Cores of those that other processes keep busy just now."""

    @property
    def usable(self) -> int:
        """Whole cores, were nobody else there."""
        return max(1, self.cores if self.quota is None else min(self.cores, int(self.quota)))


class Threads(NamedTuple):
    """What was decided."""

    number: int
    note: str | None = None
    """One line for people where fewer threads are taken than there are cores."""


def choose_threads(machine: Machine, asked: int | None = None, given: int | None = None) -> Threads:
    """As many threads as cores are free, to the nearest whole core; one at least.

    A team of threads is as fast as its slowest: with one of them waiting for a core that others use, all of them do.
    The load average has no say: it remembers for minutes what has ended, ourselves included.

    Args:
        machine: as it is now.
        asked: on the command line; it decides.
        given: in the environment; it decides where nothing is asked.
    """
    if asked or given:
        return Threads(asked or given or 1)
    free = max(1, min(machine.usable, int(machine.cores - machine.others + 0.5)))
    if free >= machine.usable:
        return Threads(machine.usable)
    load = "" if machine.load is None else f"load {machine.load:.1f}, "
    of = "core" if machine.cores == 1 else "cores"
    count = "one thread" if free == 1 else f"{free} threads"
    return Threads(
        free,
        f"busy machine: {load}others use {machine.others:.1f} of {machine.cores} {of}; computing on {count} "
        "(--threads N decides)",
    )


def settle_threads(asked: int | None, environment: MutableMapping[str, str] = os.environ) -> Threads:
    """Decide, and write it where torch and numpy look when they are loaded: to be called before they are.

    How threads wait is the user's choice where the environment has one, and passive where it has none. Once torch is
    loaded only the number can be changed, and only what is asked for is.
    """
    given = read_count(environment)
    if "torch" in sys.modules:
        import torch

        if asked:
            torch.set_num_threads(asked)
        return Threads(torch.get_num_threads())
    decided = choose_threads(Machine(1) if asked or given else look(), asked, given)
    if asked or not given:
        environment.update(dict.fromkeys(COUNTS, str(decided.number)))
    if not environment.keys() & PASSIVE.keys():
        environment.update(PASSIVE)
    return decided


def read_count(environment: Mapping[str, str]) -> int | None:
    """The number of threads that the user's environment sets; None where it sets none that is a number."""
    for name in COUNTS:
        first = environment.get(name, "").split(",")[0].strip()  # OpenMP takes one number a level of nesting
        if first.isdecimal() and int(first) > 0:
            return int(first)
    return None


def look(seconds: float = SAMPLE_SECONDS) -> Machine:
    """The machine as it is now; takes as long as it looks."""
    import psutil

    own = usable_cores()
    before, began = _busy_seconds(own), time.perf_counter()
    time.sleep(seconds)
    took = time.perf_counter() - began
    others = min(float(len(own)), max(0.0, (_busy_seconds(own) - before) / took))
    return Machine(len(own), read_quota(), psutil.getloadavg()[0], others)


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may run on."""
    if sys.platform == "linux":
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _busy_seconds(cores: list[int]) -> float:
    import psutil

    every = psutil.cpu_times(percpu=True)
    return sum(getattr(every[core], kind, 0.0) for core in cores if core < len(every) for kind in _BUSY)


def read_quota(root: Path = Path("/")) -> float | None:
    """Cores' worth of time that the process's control groups allow, the tightest of them; None without a limit.

    Args:
        root: of the file system, for tests.
    """
    mounts = root / "sys/fs/cgroup"
    limits: list[float] = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        kinds, _, path = rest.partition(":")
        if not kinds:
            limits += [limit for group in _upward(mounts, path) if (limit := _limit_v2(group))]
        elif "cpu" in kinds.split(","):
            for mount in (mounts / kinds, mounts / "cpu"):
                limits += [limit for group in _upward(mount, path) if (limit := _limit_v1(group))]
    return min(limits, default=None)


def _upward(mount: Path, path: str) -> list[Path]:
    """A group and those it is in. Inside a container the path may be the host's; the mount itself is the group then."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _limit_v2(group: Path) -> float | None:
    quota, _, period = _read(group / "cpu.max").strip().partition(" ")
    return _ratio(quota, period or "100000")


def _limit_v1(group: Path) -> float | None:
    return _ratio(_read(group / "cpu.cfs_quota_us").strip(), _read(group / "cpu.cfs_period_us").strip())


def _ratio(quota: str, period: str) -> float | None:
    """None for `max` and -1, which are no limit."""
    if not (quota.isdecimal() and period.isdecimal() and int(quota) and int(period)):
        return None
    return int(quota) / int(period)


def _read(file: Path) -> str:
    try:
        return file.read_text("ascii", errors="replace")
    except OSError:
        return ""


def add_threads(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:  # pyright: ignore[reportPrivateUsage]
    """The flag `--threads`, the same for every command that computes."""
    parser.add_argument(
        "--threads",
        type=_thread_count,
        metavar="N",
        help="to compute on (default: OMP_NUM_THREADS, or as many as there are free cores)",
    )


def _thread_count(text: str) -> int:
    most = os.cpu_count() or 1
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {most}, the cores of this machine")
    return int(text)
