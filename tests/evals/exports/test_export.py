"""python -m evals.export: what it refuses, in one line, and that nothing is lost or left behind."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evals.export import FORMATS, main
from evals.exports.source import new_output
from evals.manual.own import write_own
from tests.evals.exports.runs import usual_decisions, write_finished
from tests.evals.worlds import label


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_finished(tmp_path / "run", usual_decisions())


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a refusal is."""
    try:
        assert main([str(argument) for argument in arguments]) == 2
    except SystemExit as refused:
        assert refused.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    return said.err


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    write_own(tmp_path / "labels.jsonl", [label(1, "yes")])
    return tmp_path / "labels.jsonl"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "csv"], "invalid choice: 'csv' (choose from 'neuronpedia', 'delphi', 'inspect')"),
        (["--to", "inspect", "--out", "log.json"], "ends in .eval"),
        (["--to", "delphi", "--source-id", "8-res-jb"], "--to delphi has no place for --source-id"),
        (["--to", "inspect", "--programs"], "--labels"),
        (["--to", "inspect", "--labels", "nowhere.jsonl"], "cannot be read"),
        (["--to", "delphi", "--labels", "{labels}"], "--to delphi has no place for --labels"),
    ],
)
def test_bad_arguments_are_one_line(
    run: Path, labels: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(capsys, run, *(part.format(labels=labels) for part in arguments))
    assert not (run / "exports").exists()


@pytest.mark.parametrize("kind", ["neuronpedia", "delphi"])
def test_what_is_there_already_stays(run: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run), "--to", kind]) == 0
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert "exists already" in refused(capsys, run, "--to", kind)
    assert "exists already" in refused(capsys, run, "--to", kind, "--out", run / "decisions.jsonl")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_half_a_run_is_refused(tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (run / "decisions.jsonl").read_bytes().splitlines(keepends=True)
    (run / "decisions.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:20])
    assert "not finished" in refused(capsys, run, "--to", "delphi")
    (run / "decisions.jsonl").unlink()
    assert "not finished" in refused(capsys, run, "--to", "delphi")
    assert "has no decision" in refused(capsys, write_finished(tmp_path / "none", []), "--to", "delphi")
    assert "no run folder" in refused(capsys, tmp_path / "nowhere", "--to", "delphi")


def test_damage_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (run / "evidence.jsonl").read_text("utf-8").splitlines(keepends=True)
    (run / "evidence.jsonl").write_text("".join(whole[1:]), "utf-8")
    assert "no evidence on base-000001" in refused(capsys, run, "--to", "neuronpedia")
    (run / "evidence.jsonl").write_text("".join(["{}\n", *whole[1:]]), "utf-8")
    assert "evidence.jsonl:1" in refused(capsys, run, "--to", "neuronpedia")


def test_labels_that_fit_nothing_are_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "labels.jsonl"
    write_own(file, [label(99, "yes")])
    assert "no label is about a feature" in refused(capsys, run, "--to", "neuronpedia", "--labels", file)
    write_own(file, [label(1, "yes", machine=True)])
    assert "--programs" in refused(capsys, run, "--to", "neuronpedia", "--labels", file)
    assert main([str(run), "--to", "neuronpedia", "--labels", str(file), "--programs"]) == 0


def test_a_missing_library_is_named_with_the_extra(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.import_module

    def missing(name: str, package: str | None = None) -> Any:
        if name.startswith("inspect_ai"):
            raise ModuleNotFoundError(name)
        return found(name, package)

    monkeypatch.setattr(importlib, "import_module", missing)
    assert "pip install -e '.[inspect]'" in refused(capsys, run, "--to", "inspect")
    assert not (run / "exports").exists()


def test_an_output_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"

    def fail() -> None:
        with new_output(out) as fresh:
            fresh.mkdir()
            (fresh / "half").write_text("half")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        fail()
    assert list(out.parent.iterdir()) == []


def test_what_a_killed_export_left_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / ".out.new"
    left.mkdir()
    (left / "half").write_text("half")
    with new_output(tmp_path / "out") as fresh:
        fresh.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_cannot_be_written_is_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "manifest.json" in refused(capsys, run, "--to", "delphi", "--out", run / "manifest.json" / "out")


def test_help_lists_the_formats_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from evals.export import parse_arguments\n"
        "try: parse_arguments(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'pydantic', 'numpy', 'inspect_ai'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(name in said for name in FORMATS)
    assert said.splitlines()[-1] == "[]"


@pytest.mark.parametrize("kind", ["neuronpedia", "inspect"])
def test_no_model_library_is_loaded(run: Path, kind: str) -> None:
    if kind == "inspect":
        pytest.importorskip("inspect_ai")
    code = f"import sys; from evals.export import main; main([{str(run)!r}, '--to', {kind!r}]); print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "False"
