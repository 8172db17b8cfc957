"""The report for people: a table of all rows, with what they were to reach."""

from __future__ import annotations

from rich.console import Console

from benchmarks.records import Reach, Report, Result
from tools.display.tables import Table, as_text

HEAD = ("benchmark", "base s", "ours s", "ratio", "range", "base MB", "MB", "met")


def print_report(report: Report, console: Console) -> None:
    """The table, what each row reached, its notes, and a warning where others used the machine."""
    machine = report.machine
    console.print(
        f"scale {report.scale} · {report.rounds} rounds · {machine.processor}, {machine.cores} cores, "
        f"{machine.threads} threads · torch {machine.torch}",
        highlight=False,
    )
    if report.results:
        for line in as_text(_table(report)):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    if any(result.baseline_share < 1 for result in report.results):
        console.print("* the baseline ran a share of the work and is scaled up")
    for result in report.results:
        _print_details(result, console)
    for failure in report.failed:
        console.print(f"[red]{failure.name} failed:[/red] {failure.message}", highlight=False)


def _table(report: Report) -> Table:
    rows = (
        (
            result.name,
            _seconds(result.baseline_s) + ("*" if result.baseline_share < 1 else " "),
            _seconds(result.ours_s),
            f"{result.ratio:.3g}x",
            f"{result.ratio_low:.3g}-{result.ratio_high:.3g}",
            _megabytes(result.baseline_peak_mb),
            _megabytes(result.peak_mb),
            _verdict(result),
        )
        for result in report.results
    )
    return [HEAD, *rows]


def _print_details(result: Result, console: Console) -> None:
    console.print(f"\n[bold]{result.name}[/bold]: {result.what}; baseline: {result.baseline}", highlight=False)
    for line in [*map(_describe, result.reaches), *result.notes]:
        console.print(f"  {line}", highlight=False)
    load = result.load
    if load.disturbed:
        console.print(
            f"  [yellow]others used {load.others:.1f} of {load.cores} cores (load average before: {load.average:.1f}): "
            "do not trust these seconds[/yellow]",
            highlight=False,
        )


def _describe(reach: Reach) -> str:
    verdict = ("met" if reach.met else "[red]missed[/red]") if reach.judged else "not judged at this scale"
    return f"{reach.what}: {reach.value:.4g}, {reach.sense} {reach.limit:g}: {verdict}"


def _verdict(result: Result) -> str:
    judged = [reach.met for reach in result.reaches if reach.judged]
    if not judged:
        return "-"
    return "yes" if all(judged) else "no"


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def _megabytes(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
