"""How many cores this process may use, how busy they are, and on how many threads to compute, that wait how.

A team of threads meets after every operation. By default one that is there first spins, for it will not be long; where
others use the cores it is long, and the spinning takes the core that the last one needs. So threads sleep while they
wait, always: that costs nothing where the cores are free. The libraries read how when they are loaded, so that
`settle_threads` comes before torch and numpy, and this module imports neither.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import NamedTuple

COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Of torch."""
PASSIVE = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",  # of libgomp, which torch brings on Linux
    "KMP_BLOCKTIME": "0",  # of LLVM's and Intel's, which it brings elsewhere
}
"""A thread that has nothing to do sleeps at once."""
NUMPY = "OPENBLAS_NUM_THREADS"
"""Of numpy and scipy, whose threads spin whatever they are told, so there is one: our products in numpy are small."""
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

    @property
    def free(self) -> float:
        """Cores that others leave."""
        return max(0.0, self.cores - self.others)


def settle_threads(asked: int | None, environment: MutableMapping[str, str] = os.environ) -> int:
    """Write the number of threads, and how they wait, where torch and numpy look when they are loaded.

    Once torch is loaded only the number can be changed, and only what is asked for is.

    Args:
        asked: number on the command line; None to leave it to the environment, and then to the machine.
        environment: to read and to write.

    Returns:
        The number.
    """
    if "torch" in sys.modules:
        import torch

        if asked:
            torch.set_num_threads(asked)
        return torch.get_num_threads()
    usable = Machine(len(usable_cores()), read_quota()).usable
    environment.update(choose_settings(asked, environment, usable))
    return read_count(environment) or usable


def choose_settings(asked: int | None, environment: Mapping[str, str], usable: int) -> dict[str, str]:
    """What to set in an environment, in which what the user has set stands, but for the number if one is asked for.

    There are as many threads as usable cores, busy or not: each gets its share of a core, and one that sleeps costs
    nothing.
    """
    settings: dict[str, str] = {}
    if asked or not read_count(environment):
        settings |= dict.fromkeys(COUNTS, str(asked or usable))
    if not environment.keys() & PASSIVE.keys():
        settings |= PASSIVE
    if NUMPY not in environment:
        settings[NUMPY] = "1"
    return settings


def describe_load(machine: Machine, threads: int) -> str | None:
    """One line for people where others leave us less than the threads could use, half a core aside; None elsewhere.

    The load average alone does not make a machine busy: it remembers for minutes what has ended, ourselves included, and
    knows little of what has just begun.
    """
    if machine.free >= min(threads, machine.usable) - 0.5:
        return None
    load = "" if machine.load is None else f"load {machine.load:.1f}, "
    cores = "one core" if machine.cores == 1 else f"{machine.cores} cores"
    ours = "one thread" if threads == 1 else f"{threads} threads"
    return (
        f"busy machine: {load}others use {machine.others:.1f} of {cores}; slower than usual, on {ours} "
        "(--threads N decides)"
    )


def read_count(environment: Mapping[str, str]) -> int | None:
    """The number of threads that the user's environment sets; None where it sets none that is a number."""
    for name in COUNTS:
        first = environment.get(name, "").split(",")[0].strip()  # OpenMP takes one number a level of nesting
        if first.isdecimal() and int(first) > 0:
            return int(first)
    return None


def look(seconds: float | None = None) -> Machine:
    """The machine as it is now; takes as long as it looks, by default `SAMPLE_SECONDS`."""
    import psutil

    own = usable_cores()
    before, began = _busy_seconds(own), time.perf_counter()
    time.sleep(SAMPLE_SECONDS if seconds is None else seconds)
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
    groups = [line.split(":", 2) for line in _read(root / "proc/self/cgroup").splitlines() if line.count(":") > 1]
    for _, kinds, path in groups:
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
