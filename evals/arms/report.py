"""A comparison as files: records, Markdown, CSV, figures, one HTML page; and as lines for a terminal."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from agent.folder.store import write_whole
from evals.arms.results import Comparison, FeatureChange, Verdict
from evals.arms.tables import changes_csv, form_of, list_sections
from evals.reporting.tables import Table, as_csv, as_markdown, as_text
from evals.statistics.estimate import format_estimate, format_figures
from tools.display.unseen import page

_TITLES = {
    "relevant": "More relevant features?",
    "sharper": "Sharper features?",
    "steerable": "More steerable features?",
}
_FLOORS = ("hits_direct", "beyond_null")
"""Measures that a terminal shows beside those that the verdicts rest on."""


def write_comparison(
    folder: Path, found: Comparison, features: Sequence[FeatureChange], figures: Sequence[Path]
) -> list[Path]:
    """Write everything but the figures, which are there already, and return the paths, the page first."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = list(list_sections(found))
    texts = {
        "report.html": _as_html(found, figures),
        "comparison.md": page(as_page(found, figures)),
        "comparison.json": found.model_dump_json(indent=1) + "\n",
        **{f"{section.name}.csv": as_csv(section.table) for section in sections},
    }
    if features:
        texts["features_changed.csv"] = as_csv(changes_csv(features))
    for name, text in texts.items():
        write_whole(folder / name, text)
    return [folder / name for name in texts]


def as_lines(found: Comparison) -> list[str]:
    """What a terminal shows: the verdicts, the figures they rest on, and what limits them."""
    lines = [_heading(found)]
    if found.allowed is not None:
        lines += [f"compared although {fault}" for fault in found.faults] + [f"  because: {found.allowed}"]
    for title, verdicts in _by_claim(found.verdicts):
        lines += ["", title, *(f"  {one.text}" for one in verdicts)]
    lines += ["", *as_text(_short_table(found))]
    for one in found.changes:
        counts = ", ".join(f"{count:,} {status}" for status, count in one.counts.items())
        shares = "" if one.shared is None else f"{one.shared.kept:.1%} kept, {one.shared.paired:.1%} with a partner"
        lines.append(f"features of {one.name}: {'; '.join(part for part in (shares, counts) if part)}")
    return lines + ["", *(f"note: {remark}" for remark in found.remarks)]


def as_page(found: Comparison, figures: Sequence[Path]) -> Iterator[str]:
    """The whole comparison as Markdown."""
    yield f"# {found.base.arm} against {found.finetuned.arm}"
    yield from ("", _heading(found))
    if found.allowed is not None:
        yield from ("", f"**Compared although what should be equal is not**, because: {_inline(found.allowed)}", "")
        yield from (f"- {_inline(fault)}" for fault in found.faults)
    for title, verdicts in _by_claim(found.verdicts):
        yield from ("", f"## {title}", "", *(f"- {_inline(one.text)}" for one in verdicts))
    yield from ("", "## Notes", "", *(f"- {_inline(remark)}" for remark in found.remarks))
    for section in list_sections(found):
        yield from ("", f"## {section.title}", "", section.note, "", *as_markdown(section.table))
    for figure in figures:
        yield from ("", f"![{figure.stem.replace('_', ' ')}]({figure.name})")


def _as_html(found: Comparison, figures: Sequence[Path]) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        found=found,
        heading=_heading(found),
        claims=_by_claim(found.verdicts),
        sections=list(list_sections(found)),
        figures=[(path.stem, base64.b64encode(path.read_bytes()).decode()) for path in figures],
    )


def _heading(found: Comparison) -> str:
    judge = found.base.settings.get("judge") or "unknown"
    return (
        f"{found.base.run_id} (arm {found.base.arm}) against {found.finetuned.run_id} (arm {found.finetuned.arm}) · "
        f"judge: {judge.rstrip(' -')} · * marks what the verdicts rest on"
    )


def _by_claim(verdicts: Sequence[Verdict]) -> list[tuple[str, list[Verdict]]]:
    claims = list(dict.fromkeys(one.claim for one in verdicts))
    return [(_TITLES[claim], [one for one in verdicts if one.claim == claim]) for claim in _TITLES if claim in claims]


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


def _inline(text: str) -> str:
    """Text that Markdown takes as it is, on one line."""
    return " ".join(text.replace("\\", "\\\\").replace("<", "&lt;").replace("|", "\\|").replace("*", "\\*").split())
