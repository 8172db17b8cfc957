"""A scoring as tables: the short one for a terminal, all of it for the page, and long ones for other programs."""

from __future__ import annotations

from collections.abc import Sequence

from evals.scoring.aggregate import PLACES, composite_of
from evals.scoring.level_tables import LEVEL_HEADS, MAIN, level_cells, shown
from evals.scoring.measures import MEASURES
from evals.scoring.records import ALL, FeatureScore, Level, ScoreReport, ScoreRow, Task
from evals.statistics.estimate import format_cell, format_estimate, format_figures, list_cells
from tools.display.tables import Table

SHORT = (
    ("detection BA", "detection", ALL, "balanced_accuracy"),
    ("near-miss BA", "detection", "near miss", "balanced_accuracy"),
    ("detection F1", "detection", ALL, "f1"),
    ("AUPRC", "detection", ALL, "auprc"),
    ("fuzzing BA", "fuzzing", ALL, "balanced_accuracy"),
    ("composite", "both", ALL, "composite"),
)
"""Columns: heading, task, against which texts, statistic."""


def headline_table(report: ScoreReport, strata: bool = False) -> Table:
    """A line for each scorer and control; with the strata on the page."""
    table: Table = [("labels of", "answered by", "features", "failed", *(heading for heading, *_ in SHORT))]
    rows = [row for row in report.rows if strata or row.kind != "stratum"]
    for name, scorer in dict.fromkeys((row.name, row.scorer) for row in rows):
        own = [row for row in rows if (row.name, row.scorer) == (name, scorer)]
        cells = (_cell(own, task, against, of) for _, task, against, of in SHORT)
        table.append((shown(name), scorer, str(max(row.features for row in own)), _failed(own), *cells))
    return table


def kinds_table(report: ScoreReport, of: str) -> Table:
    """One statistic against each kind of text."""
    table: Table = [("labels of", "answered by", *(_heading(*place) for place in PLACES))]
    for name, scorer in dict.fromkeys((row.name, row.scorer) for row in report.rows):
        own = [row for row in report.rows if (row.name, row.scorer) == (name, scorer)]
        table.append((shown(name), scorer, *(_cell(own, task, against, of) for task, against in PLACES)))
    prevalences = [
        next((row.prevalence for row in report.rows if (row.task, row.against) == place and row.prevalence), None)
        for place in PLACES
    ]
    share = ("yeses due", "", *(format_figures(value) for value in prevalences))
    return [*table, share] if of == "auprc" else table


def worst_table(report: ScoreReport) -> Table:
    """Rows with failures: what was answered, and every failure as the surest wrong answer."""
    table: Table = [("labels of", "answered by", "task", "failed", "balanced accuracy", "failures as wrong")]
    for row in report.rows:
        if row.failed and row.against == ALL and row.task != "both":
            cells = (format_estimate(row.statistics.get(f"balanced_accuracy{end}")) for end in ("", "_worst"))
            table.append((shown(row.name), row.scorer, row.task, _failed([row]), *cells))
    return table


def sanity_table(report: ScoreReport) -> Table:
    """Which measures notice labels that miss half, or cover twice as much."""
    table: Table = [("measure", "on", "falls: half missing", "falls: as many too many", "passes")]
    for check in report.sanity:
        cells = (f"{check.falls[one]:.2f} ({check.noticed[one]:.0%} of features)" for one in ("missing", "extra"))
        table.append((_words(check.measure), check.on, *cells, "yes" if check.passes else "no"))
    return table


def specificity_table(report: ScoreReport) -> Table:
    """How often labels say yes where their feature is active, and where another is."""
    table: Table = [("answered by", "labels", "yes on own contexts", "yes on other features'", "contexts of others")]
    for one in report.collisions.specificity:
        table.append(
            (
                one.scorer,
                str(one.labels),
                format_estimate(one.own),
                format_estimate(one.others),
                f"{one.others_asked:,}",
            )
        )
    return table


def shared_table(report: ScoreReport) -> Table:
    """Labels that several features have."""
    return [("label", "features"), *((one.label, ", ".join(one.features)) for one in report.collisions.groups)]


def status_table(report: ScoreReport) -> Table:
    """What became of every feature."""
    kinds = ("scored", "not scorable", "no label", "failed")
    rows = [(stratum, *(str(found.get(kind, 0)) for kind in kinds)) for stratum, found in report.status.items()]
    return [("stratum", *kinds), *rows]


def unscored_table(report: ScoreReport) -> Table:
    """Features without figures, and why."""
    rows = [(one.feature.key, one.status, one.label or "", one.why or "") for one in report.features if one.why]
    return [("feature", "status", "label", "why"), *rows]


def features_table(report: ScoreReport) -> Table:
    """A line a feature, with the figures of the last scorer."""
    scorer = report.scorers[-1].name
    head = ("feature", "stratum", "relevant", "label", "status", "active_stretches", "stretches", "token_share")
    names = (f"{task}_{against}_{of}".replace(" ", "_") for task, against in PLACES for of in MEASURES)
    table: Table = [(*head, "scorer", "failed", "composite", *names, *LEVEL_HEADS)]
    for one in report.features:
        found = {(f.task, f.against): f for f in one.figures if f.scorer == scorer}
        cells = [
            format_cell(found[place].measures.get(of) if place in found else None)
            for place in PLACES
            for of in MEASURES
        ]
        failed = sum(f.failed for f in found.values() if f.against == ALL)
        whole = composite_of(list(found.values())) if found else None
        by_level: dict[tuple[Task, Level], float] = {
            (f.task, f.level): f.measures[MAIN[f.task]]
            for f in one.levels
            if (f.scorer, f.against) == (scorer, ALL) and f.measures
        }
        told = (*cells, *level_cells(one.sizes, by_level))
        table.append((*_identity(one), scorer, str(failed), format_cell(whole), *told))
    return table


def rows_table(report: ScoreReport) -> Table:
    """One line a row and statistic."""
    head = ("row", "kind", "scorer", "task", "against", "features", "answers", "failed", "prevalence")
    table: Table = [(*head, "statistic", "value", "low", "high", "method")]
    for row in report.rows:
        counts = (str(row.features), str(row.answers), str(row.failed), format_cell(row.prevalence))
        for name, one in row.statistics.items():
            table.append((row.name, row.kind, row.scorer, row.task, row.against, *counts, name, *list_cells(one)))
    return table


def _identity(one: FeatureScore) -> tuple[str, ...]:
    seen = (one.active_stretches, one.stretches)
    counts = ("" if value is None else str(value) for value in seen)
    return (
        one.feature.key,
        one.stratum,
        one.relevant or "",
        one.label or "",
        one.status,
        *counts,
        format_cell(one.token_share),
    )


def _cell(rows: Sequence[ScoreRow], task: str, against: str, of: str) -> str:
    found = (row.statistics.get(of) for row in rows if (row.task, row.against) == (task, against))
    return format_estimate(next(found, None))


def _failed(rows: Sequence[ScoreRow]) -> str:
    counted = [row for row in rows if row.against == ALL and row.task != "both"]
    answers = sum(row.answers for row in counted)
    return f"{sum(row.failed for row in counted) / answers:.1%}" if answers else "-"


def _heading(task: str, against: str) -> str:
    return f"{task}, {against}" if against != ALL else task


def _words(name: str) -> str:
    return {"f1": "F1", "auprc": "AUPRC", "mcc": "Matthews' correlation"}.get(name, name.replace("_", " "))
