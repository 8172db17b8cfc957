"""python -m evals.run: from a run folder and a labels file to figures, tables, plots and an exit status."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from evals.agreement.results import Agreement
from evals.manual.own import write_own
from evals.run import main
from tests.evals.worlds import decide, label, simulate_run, write_run
from tools.display.gates import read_requirement, unmet


@pytest.fixture(scope="module")
def examined(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Agreement]:
    """A run of 140 features and 20 random directions, labelled by three people on about half, and examined."""
    folder = tmp_path_factory.mktemp("examined")
    decisions, labels, sizes = simulate_run(seed=1, labelled=0.5, annotators=("ana", "ben", "cleo"))
    run, file = write_run(folder / "run", decisions, sizes), folder / "labels.csv"
    others, _, _ = simulate_run(seed=2)
    write_run(folder / "rules", others, sizes)
    write_own(file, labels)
    assert main([str(run), "--labels", str(file), "--against", str(folder / "rules"), "--next", "15"]) == 0
    return run, file, Agreement.model_validate_json((run / "evals" / "agreement.json").read_bytes())


def test_everything_is_written_beside_the_run(examined: tuple[Path, Path, Agreement]) -> None:
    files = {file.name for file in (examined[0] / "evals").iterdir()}
    tables = {"agreement.md", "agreement.json", "agreement.csv", "disagreements.csv", "next.csv", "calibration.json"}
    assert files == tables | {"confusion.png", "reliability.png", "risk_coverage.png"}
    assert all((examined[0] / "evals" / name).read_bytes()[:4] == b"\x89PNG" for name in files - tables)


def test_the_report_has_judge_people_controls_and_what_they_imply(examined: tuple[Path, Path, Agreement]) -> None:
    report = examined[2]
    kinds = {row.kind for row in report.rows}
    assert kinds == {"judge", "treatment", "people", "stratum", "control"}
    controls = [row.name for row in report.rows if row.kind == "control"]
    assert controls == [
        "control: always the commonest answer",
        "control: shuffled labels",
        "control: random directions, all no",
    ]
    assert report.paired is not None and report.paired.other == "rules"
    assert [test.name.split(":")[0] for test in report.alternative] == ["judge", "control", "control"]
    assert report.prevalence is not None and report.prevalence.population == 2000
    assert report.calibration is not None and len(report.calibration.calibrators) == 2
    assert report.plan is not None and len(report.plan.proposals) == 15


def test_the_controls_are_worth_nothing(examined: tuple[Path, Path, Agreement]) -> None:
    figures = examined[2].figures
    assert figures["commonest_kappa"] == 0
    assert abs(figures["shuffled_kappa"]) < 0.05
    assert figures["kappa"] > figures["shuffled_kappa_high"]


def test_people_agree_more_among_themselves_than_with_the_judge(examined: tuple[Path, Path, Agreement]) -> None:
    figures = examined[2].figures
    assert figures["gap_kappa"] == pytest.approx(
        next(row for row in examined[2].rows if row.name == "judge and people, same items").statistics["kappa"].value
        - figures["people_kappa"]
    )
    assert figures["gap_kappa_high"] < 0


def test_counts_add_up(examined: tuple[Path, Path, Agreement]) -> None:
    report = examined[2]
    headline = report.rows[0]
    answers = sum(map(sum, report.confusion.counts))
    assert headline.n + headline.undecided + headline.failed + report.people_undecided == answers
    assert report.labelled == max(report.annotators.values())
    assert sum(one.labelled for one in report.prevalence.strata) == report.labelled


def test_disagreements_come_surest_first_and_name_both_sides(examined: tuple[Path, Path, Agreement]) -> None:
    sure = [one.confidence for one in examined[2].disagreements]
    assert sure == sorted(sure, reverse=True) and len(sure) > 3
    with (examined[0] / "evals" / "disagreements.csv").open(encoding="utf-8") as opened:
        first = next(csv.DictReader(opened))
    assert {first["judge"], first["people"].split(",")[0].split(" ")[1]} == {"yes", "no"}


def test_proposed_features_have_no_label_yet(examined: tuple[Path, Path, Agreement]) -> None:
    run, file, report = examined
    with file.open(encoding="utf-8") as opened:
        labelled = {int(row["index"]) for row in csv.DictReader(opened)}
    assert report.plan is not None
    assert not labelled & {one.feature.index for one in report.plan.proposals}
    assert all(one.feature.kind == "feature" for one in report.plan.proposals)


def test_the_same_seed_gives_the_same_bytes(examined: tuple[Path, Path, Agreement], tmp_path: Path) -> None:
    run, file, _ = examined
    before = (run / "evals" / "agreement.json").read_bytes()
    rules = run.parent / "rules"
    assert main([str(run), "--labels", str(file), "--against", str(rules), "--next", "15", "--seed", "0"]) == 0
    assert (run / "evals" / "agreement.json").read_bytes() == before


def test_tables_hold_every_statistic_with_how_its_interval_was_made(examined: tuple[Path, Path, Agreement]) -> None:
    with (examined[0] / "evals" / "agreement.csv").open(encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    kappa = next(row for row in rows if row["kind"] == "judge" and row["statistic"] == "kappa")
    assert float(kappa["low"]) <= float(kappa["value"]) <= float(kappa["high"])
    assert kappa["method"] == "bca"
    page = (examined[0] / "evals" / "agreement.md").read_text("utf-8")
    assert "control: shuffled labels" in page and "![reliability](reliability.png)" in page


def test_requirements_decide_the_exit_status(
    examined: tuple[Path, Path, Agreement], capsys: pytest.CaptureFixture[str]
) -> None:
    run, file, report = examined
    bound = report.figures["kappa_low"]
    command = [str(run), "--labels", str(file), "--require"]
    assert main([*command, f"kappa_low>={bound - 0.01}", "--require", "failure_rate<0.5"]) == 0
    capsys.readouterr()
    assert main([*command, f"kappa_low>={bound + 0.01}", "--require", "charm>1"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert errors[0].startswith("not met: kappa_low>=") and "no such figure" in errors[1]


@pytest.mark.parametrize("text", ["kappa", "kappa>=high", ">=0.5", "kappa=>0.5", "kappa>=0.5 and f1>1"])
def test_a_requirement_of_another_form_is_bad_input(
    examined: tuple[Path, Path, Agreement], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(examined[0]), "--labels", str(examined[1]), "--require", text]) == 2
    assert "is no requirement" in capsys.readouterr().err


def test_a_figure_without_an_interval_meets_no_bound_on_it() -> None:
    requirement = read_requirement("commonest_precision_yes_low > 0")
    assert unmet([requirement], {"commonest_precision_yes": 1.0}) == [
        "commonest_precision_yes_low > 0: this figure has no interval here"
    ]
    assert unmet([read_requirement("ece<=1e-1")], {"ece": 0.1}) == []


def test_bad_input_is_one_line_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", [decide(i, "yes") for i in range(4)])
    empty = write_run(tmp_path / "empty", [])
    good, elsewhere, bad = tmp_path / "good.csv", tmp_path / "elsewhere.csv", tmp_path / "bad.csv"
    write_own(good, [label(1, "yes")])
    write_own(elsewhere, [label(77, "yes")])
    bad.write_text("annotator,sae,index,question,value\nana,base,1,relevant,perhaps\n", "utf-8")
    for run_path, file in (
        (tmp_path / "nowhere", good),
        (empty, good),
        (run, tmp_path / "nothing.csv"),
        (run, elsewhere),
        (run, bad),
    ):
        assert main([str(run_path), "--labels", str(file)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1, error
    assert not (run / "evals").exists()


def test_ratings_are_compared_without_being_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ratings = [{"a": i % 5, "b": (i * 3) % 5} for i in range(12)]
    run = write_run(tmp_path / "run", [decide(i, None, ratings=given) for i, given in enumerate(ratings)])
    file = tmp_path / "labels.jsonl"
    write_own(file, [label(i, r, question=c) for i, g in enumerate(ratings) for c, r in g.items()])
    assert main([str(run), "--labels", str(file)]) == 0
    assert capsys.readouterr().out.startswith("ratings · ")
    report = Agreement.model_validate_json((run / "evals" / "agreement.json").read_bytes())
    assert report.ordinal and report.figures["kappa_quadratic"] == 1
    assert 0.5 < report.figures["kappa_quadratic_low"] < 1
    assert main([str(run), "--labels", str(file), "--question", "a"]) == 0
    assert (run / "evals" / "agreement-a.json").is_file()


def test_a_run_of_nothing_but_failures_is_examined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, file = write_run(tmp_path / "run", [decide(i, None) for i in range(6)]), tmp_path / "labels.csv"
    write_own(file, [label(i, "yes" if i % 2 else "no") for i in range(6)])
    assert main([str(run), "--labels", str(file), "--require", "failure_rate<0.1", "--require", "kappa>0"]) == 1
    captured = capsys.readouterr()
    assert "failed on 100.0% of 6 labelled features" in captured.out
    assert captured.err.count("not met") == 2


def test_one_label_is_enough_to_be_examined(tmp_path: Path) -> None:
    run, file = write_run(tmp_path / "run", [decide(1, "yes"), decide(2, "no")]), tmp_path / "labels.csv"
    write_own(file, [label(1, "yes")])
    assert main([str(run), "--labels", str(file)]) == 0
    figures = json.loads((run / "evals" / "agreement.json").read_text("utf-8"))["figures"]
    assert figures["accuracy"] == 1 and figures["accuracy_low"] < 0.3
    assert "kappa" not in figures


def test_people_who_are_undecided_are_counted_and_compared_nowhere(tmp_path: Path) -> None:
    decisions, file = [decide(i, "yes" if i < 6 else "no") for i in range(12)], tmp_path / "labels.csv"
    run = write_run(tmp_path / "run", decisions)
    write_own(file, [label(i, "undecided" if i in (0, 11) else "yes" if i < 6 else "no") for i in range(12)])
    assert main([str(run), "--labels", str(file)]) == 0
    report = Agreement.model_validate_json((run / "evals" / "agreement.json").read_bytes())
    assert (report.labelled, report.people_undecided, report.rows[0].n) == (12, 2, 10)


@pytest.mark.parametrize("module", ["evals.run", "evals.labels"])
def test_help_loads_nothing_heavy(module: str) -> None:
    code = (
        f"import sys; sys.argv = ['x', '--help']; import {module} as m\n"
        "try: m.main()\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'scipy', 'pandas', 'matplotlib', 'torch', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(f'{heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "usage: python -m" in done.stdout


def test_the_examiner_does_not_load_torch(tmp_path: Path) -> None:
    run, file = write_run(tmp_path / "run", [decide(i, "yes") for i in range(4)]), tmp_path / "labels.csv"
    write_own(file, [label(i, "yes") for i in range(4)])
    code = (
        "import sys; from evals.run import main\n"
        f"status = main([{str(run)!r}, '--labels', {str(file)!r}])\n"
        "sys.exit('torch was loaded' if 'torch' in sys.modules else status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
