"""Damaged run folders: every command ends in its work, or in one line and exit status 1 or 2; never in a traceback."""

from __future__ import annotations

import random
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from starlette.testclient import TestClient

from agent import check, read, run
from evals import compare, export, score
from evals import run as examine
from evals.review.app import create_app
from evals.review.desk import Desk
from tests.security.damage import DAMAGES, files_of, restore
from tools.errors import UnveilError

Command = Callable[[Path], int]
FEATURE = {"measured": "base-000000", "judged": "base-000007"}


class Try(NamedTuple):
    """One damage to one file."""

    file: str
    damage: str
    seed: int


class End(NamedTuple):
    """How a command ended."""

    status: int
    said: str


def end_of(command: Command, copy: Path, capsys: pytest.CaptureFixture[str]) -> End:
    """Run it; a traceback is the test's own failure."""
    capsys.readouterr()
    status = command(copy)
    return End(status, capsys.readouterr().err)


def read_desk(copy: Path, feature: str) -> int:
    """Open the desk and look at its pages; 2 where it does not open, 1 where a page says that something does not read."""
    try:
        app = create_app(Desk.open([copy]))
    except UnveilError as error:
        assert "\n" not in str(error)
        return 2
    desk = TestClient(app, base_url="http://127.0.0.1:8765")
    pages = ("", f"/feature/{feature}", f"/feature/{feature}/transcript", "/label")
    found = [desk.get("/"), *(desk.get(f"/run/{copy.name}{page}") for page in pages)]
    assert {reply.status_code for reply in found} <= {200, 303, 404, 500}
    return max(int(reply.status_code >= 400) for reply in found)


def commands_on(feature: str, runs: Path, labels: Path, other: Path | None) -> dict[str, Command]:
    """What may be done with a run, by name, but for what loads a model."""
    found: dict[str, Command] = {
        "check": lambda copy: check.main([str(copy)]),
        "replay": lambda copy: run.main(["--replay", str(copy)]),
        "resume": lambda copy: run.main(["--resume", str(copy)]),
        "rejudge": lambda copy: run.main(["--rejudge", str(copy), "--judge", "rules", "--runs", str(runs)]),
        "read": lambda copy: read.main([str(copy), feature]),
        "evals.run": lambda copy: examine.main([str(copy), "--labels", str(labels)]),
        "export": lambda copy: export.main([str(copy), "--to", "neuronpedia", "--out", str(copy / "export")]),
        "desk": lambda copy: read_desk(copy, feature),
    }
    if other is not None:
        said = ["--no-weights", "--allow-different", "it is the same run"]
        found["compare"] = lambda copy: compare.main([str(copy), str(other), *said, "--out", str(copy / "c")])
    return found


def try_all(
    whole: Path,
    copy: Path,
    commands: dict[str, Command],
    tries: Sequence[Try],
    capsys: pytest.CaptureFixture[str],
) -> tuple[Counter[str], list[str]]:
    """Every damage with every command: how the tries ended, and what is wrong with those that ended badly."""
    edits = {damage.name: damage.do for damage in DAMAGES}
    ends: Counter[str] = Counter()
    bad: list[str] = []
    for one in tries:
        for name, command in commands.items():
            restore(whole, copy)
            edits[one.damage](copy / one.file, random.Random(str(one)))
            try:
                end = end_of(command, copy, capsys)
            except (Exception, SystemExit) as error:  # whatever escapes a command is what is looked for
                bad.append(f"{name} after {one}: {error!r} at {where(error)}")
                continue
            ends[f"{name} {end.status}"] += 1
            if complaint := complain(name, end):
                bad.append(f"{name} after {one}: {complaint}")
    return ends, bad


def complain(name: str, end: End) -> str | None:
    """What is wrong with an end; None for one of those that are allowed."""
    errors = [line for line in end.said.splitlines() if line.startswith("error: ")]
    if end.status not in (0, 1, 2) or "Traceback" in end.said:
        return f"status {end.status}: {end.said[-300:]}"
    if end.status == 2 and name != "desk" and (len(errors) != 1 or end.said.splitlines()[-1] != errors[0]):
        return f"not one line: {end.said[-300:]!r}"
    return None


def where(error: BaseException) -> str:
    """The last place of ours that an error came through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "nowhere"


def whole_copy(whole: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "whole" / whole.name
    restore(whole, copy)
    return copy


def list_tries(whole: Path, seeds: Sequence[int]) -> list[Try]:
    """Every damage to every file that it can be done to."""
    return [
        Try(file, damage.name, seed)
        for file in files_of(whole)
        for damage in DAMAGES
        if Path(file).suffix in damage.suffixes
        for seed in seeds
    ]


STRIDE = 263
"""Of all tries, every so many-th belongs to the suite."""


@pytest.mark.parametrize("kind", ["measured", "judged"])
@pytest.mark.parametrize(
    ("seeds", "stride"),
    [
        pytest.param([0], STRIDE, id="some"),
        pytest.param([1], 1, id="all", marks=[pytest.mark.endurance, pytest.mark.timeout(3600)]),
    ],
)
def test_damage_ends_in_work_or_in_one_line(
    kind: str,
    seeds: Sequence[int],
    stride: int,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    labels: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole: Path = request.getfixturevalue(kind)
    commands = commands_on(FEATURE[kind], tmp_path / "runs", labels, whole if kind == "measured" else None)
    for name, command in commands.items():
        assert command(whole_copy(whole, tmp_path)) == 0, f"{name} does not even work on a whole run"
    tries = list_tries(whole, seeds)[::stride]
    ends, bad = try_all(whole, tmp_path / "copies" / whole.name, commands, tries, capsys)
    sys.stdout.write(f"{kind}: {sum(ends.values()):,} tries; {dict(sorted(ends.items()))}\n")  # shown with -s
    assert not bad, "\n".join([f"{len(bad)} ended badly", *bad])
    assert sum(ends.values()) == len(tries) * len(commands)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("manifest.json", "cut"),
        ("manifest.json", "bump_schema"),
        ("decisions.jsonl", "remove"),
        ("decisions.jsonl", "add_foreign_line"),
        ("decisions.jsonl", "spoil_a_number"),
        ("evidence.jsonl", "drop_line"),
        ("evidence.jsonl", "become_folder"),
    ],
)
def test_a_damaged_run_is_scored_or_refused_in_one_line(
    measured: Path, tmp_path: Path, file: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What loads a model is tried less often."""
    commands: dict[str, Command] = {"score": lambda copy: score.main([str(copy), "--contexts", "2"])}
    ends, bad = try_all(measured, tmp_path / measured.name, commands, [Try(file, damage, 0)], capsys)
    assert not bad, bad
    assert ends.total() == 1
