"""python -m evals.shift on a run over a task: what it writes, and what it refuses in a line."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.run import main as investigate
from evals.shift import main
from evals.shifting.results import ShiftReport
from tests.agent.selection.tasks import write_task
from tests.evals.shifting.worlds import RIGHT, decisions_of, make_task, write_rated
from tests.evals.worlds import label

CLASSES = 'name = "kinds"\ntexts = "places.jsonl"\n[label]\nname = "trade"\nclasses = { plain = "plain", healing = "healing" }\n'


@pytest.fixture(scope="module")
def home(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny study with a task, and one of classes alone."""
    study = Path(shutil.copytree(study_folder, tmp_path_factory.mktemp("task") / "tiny"))
    file = write_task(study / "tasks", each=45)
    file.write_text("test_share = 0.4\ndevelopment_share = 0.3\n" + file.read_text())
    (study / "tasks" / "kinds.toml").write_text(CLASSES)
    return study


@pytest.fixture(scope="module")
def run(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of some features, judged by rules."""
    runs = tmp_path_factory.mktemp("runs")
    asked = ["--study", str(home), "--runs", str(runs), "--limit", "8", "--controls", "0.1", "--judge", "rules"]
    assert investigate([*asked, "--task", "places"]) == 0
    (path,) = runs.iterdir()
    return path


@pytest.fixture
def labelled(run: Path, tmp_path: Path) -> Path:
    """Somebody who calls every other candidate beside the point."""
    keys = [json.loads(line)["feature"] for line in (run / "decisions.jsonl").read_text().splitlines()]
    given = [
        label(one["index"], value, question=question).model_copy(
            update={"item": label(one["index"], 0, question="x").item.model_copy(update={"study": None})}
        )
        for place, one in enumerate(keys)
        if one["kind"] == "feature"
        for question, value in (("place", 4 * (place % 2)), ("trade", 0))
    ]
    file = tmp_path / "labels.jsonl"
    file.write_text("".join(one.model_dump_json() + "\n" for one in given))
    return file


def refused(capsys: pytest.CaptureFixture[str], *line: object) -> str:
    assert main([str(word) for word in line]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1, said.err
    return said.err


def changed(run: Path, place: Path, edit: Callable[[Any], object]) -> Path:
    """A copy whose manifest says something else."""
    copy = Path(shutil.copytree(run, place / run.name))
    manifest = json.loads((copy / "manifest.json").read_text())
    edit(manifest)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


def test_a_run_is_acted_on_and_everything_is_written(
    run: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin, out = Path(shutil.copytree(run, tmp_path / "twin")), tmp_path / "out"
    line = [run, "--judges", twin, "--labels", labelled, "--probe-seeds", 1, "--draws", 2]
    assert main([str(word) for word in (*line, "--out", out, "--json", tmp_path / "j")]) == 0
    assert "Acting on the verdicts of rules (twin) instead of rules's" in capsys.readouterr().out
    report = ShiftReport.model_validate_json((tmp_path / "j").read_text())
    assert report == ShiftReport.model_validate_json((out / "shift.json").read_text())
    assert [one.name for one in report.judges] == ["rules", "rules (twin)", "ana"]
    assert {one.way for one in report.cells} >= {"tokens", "words", "words, trained again", "SCR", "random like SCR"}
    assert {one.difference.value for one in report.values if one.way == "rules (twin)"} <= {0, None}
    names = {path.name for path in out.iterdir()}
    assert {"report.html", "shift.md", "scr_1.csv", "scr_2.csv", "compared.csv", "worst_quadrant.png"} <= names


def test_saes_are_ranked_and_written_for_others(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    twin, out, bench = Path(shutil.copytree(run, tmp_path / "twin")), tmp_path / "out", tmp_path / "bench"
    line = [run, "--compare", twin, "--classes", "kinds", "--quick", "--probe-seeds", 1, "--draws", 1, "--out", out]
    assert main([str(word) for word in (*line, "--saebench", bench)]) == 0
    assert "TPP at 10" in capsys.readouterr().out
    report = ShiftReport.model_validate_json((out / "shift.json").read_text())
    assert report.classes is not None and len(report.ranked) == 2
    assert report.ranked[1].behind.value in (0, None), "it is the same SAE"
    assert {path.name for path in bench.iterdir()} == {
        f"{name}_{kind}_eval_results.json" for name in (run.name, "twin") for kind in ("scr", "tpp")
    }


def test_transcripts_are_linked_from_the_page(run: Path, labelled: Path, tmp_path: Path) -> None:
    """By a path from where the page lies."""
    given = json.loads((run / "decisions.jsonl").read_text().splitlines()[0])
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    lines = (copy / "decisions.jsonl").read_text().splitlines()
    given["ratings"] = [{"concept": "trade", "rating": 0}, {"concept": "place", "rating": 4}]
    (copy / "decisions.jsonl").write_text("\n".join([json.dumps(given), *lines[1:]]) + "\n")
    assert main([str(copy), "--quick", "--probe-seeds", "1", "--draws", "1"]) == 0
    page = copy / "evals" / "shift" / "report.html"
    links = re.findall(r'href="([^"]+)"', page.read_text())
    assert links and all((page.parent / link).is_file() for link in links)
    assert not [row for row in (page.parent / "tpp.csv", page.parent / "values.csv") if row.exists()]


def test_a_run_without_a_task_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_rated(tmp_path / "run", decisions_of(RIGHT), None)
    assert "start a run with python -m agent.run --task" in refused(capsys, path)


def test_a_run_that_is_not_finished_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    (copy / "decisions.jsonl").write_text("")
    assert "--resume" in refused(capsys, copy)


def test_a_task_that_changed_since_is_refused(
    run: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = write_task(tmp_path / "tasks", each=91)
    assert "its texts or classes changed" in refused(capsys, run, "--task", moved)
    copy = changed(run, tmp_path, lambda manifest: manifest["provenance"]["sha256"].update(task="0" * 64))
    assert "its texts or classes changed" in refused(capsys, copy)


def test_a_task_that_a_run_alone_names_is_not_opened(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = write_task(tmp_path / "tasks")
    own.write_text(own.read_text() + "# another file\n")
    copy = changed(run, tmp_path, lambda manifest: manifest["config"].update(task=str(own)))
    assert "name it with --task" in refused(capsys, copy)


@pytest.mark.parametrize(
    ("role", "flag", "said"),
    [
        ("sae", "--judges", "another SAE"),
        ("model", "--judges", "another model"),
        ("task", "--judges", "another task"),
        ("task", "--compare", "another task"),
    ],
)
def test_runs_of_something_else_are_not_held_against_each_other(
    role: str, flag: str, said: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = changed(run, tmp_path, lambda manifest: manifest["provenance"]["sha256"].update({role: "0" * 64}))
    assert said in refused(capsys, run, flag, other)


def test_a_run_that_rated_something_else_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    text = (copy / "decisions.jsonl").read_text()
    (copy / "decisions.jsonl").write_text(text.replace('"concept":"place"', '"concept":"colour"'))
    assert "was asked something else" in refused(capsys, copy)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([label(0, "yes")], "no candidate of the run has labels that rate both"),
        ([label(0, 4, question="place", machine=True)], "count these with --programs"),
    ],
)
def test_labels_that_rate_nothing_of_the_task_are_refused(
    rows: list[Any], said: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text("".join(one.model_dump_json() + "\n" for one in rows))
    assert said in refused(capsys, run, "--labels", file)


def test_results_do_not_go_where_a_run_is(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("--out", "--saebench"):
        assert "holds a run" in refused(capsys, run, flag, run)
    assert "cannot be written there" in refused(capsys, run, "--json", tmp_path / "none" / "file")
    assert not (run / "evals" / "shift").exists()


def test_a_run_whose_study_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "tiny" in refused(capsys, write_rated(tmp_path / "run", decisions_of(RIGHT), make_task(20)))
