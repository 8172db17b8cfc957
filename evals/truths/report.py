"""The report on a run whose features are known: lines for a terminal, a page, Markdown, CSV files and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evals.reporting.page import Page, Point, Section, write_page
from evals.statistics.estimate import format_estimate
from evals.truths.boards import draw_boards
from evals.truths.labels import MOST_SWAPPED, is_yes_worth_something
from evals.truths.results import LabelsHeld, OutcomeRow, TruthReport
from evals.truths.world_report import list_world_sections
from tools.display.tables import Table, as_text

OUTCOMES_NOTE = (
    "Of features that stand for a concept: right, wrong, or nothing nameable although there was something. Of placebos, which "
    "mean nothing: named all the same, or nothing nameable. Failures are verdicts that could not be had, and count against "
    "the share. Shares have Wilson's 95 % interval."
)
CALIBRATION_NOTE = (
    "The stated confidence of labels that name something, held against their being right; a name for a placebo is wrong. "
    "The Brier score is the mean squared error of the confidence; controls are a constant guess and a shuffled order."
)
BESIDE_NOTE = (
    "Runs over the same features, whose labels were compared in the same way. Right and placebos named: share with Wilson's "
    "95 % interval. Gained and lost: concepts that are labelled right in this run and not in the first, and the other way "
    "round; p of McNemar's exact test, after Holm over the rows."
)
FEATURES_NOTE = "Each feature that is known, what it stands for, and what the run called it."


def write_report(folder: Path, report: TruthReport) -> list[Path]:
    """Write page, Markdown, tables and JSON, and return their paths, the page first.

    Raises:
        Unwritable: one cannot be written.
    """
    board = draw_boards(folder, report.world.truth.variables) if report.world else None
    page = lay_out(report, [board] if board else [])
    return write_page(folder, page, "truth", report)


def lay_out(report: TruthReport, figures: Sequence[Path] = ()) -> Page:
    """What was found, the figures it rests on, and what limits it."""
    without = f" · without {' and '.join(report.without)}" if report.without else ""
    world = [] if report.world is None else list_world_sections(report.world)
    return Page(
        title="Labels against the truth: does the agent find out what is there, and does it say so when nothing is?",
        heading=f"{report.run} · judge: {report.judge}{without}",
        sections=[*([] if report.labels is None else _list_sections(report.labels)), *_list_beside(report), *world],
        remarks=report.remarks,
        figures=figures,
    )


def _list_sections(held: LabelsHeld) -> Iterator[Section]:
    said = list(say(held))
    yield Section(title="Is what it says true?", points=[Point(one) for one in said], brief=said)
    table = _outcomes(held.rows)
    yield Section("outcomes", "What came of features that are known", OUTCOMES_NOTE, table, brief=as_text(table))
    if (calibration := _calibration(held)) is not None:
        yield Section(
            "calibration", "What its confidence is worth", CALIBRATION_NOTE, calibration, brief=as_text(calibration)
        )
    yield Section("features", "Each feature", FEATURES_NOTE, _features(held))


def _list_beside(report: TruthReport) -> Iterator[Section]:
    if not report.beside:
        return
    table: Table = [
        ("judge", "without", "right [95 %]", "nothing", "failed", "placebos named", "swapped", "gained", "lost", "p")
    ]
    for row in report.beside:
        groups = {one.group: one for one in row.outcomes}
        concepts, placebos = groups.get("concept"), groups.get("placebos")
        counts = [str(concepts.counts[name]) if concepts else "-" for name in ("nothing nameable", "failed")]
        # A share of right labels is none where whoever compares says yes to anything.
        told = is_yes_worth_something(row.swapped)
        paired = ("", "", "") if row.p is None else (str(row.gained), str(row.lost), f"{row.corrected:.2g}")
        table.append(
            (
                row.judge,
                " and ".join(row.without) or "nothing",
                format_estimate(concepts.share, ".0%") if concepts and told else "-",
                *counts,
                format_estimate(placebos.share, ".0%") if placebos else "-",
                format_estimate(row.swapped, ".0%"),
                *paired,
            )
        )
    yield Section(
        "beside", "Which evidence does the judge need, and which judge?", BESIDE_NOTE, table, brief=as_text(table)
    )


def say(held: LabelsHeld) -> Iterator[str]:
    """The answer in sentences; without a figure where a yes of whoever compared is worth nothing."""
    rows = {row.group: row for row in held.rows}
    swapped = (
        f"{format_estimate(held.swapped, '.0%')} of {held.swapped_pairs} labels put beside another concept's meaning"
    )
    if not is_yes_worth_something(held.swapped):
        yield (
            f"{held.matcher.name} calls {swapped} the same, more than {MOST_SWAPPED:.0%}: its yes is worth too little for "
            "any label to be called right"
        )
    elif (concepts := rows.get("concept")) is not None:
        yield (
            f"{format_estimate(concepts.share, '.0%')} of {concepts.features} features that stand for a concept are labelled "
            f"right, by {held.matcher.name}, who calls {swapped} the same"
        )
    if (placebos := rows.get("placebos")) is not None:
        yield (
            f"{format_estimate(placebos.share, '.0%')} of {placebos.features} placebos are given a name although they have "
            "no meaning"
        )
    failed = sum(row.counts.get("failed", 0) for group, row in rows.items() if group in ("concept", "placebos"))
    if failed:
        yield f"{failed} verdicts on features that are known could not be had, which is neither a name nor an abstention"


def _outcomes(rows: Sequence[OutcomeRow]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row.counts))
    table: Table = [("features of", "n", *names, "right, or named [95 %]")]
    for row in rows:
        counts = (str(row.counts[name]) if name in row.counts else "" for name in names)
        table.append((row.group, str(row.features), *counts, format_estimate(row.share, ".0%")))
    return table


def _calibration(held: LabelsHeld) -> Table | None:
    if held.calibration is None:
        return None
    table: Table = [("confidence", "labels", "Brier score [95 %]", "calibration error [95 %]")]
    for row in held.calibration.scores:
        table.append((row.name, str(row.n), format_estimate(row.brier, ".3f"), format_estimate(row.ece, ".3f")))
    return table


def _features(held: LabelsHeld) -> Table:
    table: Table = [("feature", "kind", "stands for", "label", "confidence", "outcome", "")]
    for row in held.concepts:
        meaning = row.meaning or f"nothing ({row.group}: {row.name})"
        confidence = "-" if row.confidence is None else f"{row.confidence:.2f}"
        table.append((row.feature.key, row.group, meaning, row.label or "-", confidence, row.outcome, row.why))
    return table
