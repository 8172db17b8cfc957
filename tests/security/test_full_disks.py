"""A disk without room stops each command with one line, damages nothing that was whole, and costs nothing twice."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from agent import run
from evals import compare, export, labels, score
from evals import run as examine
from tests.security.disks import full_disk
from tests.servers.openai_stub import serve
from tests.servers.score_stub import answering, shares_a_word

ROOMS = (0, 300, 3_000, 12_000)
"""Bytes that a file may have: what is written fits nowhere, or partly, or but for the longest."""
SOME_ROOMS = (0, 3_000)
"""The first and one more: those of commands that are tried in the suite, each time from the beginning."""
Command = Callable[[Path, Path], int]
COMMANDS: dict[str, Command] = {
    "evals.run": lambda copy, given: examine.main([str(copy), "--labels", str(given), "--programs"]),
    "evals.labels": lambda copy, given: labels.main(["own", str(given), "--out", str(copy / "written.csv")]),
    "evals.export neuronpedia": lambda copy, _: export.main([str(copy), "--to", "neuronpedia"]),
    "evals.export delphi": lambda copy, _: export.main([str(copy), "--to", "delphi"]),
    "evals.compare": lambda copy, _: compare.main(
        [str(copy), str(copy), "--no-weights", "--allow-different", "a test"]
    ),
    "evals.compare --summarise": lambda copy, _: compare.main(
        ["--summarise", str(copy), "--no-weights", "--out", str(copy / "written.jsonl")]
    ),
    "agent.run --rejudge": lambda copy, _: run.main(
        ["--rejudge", str(copy), "--judge", "rules", "--runs", str(copy.parent / "again")]
    ),
}


def files_below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def assert_stopped_by_the_disk(status: int, said: str) -> None:
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert status == 2 and len(lines) == 1 and "Traceback" not in said, said
    assert "File too large" in lines[0] and (
        "free some" in lines[0] or "make room" in lines[0] or "new run" in lines[0]
    )


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("rooms", [SOME_ROOMS, pytest.param(ROOMS, marks=pytest.mark.endurance)], ids=["some", "all"])
def test_a_command_without_room_says_so_and_leaves_what_there_was(
    name: str,
    rooms: Sequence[int],
    measured: Path,
    copy_of: Callable[[Path], Path],
    labels: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy, command = copy_of(measured), COMMANDS[name]
    for written in ("written.csv", "written.jsonl"):
        (copy / written).write_text("")
    for old in (copy / "exports", copy.parent / "again"):
        shutil.rmtree(old, ignore_errors=True)
    before, stopped = files_below(copy.parent), 0
    for room in rooms:
        capsys.readouterr()
        with full_disk(room):
            status = command(copy, labels)
        said = capsys.readouterr().err
        after = files_below(copy.parent)
        assert not [path for path in after if path.suffix == ".new" or ".new" in path.parent.name]
        if status == 0:
            break
        stopped += 1
        assert_stopped_by_the_disk(status, said)
        assert {path: after.get(path) for path in before} == before, "what was whole is whole"
    assert stopped, "the disk was never full"
    shutil.rmtree(copy / "exports", ignore_errors=True)
    assert command(copy, labels) == 0


def test_a_scoring_without_room_asks_nothing_twice(
    measured: Path, copy_of: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    copy = copy_of(measured)
    decided = [json.loads(line) | {"label": "doctor"} for line in (copy / "decisions.jsonl").read_text().splitlines()]
    (copy / "decisions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in decided))
    with serve(answering(shares_a_word)) as server:
        line = [str(copy), "--contexts", "6", "--llm-model", "m", "--base-url", server.base_url, "--shuffled", "2"]
        with full_disk(9_000):
            status = score.main([*line, "--concurrency", "1"])
        assert_stopped_by_the_disk(status, capsys.readouterr().err)
        calls = copy / "evals" / score.CALLS
        stored, asked = calls.read_bytes().count(b"\n"), len(server.requests)
        assert stored > 0 and asked <= stored + 3  # what did not fit, and what was on its way by then
        assert score.main(line) == 0
        assert len({str(request.body) for request in server.requests}) >= len(server.requests) - (asked - stored)


@pytest.mark.parametrize("room", ROOMS)
def test_a_run_without_room_is_none_or_goes_on(
    room: int, study_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    line = ["--study", str(study_folder), "--runs", str(runs), "--judge", "rules", "--controls", "0.05"]
    with full_disk(room):
        assert run.main(line) == 2
    assert_stopped_by_the_disk(2, capsys.readouterr().err)
    made = sorted(runs.iterdir()) if runs.exists() else []
    assert all(not path.name.startswith(".") for path in made), "no half of a folder"
    for folder in made:
        assert run.main(["--resume", str(folder)]) == 0
        assert run.main(["--replay", str(folder)]) == 0


@pytest.mark.parametrize("module", ["agent.check", "agent.read", "evals.run"])
def test_output_that_finds_no_room_is_one_line(module: str, measured: Path, labels: Path) -> None:
    more = {"agent.read": ["base-000000"], "evals.run": ["--labels", str(labels), "--programs"]}.get(module, [])
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-W", "ignore", "-m", module, str(measured), *more]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "No space left" in done.stderr


def test_help_that_finds_no_room_is_no_traceback() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "agent.run", "--help"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert "Traceback" not in done.stderr and done.stderr.count("\n") <= 1, done.stderr
