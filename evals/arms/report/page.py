"""A comparison as a page, and as the files beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evals.arms.report.tables import form_of, list_sections
from evals.arms.results import Comparison, FeatureChange
from evals.reporting.page import Page, Point, Section, to_csv_files, to_html, to_markdown, write_files
from evals.statistics.estimate import format_estimate, format_figures
from tools.display.spreadsheets import records_to_csv
from tools.display.tables import Table, as_text

_TITLES = {
    "relevant": "More relevant features?",
    "sharper": "Sharper features?",
    "steerable": "More steerable features?",
}
_CHANGED = ("base", "finetuned", "status", "cosine", "candidate_base", "candidate_finetuned")
_FLOORS = ("hits_direct", "beyond_null")
"""Measures that a terminal shows beside those that the verdicts rest on."""


def write_comparison(
    folder: Path, found: Comparison, features: Sequence[FeatureChange], figures: Sequence[Path]
) -> list[Path]:
    """Write everything but the figures, which are there already, and return the paths, the page first."""
    page = lay_out(found, figures)
    texts = {
        "report.html": to_html(page),
        "comparison.md": to_markdown(page),
        "comparison.json": found.model_dump_json(indent=1) + "\n",
        **to_csv_files(page),
    }
    if features:
        texts["features_changed.csv"] = records_to_csv(_CHANGED, (one.model_dump() for one in features))
    return write_files(folder, texts)


def lay_out(found: Comparison, figures: Sequence[Path] = ()) -> Page:
    """The verdicts, the figures they rest on, and what limits them."""
    judge = found.base.settings.get("judge") or "unknown"
    return Page(
        title=f"{found.base.arm} against {found.finetuned.arm}: did fine-tuning change the features?",
        heading=f"{found.base.run_id} (arm {found.base.arm}) against {found.finetuned.run_id} (arm {found.finetuned.arm}) · "
        f"judge: {judge.rstrip(' -')} · * marks what the verdicts rest on",
        sections=[*_list_stated(found), *list_sections(found)],
        remarks=found.remarks,
        figures=figures,
    )


def _list_stated(found: Comparison) -> Iterator[Section]:
    if found.allowed is not None:
        yield Section(
            name="faults",
            title="Compared although what should be equal is not",
            points=[Point(f"reason given: {found.allowed}"), *map(Point, found.faults)],
            brief=[*(f"compared although {fault}" for fault in found.faults), f"  because: {found.allowed}"],
        )
    for claim, title in _TITLES.items():
        verdicts = [one for one in found.verdicts if one.claim == claim]
        if verdicts:
            points = [Point(one.text, one.found) for one in verdicts]
            yield Section(title=title, points=points, brief=[title, *(f"  {one.text}" for one in verdicts)])
    yield Section(brief=[*as_text(_short_table(found)), *_list_changes(found)])


def _list_changes(found: Comparison) -> Iterator[str]:
    for one in found.changes:
        counts = ", ".join(f"{count:,} {status}" for status, count in one.counts.items())
        shares = "" if one.shared is None else f"{one.shared.kept:.1%} kept, {one.shared.paired:.1%} with a partner"
        yield f"features of {one.name}: {'; '.join(part for part in (shares, counts) if part)}"


def _short_table(found: Comparison) -> Table:
    table: Table = [("", "over", found.base.arm, found.finetuned.arm, "difference over features [95 %]", "p corrected")]
    for one in found.measured:
        if one.claim is None and one.key not in _FLOORS:
            continue
        sides = [format_figures(side.value, form=form_of(one.is_share)) for side in (one.base, one.finetuned)]
        p = "" if one.p_adjusted is None else f"{one.p_adjusted:.2g}"
        name = one.name + (" *" if one.claim else "")
        table.append((name, one.over, *sides, format_estimate(one.difference, form_of(one.is_share, signed=True)), p))
    return table
