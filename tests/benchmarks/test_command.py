"""The command: its help, its report and its exit code."""

from __future__ import annotations

import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.__main__ import main, parse_arguments, run_all
from benchmarks.catalogue import BENCHMARKS
from benchmarks.records import Failed, Load, Machine, Reach, Report, Result, Setting
from benchmarks.tables import print_report

ROOT = Path(__file__).parents[2]


def make_result(**changes: object) -> Result:
    fields: dict[str, object] = {
        "name": "projection",
        "what": "much work",
        "baseline": "a loop",
        "baseline_s": 12.3,
        "ours_s": 1.5,
        "ratio": 8.2,
        "ratio_low": 8.0,
        "ratio_high": 8.5,
        "baseline_peak_mb": 2000.0,
        "peak_mb": None,
        "load": Load(average=0.2, others=0.0, cores=2),
    }
    return Result.model_validate({**fields, **changes})


def make_report(*results: Result, failed: tuple[Failed, ...] = ()) -> Report:
    machine = Machine(processor="a processor", cores=2, threads=1, python="3.11", torch="2.13")
    return Report(started="-", scale="full", rounds=3, machine=machine, results=results, failed=failed)


def show(report: Report) -> str:
    text = StringIO()
    print_report(report, Console(file=text, width=80))
    return text.getvalue()


def test_help_names_every_benchmark_and_imports_nothing_heavy() -> None:
    code = "import sys; from benchmarks.__main__ import parse_arguments\ntry:\n parse_arguments(['--help'])\nfinally:\n"
    code += " print(sorted(set(sys.modules) & {'torch', 'numpy', 'rich', 'pandas', 'pydantic'}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip().endswith("[]")
    assert all(f"  {name} " in done.stdout for name in BENCHMARKS)


def test_unknown_benchmark_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse_arguments(["projektion"])
    assert stopped.value.code == 2
    assert "choose from projection, coherence" in capsys.readouterr().err


def test_table_fits_eighty_columns_and_says_what_was_missed() -> None:
    reaches = (
        Reach(what="times as fast", value=8.2, limit=9, sense="at least"),
        Reach(what="our peak, MB", value=12, limit=1, sense="at most", judged=False),
    )
    shown = show(
        make_report(make_result(reaches=reaches), make_result(name="activations: forward", baseline_share=0.1))
    )
    assert "times as fast: 8.2, at least 9: missed" in shown
    assert "our peak, MB: 12, at most 1: not judged at this scale" in shown
    assert "12.3*" in shown and "scaled up" in shown
    heads = next(line for line in shown.splitlines() if line.startswith("benchmark"))
    assert len(heads) <= 80 and heads.split()[-1] == "met"


def test_busy_machine_is_warned_of() -> None:
    busy = Load(average=3.4, others=1.5, cores=2)
    assert "others used 1.5 of 2 cores (load average before: 3.4)" in show(make_report(make_result(load=busy)))
    assert "others used" not in show(make_report(make_result()))


def test_only_what_is_judged_and_not_reached_is_missed() -> None:
    reaches = tuple(
        Reach(what=f"{judged} {limit}", value=1, limit=limit, sense="at least", judged=judged)
        for judged in (True, False)
        for limit in (0, 2)
    )
    assert [reach.what for reach in make_report(make_result(reaches=reaches)).missed] == ["True 2"]


def test_failing_benchmark_is_reported_and_the_next_is_still_tried() -> None:
    report = run_all(["records", "nosuch"], Setting("small", 1), None, Console(file=StringIO()))
    assert [failure.name for failure in report.failed] == ["records", "nosuch"]
    assert "has no attribute 'measure'" in report.failed[0].message
    assert "nosuch failed: ModuleNotFoundError" in show(report)


def test_report_is_written_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.json"
    assert (
        main(["coherence", "--scale", "small", "--rounds", "1", "--threads", "1", "--strict", "--json", str(file)]) == 0
    )
    report = Report.model_validate_json(file.read_bytes())
    assert [result.name for result in report.results] == ["coherence"]
    assert "coherence" in capsys.readouterr().out
