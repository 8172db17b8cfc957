"""What spins beside a measurement ends with it, whatever happens, and settings reach one process alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks.busy import SIZES, SPIN, open_process, spinning, steer
from benchmarks.material.assets import make_study
from benchmarks.steering import STEERING

ROOT = Path(__file__).parents[2]


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 20
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(psutil.pid_exists(pid) for pid in pids)


def test_processes_spin_for_as_long_as_the_block_and_no_longer() -> None:
    with spinning(2) as pids:
        time.sleep(0.5)
        assert all(sum(psutil.Process(pid).cpu_times()[:2]) > 0 for pid in pids)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_processes_end_with_an_error_in_the_block() -> None:
    with pytest.raises(ValueError, match="broken"), spinning(2) as pids:
        raise ValueError("broken")
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_processes_end_when_who_started_them_was_killed() -> None:
    start = f"subprocess.Popen([sys.executable, '-S', '-c', {SPIN!r}, str(os.getpid())]).pid"
    code = f"import os, subprocess, sys\nprint({start}, {start}, flush=True)\ninput()"
    starter = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert starter.stdout is not None
    pids = [int(word) for word in starter.stdout.readline().split()]
    starter.kill()
    starter.communicate()
    assert len(pids) == 2
    assert gone(pids)


def test_the_call_that_is_timed_makes_the_same_texts_each_time(tmp_path: Path) -> None:
    make_study(tmp_path, "small", STEERING)
    size = SIZES["small"]
    one, two = (steer(str(tmp_path), size) for _ in range(2))
    assert one.tokens == two.tokens and len(one.tokens) == 2 * size.features * size.new_tokens
    assert one.cpu_s > 0


def test_settings_reach_the_process_and_leave_ours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    before = dict(os.environ)
    with open_process({"OMP_WAIT_POLICY": "PASSIVE"}) as process:
        assert dict(os.environ) == before
        assert process.submit(os.getenv, "OMP_WAIT_POLICY").result() == "PASSIVE"
        assert process.submit(os.getenv, "OMP_NUM_THREADS").result() is None
