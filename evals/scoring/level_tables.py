"""A scoring by level as tables, beside what its figures rest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evals.scoring.level_rows import STRONG_LESS_WEAK
from evals.scoring.levels import PARTS
from evals.scoring.records import ALL, GRADED_TASKS, Level, LevelRow, LevelSize, ScoreReport, ScoreRow, Task
from evals.statistics.estimate import format_cell, format_estimate, list_cells
from tools.display.tables import Table

MAIN: dict[Task, str] = {
    "detection by level": "balanced_accuracy",
    "fuzzing by level": "balanced_accuracy",
    "simulation": "correlation",
}
"""The statistic of each task that stands for it."""
SHORT: tuple[tuple[str, Task, Level], ...] = (
    ("detection by mass", "detection by level", "by mass"),
    ("top tenth", "detection by level", "top tenth"),
    ("lower half", "detection by level", "lower half"),
    ("fuzzing by mass", "fuzzing by level", "by mass"),
    ("simulation by mass", "simulation", "by mass"),
)


def short_table(report: ScoreReport, strata: bool = False) -> Table:
    """A line for each scorer and group: what counts by mass, the two ends of it, and the figure that counts anything."""
    head = ("labels of", "answered by", "features", "strong contexts", *(heading for heading, *_ in SHORT))
    table: Table = [(*head, "detection, any activation")]
    rows = [row for row in report.levels if strata or row.kind != "stratum"]
    for name, scorer in dict.fromkeys((row.name, row.scorer) for row in rows):
        own = [row for row in rows if (row.name, row.scorer) == (name, scorer)]
        cells = (_cell(own, task, level) for _, task, level in SHORT)
        most = str(max(row.features for row in own))
        table.append((shown(name), scorer, most, _strong(own), *cells, _before(report.rows, name, scorer)))
    return table


def levels_table(report: ScoreReport, task: Task) -> Table:
    """One task at every level, with what each rests on."""
    table: Table = [("labels of", "answered by", *PARTS)]
    rows = [row for row in report.levels if row.task == task and row.against == ALL]
    for name, scorer in dict.fromkeys((row.name, row.scorer) for row in rows):
        own = {row.level: row for row in rows if (row.name, row.scorer) == (name, scorer)}
        cells = (f"{_figure(own[level])} ({own[level].features})" if level in own else "-" for level in PARTS)
        table.append((shown(name), scorer, *cells))
    return table


def yeses_table(report: ScoreReport) -> Table:
    """How often labels say yes, by how strong the feature is in the text."""
    table: Table = [("labels of", "answered by", *PARTS, "silent", "top tenth less lower half")]
    rows = [row for row in report.levels if row.task == "detection by level" and row.against == ALL]
    rows = [row for row in rows if row.kind != "difference"]
    for name, scorer in dict.fromkeys((row.name, row.scorer) for row in rows):
        own = {row.level: row for row in rows if (row.name, row.scorer) == (name, scorer)}
        recalls = (format_estimate(own[level].statistics["recall"]) if level in own else "-" for level in PARTS)
        mass = own["by mass"].statistics if "by mass" in own else {}
        ends = (format_estimate(mass.get(of)) for of in ("false_alarms", STRONG_LESS_WEAK))
        table.append((shown(name), scorer, *recalls, *ends))
    return table


def thin_table(report: ScoreReport) -> Table:
    """Levels of features that there is too little text of."""
    rows = [
        (one.feature.key, size.level, str(size.contexts), str(size.documents), size.why)
        for one in report.features
        for size in one.sizes
        if size.why
    ]
    return [("feature", "level", "contexts", "documents", "why not"), *rows]


def strong_and_weak_table(report: ScoreReport) -> Table:
    """Labels that are right of the strong and wrong of the weak."""
    return [
        ("feature", "label", "said"),
        *((f.feature.key, f.label or "", text) for f in report.features for text in f.said),
    ]


def level_rows_table(report: ScoreReport) -> Table:
    """One line a row and statistic."""
    head = (
        "row",
        "kind",
        "scorer",
        "task",
        "level",
        "against",
        "features",
        "answers",
        "failed",
        "contexts",
        "documents",
    )
    table: Table = [(*head, "statistic", "value", "low", "high", "method")]
    for row in report.levels:
        counts = (
            *map(str, (row.features, row.answers, row.failed)),
            format_cell(row.contexts),
            format_cell(row.documents),
        )
        places = (row.name, row.kind, row.scorer, row.task, row.level, row.against)
        table += [(*places, *counts, name, *list_cells(one)) for name, one in row.statistics.items()]
    return table


def level_cells(sizes: Sequence[LevelSize], figures: dict[tuple[Task, Level], float]) -> Iterator[str]:
    """Of one feature, for its line of a CSV: what each level rests on, then its figures (`LEVEL_HEADS`)."""
    known = {size.level: size for size in sizes}
    for level in PARTS:
        yield from ("", "") if level not in known else (str(known[level].contexts), str(known[level].documents))
    yield from (format_cell(figures.get((task, level))) for task in GRADED_TASKS for level in PARTS)


LEVEL_HEADS = (
    *(f"{level}_{what}".replace(" ", "_") for level in PARTS for what in ("contexts", "documents")),
    *(f"{task}_{level}_{MAIN[task]}".replace(" ", "_") for task in GRADED_TASKS for level in PARTS),
)


def shown(name: str) -> str:
    """What a row is called for people."""
    return "the run's features" if name == "labels" else name


def _figure(row: LevelRow) -> str:
    return format_estimate(row.statistics.get(MAIN[row.task]))


def _cell(rows: Sequence[LevelRow], task: Task, level: Level) -> str:
    return next((_figure(row) for row in rows if (row.task, row.level, row.against) == (task, level, ALL)), "-")


def _strong(rows: Sequence[LevelRow]) -> str:
    """Contexts of the top tenth, and of how many documents, for the middle feature."""
    found = next((row for row in rows if row.level == "top tenth" and row.contexts is not None), None)
    return f"{found.contexts:.0f} of {found.documents:.0f} documents" if found else "-"


def _before(rows: Sequence[ScoreRow], name: str, scorer: str) -> str:
    places = (row for row in rows if (row.name, row.scorer, row.task, row.against) == (name, scorer, "detection", ALL))
    return format_estimate(next((row.statistics.get("balanced_accuracy") for row in places), None))
