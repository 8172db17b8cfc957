"""All commands speak one language: a flag means the same wherever it is taken, and what it was called before still works."""

from __future__ import annotations

import argparse
from collections import defaultdict
from importlib import import_module
from pathlib import Path

import pytest

from evals.labels import main as labels
from tests.doors import list_modules, parser_of
from tests.evals.exports.runs import usual_decisions, write_finished
from tests.evals.worlds import label


def flags_of(module: str) -> list[argparse.Action]:
    return [action for action in parser_of(module)._actions if action.dest != "help"]


def test_a_flag_takes_the_same_wherever_it_is_taken() -> None:
    shapes: dict[str, dict[str, object]] = defaultdict(dict)
    for module in list_modules():
        for action in flags_of(module):
            shape = (type(action), repr(action.type), action.nargs, action.metavar, tuple(action.choices or ()))
            for name in action.option_strings:
                shapes[name][module] = shape
    different = {name: taken for name, taken in shapes.items() if len(set(taken.values())) > 1}
    assert not different
    assert len([taken for taken in shapes.values() if len(taken) > 1]) > 15, "there is something to compare"


@pytest.mark.parametrize("module", list_modules())
def test_every_value_says_what_it_is(module: str) -> None:
    """No help calls a value after its flag, as `--limit LIMIT` did."""
    unnamed = [one.dest for one in flags_of(module) if one.nargs != 0 and not one.metavar and not one.choices]
    unexplained = [one.dest for one in flags_of(module) if not one.help]
    assert (unnamed, unexplained) == ([], [])


@pytest.mark.parametrize("module", list_modules())
def test_a_run_is_called_run(module: str) -> None:
    assert [one.metavar for one in flags_of(module) if one.dest in ("run", "runs") and not one.option_strings] in (
        [], ["RUN"]
    )  # fmt: skip


FORMER = [
    ("evals.labels", ["own", "FILE"], "--labels", "--out", "written.csv"),
    ("evals.labels", ["own", "FILE"], "--evidence", "--out-evidence", "shown.jsonl"),
    ("evals.run", ["RUN", "--labels", "FILE"], "--compare", "--against", "RUN"),
    ("evals.compare", ["A", "B"], "--seeds", "--replicates", "FILE"),
    ("evals.compare", ["A", "B"], "--to", "--out", "FOLDER"),
]


@pytest.mark.parametrize(("module", "line", "old", "new", "value"), FORMER)
def test_an_old_spelling_works_with_a_line_of_warning(
    module: str, line: list[str], old: str, new: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parse = import_module(module).parse_arguments
    now = parse([*line, new, value])
    assert capsys.readouterr().err == ""
    for words in ([old, value], [f"{old}={value}"]):
        assert parse([*line, *words]) == now
        said = capsys.readouterr().err
        assert said == f"warning: {old} is now {new}; the old name goes with the next version\n"
    with pytest.raises(SystemExit):
        parse(["--help"])
    assert f"{old} " not in capsys.readouterr().out


def test_every_old_spelling_is_tried() -> None:
    old = {(module, before, now) for module in list_modules() for before, now in parser_of(module).former.items()}
    assert old == {(module, before, now) for module, _, before, now, _ in FORMER}


def test_an_old_spelling_still_writes_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = tmp_path / "given.jsonl"
    given.write_text("".join(label(index, "yes").model_dump_json() + "\n" for index in (7, 8)))
    assert labels(["own", str(given), "--labels", str(tmp_path / "old.csv")]) == 0
    assert "--labels is now --out" in capsys.readouterr().err
    assert labels(["own", str(given), "--out", str(tmp_path / "new.csv")]) == 0
    assert (tmp_path / "old.csv").read_bytes() == (tmp_path / "new.csv").read_bytes()


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("evals.run", ["{missing}/run", "--labels", "{missing}/labels"]),
        ("evals.score", ["{missing}/run", "--labels", "{missing}/labels", "--llm-model", "m"]),
        ("evals.export", ["{missing}/run", "--to", "neuronpedia", "--labels", "{missing}/labels"]),
        ("evals.review.__main__", ["{missing}/run", "--labels", "{missing}/labels"]),
        ("evals.compare", ["{missing}/run", "{missing}/other", "--no-weights"]),
        ("evals.compare", ["--summarise", "{missing}/run", "--out", "{missing}/summary", "--no-weights"]),
        ("agent.read", ["{missing}/run", "1"]),
        ("evals.steered", ["{missing}/run", "--fit", "{missing}/fitted"]),
        ("evals.truth", ["{missing}/run", "--llm-model", "m"]),
        ("evals.shift", ["{missing}/run", "--labels", "{missing}/labels", "--json", "{missing}/json"]),
        ("agent.check", ["{missing}/run"]),
    ],
)
def test_the_run_that_is_missing_is_all_that_is_said(
    module: str, line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named first, so it is looked for first: before labels and models, and before a bar is drawn."""
    missing = tmp_path / "missing"
    assert import_module(module).main([word.format(missing=missing) for word in line]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ") and said.err.count("\n") == 1 and f"{missing}/run" in said.err
    assert not missing.exists()


def test_summaries_of_replicates_are_looked_for_before_a_bar_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(write_finished(tmp_path / "run", usual_decisions()))
    compare = import_module("evals.compare").main
    missing = str(tmp_path / "seeds.jsonl")
    assert compare([run, run, "--no-weights", "--replicates", missing]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and missing in said
