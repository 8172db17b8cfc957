"""CSV that we write runs nothing in a spreadsheet, keeps numbers numbers, and reads back as what was written."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.report.tables import decisions_csv
from evals.compare import main as compare
from evals.labels import main as labels_main
from evals.manual.own import read_own, write_own
from evals.manual.reading import Options
from evals.run import main as examine
from tests.evals.arms.worlds import World, write_arm
from tests.evals.exports.runs import evidence_on, usual_decisions, write_finished
from tests.evals.worlds import label
from tools.display.spreadsheets import bare, inert, to_csv

ROOT = Path(__file__).parents[2]
FORMULAS = (
    '=HYPERLINK("http://127.0.0.1:9/"&A1,"click")', "=cmd|' /C calc'!A0", "+1+1", "-2+3+cmd|' /C calc'!A0", "@SUM(1+1)",
    "\t=1+1", "\r=1+1", "\n=1+1", " =1+1", "＝1+1", "＋1", "－1+1", "＠SUM(1)", "'=1+1", "''=1+1", "-", "-x", "+", "@", "=",
)  # fmt: skip
NUMBERS = ("-5", "+0.12", "-1e-05", "-12.5%", "+3", "-.5", "-1,234", "0", "12", "-0.000123")
TEXTS = st.text(st.sampled_from("=+-@'\t\r\n ＝0129.,%e;|\"abAB漢"))


def runs_something(cell: str) -> bool:
    """Whether a spreadsheet would take a cell for a formula: by the first letter it sees, unless it is a number."""
    number = re.fullmatch(r"[+-]?[\d.,]+([eE][+-]?\d+)?%?", cell)
    return cell.lstrip(" ")[:1] in tuple("=+-@\t\r\n＝＋－＠") and cell.lstrip(" ") != "" and not number and cell != "-"


def cells_of(text: str) -> list[str]:
    return [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]


@pytest.mark.parametrize("formula", FORMULAS)
def test_formulas_are_made_texts_and_come_back(formula: str) -> None:
    (cell,) = cells_of(to_csv([[formula]]))
    assert not runs_something(cell)
    assert bare(cell) == formula.replace("\r", "\n")


@pytest.mark.parametrize("number", [*NUMBERS, -5, -0.25, 1e-9])
def test_numbers_stay_numbers(number: str | float) -> None:
    assert cells_of(to_csv([[number]])) == [str(number)]


@given(TEXTS)
@example("'-5")
@example("''-5")
def test_any_text_runs_nothing_and_comes_back(text: str) -> None:
    assert not runs_something(inert(text))
    assert bare(inert(text)) == text
    assert cells_of(to_csv([[text, "end"]])) == [inert(text.replace("\r\n", "\n").replace("\r", "\n")), "end"]


@given(st.lists(st.tuples(TEXTS.filter(lambda text: bool(text.strip())), TEXTS), max_size=4))
def test_labels_of_ours_read_back_but_for_blanks_at_their_ends(
    tmp_path_factory: pytest.TempPathFactory, given: list[tuple[str, str]]
) -> None:
    file = tmp_path_factory.getbasetemp() / "labels.csv"
    labels = [label(n, value, value, "annotation", note=note or None) for n, (value, note) in enumerate(given)]
    write_own(file, labels)
    found = read_own(file, Options())
    assert not found.problems
    written = [(one.annotator, one.value, one.note) for one in labels]
    read = [(one.annotator, one.value, one.note) for one in found.labels]
    assert [list(map(plain, one)) for one in written] == [list(map(plain, one)) for one in read]


def plain(text: object) -> str:
    """What of a text counts: line ends are line feeds, and blanks at either end are none of it."""
    return bare(inert(str(text or "")).replace("\r\n", "\n").replace("\r", "\n").strip())


def assert_inert(folder: Path, least: int) -> None:
    files = sorted(folder.rglob("*.csv"))
    assert len(files) >= least
    for file in files:
        cells = cells_of(file.read_text("utf-8"))
        assert not [cell for cell in cells if runs_something(cell)], file


@pytest.fixture(params=["=1+1", "@SUM(1)", "-2+3", "\t=1", "+x"])
def formula(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_runs_tables_run_nothing(formula: str) -> None:
    decisions = [one.model_copy(update={"label": formula}) for one in usual_decisions()]
    told = decisions_csv(decisions, [evidence_on(one) for one in decisions])
    assert bare(next(csv.DictReader(io.StringIO(told)))["label"]) == formula
    assert not any(map(runs_something, cells_of(told)))


def test_an_examinations_tables_run_nothing(formula: str, tmp_path: Path) -> None:
    decisions = [one.model_copy(update={"label": formula}) for one in usual_decisions()]
    run, file = write_finished(tmp_path / "run", decisions), tmp_path / "labels.csv"
    given = [(1, "no", formula), (2, "yes", formula), (1, "yes", "ben"), (2, "no", "ben")]
    write_own(file, [label(n, value, who, note=formula) for n, value, who in given])
    assert examine([str(run), "--labels", str(file), "--next", "2"]) == 0
    again = tmp_path / "again.csv"
    assert labels_main(["own", str(file), "--out", str(again)]) == 0
    assert {one.annotator for one in read_own(again, Options()).labels} == {formula, "ben"}
    assert_inert(tmp_path, least=4)


def test_a_comparisons_tables_run_nothing(tmp_path: Path) -> None:
    base = write_arm(tmp_path / "base", World(name="=base", prompts=("=1+1", "A")))
    world = World(name="=tuned", seed=5, relevant=4, perplexity_bound=140.0, prompts=("=1+1", "A"))
    tuned = write_arm(tmp_path / "tuned", world)
    assert compare([str(base), str(tuned), "--no-weights", "--out", str(tmp_path / "out")]) == 0
    assert_inert(tmp_path / "out", least=6)


def test_csv_is_written_in_one_place() -> None:
    ways = re.compile(r"csv\.(writer|DictWriter)\(|\.to_csv\(")
    found = {
        str(file.relative_to(ROOT))
        for room in ("agent", "evals", "tools", "prompts", "benchmarks")
        for file in (ROOT / room).rglob("*.py")
        if ways.search(file.read_text("utf-8"))
    }
    assert found == {"tools/display/spreadsheets.py"}
