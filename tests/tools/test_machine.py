"""How many cores there are, how busy they are, and on how many threads to compute."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tools.machine import (
    COUNTS,
    NUMPY,
    PASSIVE,
    Machine,
    describe_load,
    look,
    read_count,
    read_quota,
    settle_threads,
    usable_cores,
)

ROOT = Path(__file__).parents[2]
machines = st.builds(
    Machine,
    cores=st.integers(1, 256),
    quota=st.none() | st.floats(0.1, 300),
    load=st.none() | st.floats(0, 1000),
    others=st.floats(0, 256),
)


@pytest.fixture(autouse=True)
def others_on_the_machine() -> None:
    """As they are: this is what is tested here."""


@pytest.mark.parametrize(
    ("machine", "threads", "busy"),
    [
        (Machine(2, load=0.3, others=0.0), 2, False),
        (Machine(2, load=5.1, others=2.0), 2, True),
        (Machine(2, load=0.2, others=2.0), 2, True),  # what others have just begun is not in the average yet
        (Machine(2, load=6.0, others=0.1), 2, False),  # and what has just ended still is
        (Machine(2, load=1.0, others=1.0), 1, False),
        (Machine(2, load=1.6, others=1.6), 1, True),
        (Machine(64, quota=2.0, load=40.0, others=40.0), 64, False),  # enough is free for what we may use
        (Machine(64, quota=4.0, load=62.0, others=62.0), 4, True),
        (Machine(1, load=0.0), 1, False),
        (Machine(1, load=9.0, others=1.0), 1, True),
    ],
)
def test_machine_is_busy_where_others_leave_less_than_the_threads_could_use(
    machine: Machine, threads: int, busy: bool
) -> None:
    assert (describe_load(machine, threads) is not None) == busy


@given(machines, st.integers(1, 256), st.floats(0, 256))
def test_machine_that_is_busy_stays_so_when_others_do_more(machine: Machine, threads: int, more: float) -> None:
    busier = machine._replace(others=machine.others + more)
    assert describe_load(machine, threads) is None or describe_load(busier, threads) is not None
    assert 1 <= machine.usable <= machine.cores


@given(machines, st.integers(1, 256))
def test_machine_nobody_else_uses_is_never_busy(machine: Machine, threads: int) -> None:
    assert describe_load(machine._replace(others=0.0), threads) is None


def test_note_is_one_line_that_names_load_cores_threads_and_the_flag() -> None:
    assert describe_load(Machine(2, load=5.1, others=1.94), 2) == (
        "busy machine: load 5.1, others use 1.9 of 2 cores; slower than usual, on 2 threads (--threads N decides)"
    )
    assert describe_load(Machine(1, others=1.0), 1) == (
        "busy machine: others use 1.0 of one core; slower than usual, on one thread (--threads N decides)"
    )


@pytest.mark.parametrize(
    ("environment", "number"),
    [
        ({}, None),
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"MKL_NUM_THREADS": "2"}, 2),
        ({"OMP_NUM_THREADS": ""}, None),
        ({"OMP_NUM_THREADS": "0"}, None),
        ({"OMP_NUM_THREADS": "many"}, None),
        ({"OMP_NUM_THREADS": "-1", "MKL_NUM_THREADS": "5"}, 5),
    ],
)
def test_number_in_the_environment_is_read_where_it_is_one(environment: dict[str, str], number: int | None) -> None:
    assert read_count(environment) == number


def write_groups(root: Path, cgroup: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": cgroup, **{f"sys/fs/cgroup/{k}": v for k, v in files.items()}}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


V1 = "9:memory:/box\n4:cpu,cpuacct:/box/inner\n0::/"


@pytest.mark.parametrize(
    ("cgroup", "files", "quota"),
    [
        ("0::/", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("0::/", {"cpu.max": "50000"}, 0.5),
        ("0::/", {"cpu.max": "what is this"}, None),
        ("0::/", {}, None),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000", "cpu.max": "400000 100000"}, 3.0),
        ("0::/../../docker/9f", {"cpu.max": "200000 100000"}, 2.0),  # the host's path, which is not there inside
        (
            V1,
            {"cpu,cpuacct/box/inner/cpu.cfs_quota_us": "-1", "cpu,cpuacct/box/inner/cpu.cfs_period_us": "100000"},
            None,
        ),
        (V1, {"cpu/box/cpu.cfs_quota_us": "250000", "cpu/box/cpu.cfs_period_us": "100000"}, 2.5),
        (V1, {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "0"}, None),
        ("", {"cpu.max": "100000 100000"}, None),
    ],
)
def test_tightest_limit_of_the_control_groups_is_the_quota(
    tmp_path: Path, cgroup: str, files: dict[str, str], quota: float | None
) -> None:
    assert read_quota(write_groups(tmp_path, cgroup, files)) == quota


def test_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert read_quota(tmp_path) is None


def test_process_that_spins_is_seen_as_another() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"])
    try:
        found = look(1.0)
    finally:
        child.kill()
        child.wait()
    assert found.others > 0.4
    assert found.others <= found.cores <= (os.cpu_count() or 1)


def settled(environment: dict[str, str], asked: int | None = None) -> dict[str, str]:
    """The environment of a fresh process that has settled its threads, with their number and what was loaded."""
    code = (
        "import json, os, sys\nfrom tools.machine import settle_threads\n"
        f"number = settle_threads({asked})\n"
        "loaded = sorted({'torch', 'numpy'} & set(sys.modules))\n"
        "print(json.dumps({'number': str(number), 'loaded': ' '.join(loaded), **os.environ}))"
    )
    return json.loads(run_fresh(code, environment))


def run_fresh(code: str, environment: dict[str, str]) -> str:
    """What a process prints whose environment says nothing of threads but this."""
    bare = {name: value for name, value in os.environ.items() if name not in {*COUNTS, *PASSIVE, NUMPY}}
    process = [sys.executable, "-c", code]
    return subprocess.run(
        process, cwd=ROOT, env={**bare, **environment}, capture_output=True, text=True, check=True
    ).stdout


def test_threads_are_as_many_as_usable_cores_and_sleep_while_they_wait() -> None:
    found = settled({})
    assert found["loaded"] == ""
    assert found["number"] == str(Machine(len(usable_cores()), read_quota()).usable)
    assert {found[name] for name in COUNTS} == {found["number"]}
    assert {name: found[name] for name in PASSIVE} == PASSIVE
    assert found[NUMPY] == "1"


def test_number_asked_for_stands_above_the_environment() -> None:
    found = settled({"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}, asked=1)
    assert [found[name] for name in ("number", *COUNTS)] == ["1", "1", "1"]


def test_what_the_user_set_in_the_environment_is_kept() -> None:
    kept = {"OMP_NUM_THREADS": "3", "OMP_WAIT_POLICY": "ACTIVE", NUMPY: "2"}
    found = settled(kept)
    assert found["number"] == "3"
    assert {name: found.get(name) for name in {*COUNTS, *PASSIVE, NUMPY}} == {
        **dict.fromkeys({*COUNTS, *PASSIVE, NUMPY}),
        **kept,
    }


@pytest.mark.parametrize("asked", range(1, (os.cpu_count() or 1) + 1))
def test_command_has_settled_its_threads_before_torch_is_loaded(asked: int, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom agent.run import main\n"
        f"main(['--dry-run', '--study', 'nosuch', '--threads', '{asked}'])\n"
        "assert 'torch' not in sys.modules\nimport torch\nprint(torch.get_num_threads())"
    )
    assert run_fresh(code, {"MKL_NUM_THREADS": "7"}).split() == [str(asked)]


def test_environment_is_left_alone_once_torch_is_loaded() -> None:
    environment: dict[str, str] = {}
    assert settle_threads(None, environment) == torch.get_num_threads()
    assert environment == {}


COMMANDS = {
    "agent.run": [],
    "evals.score": ["runs/RUN"],
    "evals.compare": ["runs/A", "runs/B"],
    "tools.training": ["base", "--data", "texts"],
    "benchmarks": [],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("threads", ["0", "-1", "many", "1.5", "", "100000"])
def test_number_that_no_machine_has_is_refused_by_every_command(
    command: str, threads: str, capsys: pytest.CaptureFixture[str]
) -> None:
    module = import_module(command if "." in command and command != "tools.training" else f"{command}.__main__")
    with pytest.raises(SystemExit) as stopped:
        module.parse_arguments([*COMMANDS[command], "--threads", threads])
    assert stopped.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"argument --threads: {threads!r} is not a whole number from 1 to {os.cpu_count()}" in error
