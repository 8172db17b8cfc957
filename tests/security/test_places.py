"""A run folder reaches nothing outside itself: links, pipes, names that climb; and its ends are mended without loss."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import check, read
from agent.errors import RunError
from agent.folder.places import clear_leftovers
from agent.folder.store import RunFolder
from agent.lines import mend_last_line
from agent.run import main

SECRET = "the reader's own words\n"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret.txt"
    file.write_text(SECRET)
    return file


@pytest.mark.parametrize(
    "name",
    [
        ".lock",
        "decisions.jsonl",
        "decisions.jsonl.new",
        "summary.json.new",
        "llm_calls.jsonl",
        "tool_calls.jsonl",
        "retried.jsonl",
        "evidence.jsonl",
        "report.html",
        "transcripts/base-000007.jsonl",
        "tables/strata.csv.new",
        "evals/agreement.md",
        "labels/ana.jsonl",
    ],
)
@pytest.mark.parametrize("flag", ["--resume", "--replay", "--rejudge"])
def test_a_link_is_refused_and_what_it_names_is_left_alone(
    judged: Path,
    copy_of: Callable[[Path], Path],
    secret: Path,
    name: str,
    flag: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = copy_of(judged)
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).unlink(missing_ok=True)
    (copy / name).symlink_to(secret)
    assert main([flag, str(copy)]) == 2
    error = capsys.readouterr().err
    assert f"{copy / name} is a link" in error and error.count("\n") == 1
    assert secret.read_text() == SECRET


def test_a_linked_folder_is_refused(judged: Path, copy_of: Callable[[Path], Path], tmp_path: Path) -> None:
    copy, elsewhere = copy_of(judged), tmp_path / "elsewhere"
    (copy / "transcripts").rename(elsewhere)
    (copy / "transcripts").symlink_to(elsewhere)
    with pytest.raises(RunError, match="is a link"):
        RunFolder.open(copy)


def test_a_run_may_be_named_by_a_link_of_the_users(judged: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(judged)
    assert check.main([str(tmp_path / "latest")]) == 0


@pytest.mark.parametrize("name", ["evidence.jsonl", "llm_calls.jsonl", "transcripts/base-000007.jsonl", "evals"])
def test_a_pipe_does_not_make_anyone_wait(judged: Path, copy_of: Callable[[Path], Path], name: str) -> None:
    copy = copy_of(judged)
    (copy / name).unlink(missing_ok=True)
    os.mkfifo(copy / name)
    assert check.main([str(copy)]) == 2
    assert read.main([str(copy), "7"]) == 2


@pytest.mark.parametrize("name", ["../outside", "/{tmp}/outside", "a/../../outside"])
def test_a_replay_writes_nothing_where_a_run_id_points(
    judged: Path, copy_of: Callable[[Path], Path], tmp_path: Path, name: str
) -> None:
    copy, run_id = copy_of(judged), name.replace("/{tmp}", str(tmp_path))
    for file in (copy / "manifest.json", copy / "decisions.jsonl"):
        file.write_text(file.read_text().replace(judged.name, run_id))
    before = sorted(path for path in tmp_path.rglob("*"))
    assert main(["--replay", str(copy)]) in (0, 1)
    assert sorted(path for path in tmp_path.rglob("*")) == before


LINE = b'{"a":"x"}'


@pytest.mark.parametrize(
    ("content", "mended"),
    [
        (b"", b""),
        (LINE + b"\n", LINE + b"\n"),
        (LINE + b"\n" + LINE, LINE + b"\n" + LINE + b"\n"),  # whole but for its line end
        (LINE + b"\n" + LINE[:-1], LINE + b"\n"),
        (LINE + b"\n" + b'{"', LINE + b"\n"),
        (LINE[:5], b""),
        (b'{"a":"' + b"x" * 20_000, b""),
    ],
)
def test_a_last_line_is_ended_or_taken_away(tmp_path: Path, content: bytes, mended: bytes) -> None:
    file = tmp_path / "f.jsonl"
    file.write_bytes(content)
    mend_last_line(file)
    assert file.read_bytes() == mended


@pytest.mark.parametrize(
    "content",
    [
        LINE + b"\r" + LINE,  # line ends of another system: all of it is one line
        (LINE + b"\n").decode().encode("utf-16"),
        LINE + b"\n" + b"\0" * 20,
        b"no JSON at all",
    ],
)
def test_what_no_kill_leaves_is_not_cut_off(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "f.jsonl"
    file.write_bytes(content)
    with pytest.raises(RunError, match="nothing was changed"):
        mend_last_line(file)
    assert file.read_bytes() == content


def test_damage_is_found_before_anything_is_cut_off(judged: Path, copy_of: Callable[[Path], Path]) -> None:
    copy = copy_of(judged)
    lines = (copy / "decisions.jsonl").read_bytes().splitlines(keepends=True)
    (copy / "decisions.jsonl").write_bytes(b"{}\n" + lines[1] + lines[2][:-40])
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    assert main(["--resume", str(copy)]) == 2
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def leave(runs: Path, name: str, age: float = 0) -> Path:
    folder = runs / name
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    os.utime(folder, (time.time() - age,) * 2)
    return folder


def test_leftovers_of_a_killed_start_are_cleared_and_nothing_else(tmp_path: Path) -> None:
    killed = leave(tmp_path, ".20260101T000000Z-pocket-base-3f2a.new")
    (killed / ".lock").touch()  # as a start leaves it that was killed
    old = leave(tmp_path, ".20260101T000000Z-pocket-base-0000.new", age=7200)
    kept = [
        leave(tmp_path, ".20260101T000000Z-pocket-base-ffff.new"),  # without a lock and young: perhaps just begun
        leave(tmp_path, ".notes.new", age=7200),
        leave(tmp_path, "20260101T000000Z-pocket-base-3f2a", age=7200),
        leave(tmp_path, ".20260101T000000Z-pocket-base-3f2a", age=7200),
    ]
    target = leave(tmp_path / "elsewhere", "precious", age=7200)
    link = tmp_path / ".20260101T000000Z-pocket-base-1111.new"
    link.symlink_to(target)
    clear_leftovers(tmp_path)
    assert not killed.exists() and not old.exists()
    assert all(path.is_dir() for path in (*kept, target)) and link.is_symlink()


def test_a_start_that_is_under_way_is_no_leftover(tmp_path: Path) -> None:
    folder = leave(tmp_path, ".20260101T000000Z-pocket-base-3f2a.new", age=7200)
    code = f"import fcntl, time; f = open({str(folder / '.lock')!r}, 'w'); fcntl.flock(f, 2); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        clear_leftovers(tmp_path)
        assert folder.is_dir()
        holder.kill()
    clear_leftovers(tmp_path)
    assert not folder.exists()


def test_a_start_clears_what_an_earlier_one_left(judged: Path, tmp_path: Path) -> None:
    killed = leave(tmp_path, ".20260101T000000Z-pocket-base-3f2a.new")
    (killed / ".lock").touch()
    assert main(["--rejudge", str(judged), "--judge", "rules", "--runs", str(tmp_path)]) == 0
    assert not killed.exists()
    (made,) = (path for path in tmp_path.iterdir() if (path / "manifest.json").is_file())
    assert json.loads((made / "manifest.json").read_bytes())["parent"] == judged.name


@pytest.mark.parametrize("depth", [17, 1_500])
def test_folders_within_folders_without_end_are_refused_in_one_line(
    judged: Path, copy_of: Callable[[Path], Path], depth: int, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = copy_of(judged)
    here = os.open(copy, os.O_RDONLY)
    try:
        for _ in range(depth):
            os.mkdir("d", dir_fd=here)
            inner = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
    finally:
        os.close(here)
    try:
        assert check.main([str(copy)]) == 2
        (said,) = capsys.readouterr().err.splitlines()
        assert said.startswith("error: ") and "deeper than 16 folders" in said
    finally:
        subprocess.run(["rm", "-rf", str(copy)], check=True)  # Python's own way of removing it ends in its stack
