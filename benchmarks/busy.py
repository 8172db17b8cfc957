"""Steered texts on the machine as it is and beside processes that spin, with threads that wait as we let them and as they would.

Each setting has a process of its own, for the libraries read it when they are loaded. Both are loaded before anything
spins, and only the instrument's call is timed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.material.assets import load_quietly, make_study
from benchmarks.measure import Arm, Race, equal, faster, race, row
from benchmarks.records import Result, Scale, Setting
from benchmarks.steering import STEERING, continue_prompt
from tools.bench.compute import Compute
from tools.bench.workbench import Workbench
from tools.machine import COUNTS, NUMPY, PASSIVE, Machine, choose_settings, read_quota, usable_cores
from tools.study.reading import load_study


class Size(NamedTuple):
    """How much is generated in one call."""

    features: int
    new_tokens: int


class Made(NamedTuple):
    """What a call made, and the processor's seconds that it took."""

    tokens: list[int]
    cpu_s: float


SIZES: dict[Scale, Size] = {"small": Size(features=3, new_tokens=3), "full": Size(features=8, new_tokens=5)}
TIMES = 2.0
"""Beside processes that spin; the seconds of spinning threads vary much, so less is asked for than is usual."""
NO_WORSE = 0.8
SPINNING = 2
"""Processes a core."""
SPIN = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass"
"""Ends by itself too when whoever started it, whose id it is given, is gone: even before it has looked."""


def measure(setting: Setting) -> list[Result]:
    """The same call in either setting: as the machine is, then with two spinning processes a core beside it."""
    size, usable = SIZES[setting.scale], Machine(len(usable_cores()), read_quota()).usable
    n = SPINNING * usable
    with TemporaryDirectory() as folder, ExitStack() as stack:
        make_study(Path(folder), setting.scale, STEERING)
        theirs = stack.enter_context(open_process({}))
        ours = stack.enter_context(open_process(choose_settings(None, {}, usable)))
        spin = Arm("threads that spin while they wait", lambda: theirs.submit(steer, folder, size).result())
        sleep = Arm("", lambda: ours.submit(steer, folder, size).result())
        for arm in (spin, sleep):
            arm.run()  # loads
        alone = race(spin, sleep, setting.rounds)
        with spinning(n):
            beside = race(spin, sleep, setting.rounds)
    judged = setting.scale == "full"
    return [
        _row("busy: as it is", "on the machine as it is", size, alone, NO_WORSE, judged),
        _row("busy: beside", f"beside {n} processes that spin", size, beside, TIMES, judged),
    ]


def _row(name: str, where: str, size: Size, found: Race[Made, Made], limit: float, judged: bool) -> Result:
    baseline, ours = found.baseline_result, found.ours_result
    different = sum(a != b for a, b in zip(baseline.tokens, ours.tokens, strict=True))
    return row(
        name,
        f"{2 * size.features} texts of {size.new_tokens} tokens, {where}",
        found,
        reaches=[
            faster(found, limit, judged),
            equal("share of tokens that differ", different / len(ours.tokens), 0.02),
        ],
        notes=[f"processor's seconds of the last round: baseline {baseline.cpu_s:.2f}, ours {ours.cpu_s:.2f}"],
    )


@contextmanager
def spinning(n: int) -> Generator[list[int]]:
    """So many processes that use a core each, for as long as the block lasts; their ids."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(n):
            processes.append(subprocess.Popen([sys.executable, "-S", "-c", SPIN, str(os.getpid())]))
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


@contextmanager
def open_process(settings: Mapping[str, str]) -> Generator[ProcessPoolExecutor]:
    """A process whose environment says of threads what the settings say, and nothing else; ours is as it was."""
    kept = {name: os.environ.pop(name) for name in {*COUNTS, *PASSIVE, NUMPY} & os.environ.keys()}
    os.environ.update(settings)
    try:
        pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        pool.submit(os.getpid).result()  # it has begun, and has its environment
    finally:
        for name in settings:
            os.environ.pop(name, None)
        os.environ.update(kept)
    with pool:
        yield pool


def steer(folder: str, size: Size) -> Made:
    """The call: features in one batch beside their unsteered twins, on a bench that is loaded once a process."""
    bench = _load(folder)
    began = time.process_time()
    tokens = continue_prompt(bench, list(range(size.features)), size.new_tokens)
    return Made(tokens.ravel().tolist(), time.process_time() - began)


@cache
def _load(folder: str) -> Workbench:
    return load_quietly(load_study(folder), Compute())
