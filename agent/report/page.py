"""`report.html`: one file that opens from disk, with the table, the figures and the most telling features."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from agent.folder.floors import keep_living_decision
from agent.folder.records import Decision, Summary
from agent.folder.soundness import check_folder
from agent.folder.store import RunFolder, write_whole
from agent.report.closing import remedy
from agent.report.figures import draw_figures
from agent.report.tables import decisions_csv, format_cells, header_of, strata_csv
from tools.display.templates import load_template
from tools.proof.floors import keep_alive, reasons_in
from tools.records import Context, Evidence

TELLING = 6
"""Features shown of each kind."""


def write_report(
    folder: RunFolder, title: str, summary: Summary, evidence: Sequence[Evidence], decisions: Sequence[Decision]
) -> None:
    """Write tables, figures and the report. Text from models and corpora is escaped by the template engine."""
    tables = folder.path / "tables"
    tables.mkdir(exist_ok=True)
    write_whole(tables / "strata.csv", strata_csv(summary))
    alive = [keep_alive(record, reasons_in(summary.floors, record.stratum)) for record in evidence]
    write_whole(tables / "decisions.csv", decisions_csv(decisions, alive))
    figures = draw_figures(folder.path / "figures", summary, alive)
    shown = {whole.feature.key: (living, whole.steering) for living, whole in zip(alive, evidence, strict=True)}
    manifest, checked = folder.manifest(), check_folder(folder, being_written=True)
    html = load_template(Path(__file__).with_name("report.html.j2")).render(
        manifest=manifest,
        checked=checked,
        caveats=(*manifest.caveats, *checked.caveats),
        remedy=remedy(folder.path, summary.failures, manifest.config, summary.examples.get("length", "")),
        title=title,
        header=header_of(summary),
        rows=format_cells(summary),
        concepts=[(row.concept, row.counts) for row in summary.concepts],
        summary=summary,
        figures=[(path.stem, base64.b64encode(path.read_bytes()).decode()) for path in figures],
        groups=[
            (title, [(keep_living_decision(d, summary.floors), *shown[d.feature.key]) for d in chosen])
            for title, chosen in pick_telling(decisions)
        ],
        heat=heat,
    )
    write_whole(folder.path / "report.html", html)


def pick_telling(decisions: Sequence[Decision]) -> list[tuple[str, list[Decision]]]:
    """The surest yes, the undecided, the surest no among candidates, and any random direction that was accepted."""

    def surest(chosen: Sequence[Decision]) -> list[Decision]:
        return sorted(chosen, key=lambda d: -(d.confidence or 0))[:TELLING]

    features = [d for d in decisions if d.feature.kind == "feature"]
    groups = [
        ("Relevant, surest first", surest([d for d in features if d.relevant == "yes"])),
        ("Undecided", surest([d for d in features if d.relevant == "undecided"])),
        (
            "Candidates found not relevant",
            surest([d for d in features if d.relevant == "no" and d.stratum == "candidates"]),
        ),
        ("Rated highest", surest_rated(decisions)),
        (
            "Random directions accepted: false positives by construction",
            surest([d for d in decisions if d.relevant == "yes" and d.feature.kind != "feature"]),
        ),
    ]
    return [(title, chosen) for title, chosen in groups if chosen]


def surest_rated(decisions: Sequence[Decision]) -> list[Decision]:
    """The features with the highest ratings of any concept."""
    rated = [d for d in decisions if d.ratings]
    return sorted(rated, key=lambda d: (-max(r.rating for r in d.ratings or ()), -(d.confidence or 0)))[:TELLING]


def heat(context: Context) -> list[tuple[str, float]]:
    """Tokens of a context with their activation as a share of its maximum; 0 where it is not known."""
    values = context.activations or (0.0,) * len(context.tokens)
    top = max(context.max_activation or max(values, default=0.0), 1e-9)
    return [(token, round(max(0.0, value) / top, 2)) for token, value in zip(context.tokens, values, strict=True)]
