"""The report on steering over targets: lines for a terminal, a page, Markdown, CSV files and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evals.reporting.page import Page, Point, Section, write_page
from evals.statistics.estimate import Estimate, format_estimate
from evals.steerings.figures import draw_figures
from evals.steerings.results import SteeredReport
from tools.display.tables import Table, as_text

ARMS_NOTE = (
    "Against unsteered writing, paired by beginning or document; in brackets Student's 95 % interval over targets. Nats: of "
    "held-out text of the target, a token. Won and rated: by the model that judged, against unsteered text and from 0 to 2."
)
COMPARED_NOTE = (
    "Named beforehand: each scheme less the same scheme with other scores, and less a prompt that simply asks. p is of the "
    "targets' signs, and corrected by Holm's method for all lines of this table together."
)
RANKED_NOTE = (
    "AUROC of what is known before a word is written for whether it works, over targets and beginnings; 0.5 is chance. "
    "Intervals draw targets again, and fit nothing anew. Left out: of two targets by a model of all the others."
)
TARGETS_NOTE = "Beginnings that succeeded; beside them those from which shuffled scores succeed by the same rule."


def write_report(folder: Path, report: SteeredReport) -> list[Path]:
    """Write page, Markdown, tables, figures and JSON, and return their paths, the page first.

    Raises:
        Unwritable: one cannot be written.
    """
    page = lay_out(report, draw_figures(folder, report))
    return write_page(folder, page, "steered", report)


def lay_out(report: SteeredReport, figures: Sequence[Path] = ()) -> Page:
    """What was found, the figures it rests on, and what limits it."""
    n = len(report.targets)
    return Page(
        title=f"Steering toward {n} texts by {report.scheme}: does it work, and is that known beforehand?",
        heading=f"{', '.join(report.runs)} · {n} targets · success: {report.success}",
        sections=list(_list_sections(report)),
        remarks=report.remarks,
        figures=figures,
    )


def _list_sections(report: SteeredReport) -> Iterator[Section]:
    if report.allowed is not None:
        said = f"read together although they differ, because: {report.allowed}"
        yield Section(title="Runs that differ", points=[Point(said)], brief=[said])
    said = list(_say_success(report))
    yield Section(title="Does it work?", points=[Point(one) for one in said], brief=said)
    arms, compared = _arms(report), _compared(report)
    yield Section("arms", "Arms over all targets", ARMS_NOTE, arms, brief=as_text(arms))
    if len(compared) > 1:
        yield Section(
            "compared", "Against controls and against asking", COMPARED_NOTE, compared, brief=as_text(compared)
        )
    if report.ranked:
        ranked: Table = [("known beforehand", "targets", "AUROC [95 %]")]
        ranked += [(one.by, str(one.targets), format_estimate(one.auroc)) for one in report.ranked]
        yield Section("ranked", "Is it known beforehand?", RANKED_NOTE, ranked, brief=as_text(ranked))
    if report.risk_area is not None:
        area = f"mean risk, the surest first: {report.risk_area:.2f}; in no order: {report.curve[-1].risk:.2f}"
        yield Section(title="What answering only the surest risks", points=[Point(area)], brief=[area])
    targets = _targets(report)
    yield Section("targets", "Each target", TARGETS_NOTE, targets, brief=as_text(targets))


def _say_success(report: SteeredReport) -> Iterator[str]:
    yield (
        f"{report.scheme} succeeds from {_percent(report.succeeded)} of the beginnings; with shuffled scores the same rule "
        f"would call {_percent(report.floor)} a success"
    )
    if report.judged is not None:
        yield f"by the model that judged, {_percent(report.judged_succeeded)}"
    if report.agreed is not None:
        agreed = report.agreed
        yield (
            f"the measures and the model agree on {_percent(agreed.accuracy)} of the beginnings (kappa "
            f"{format_estimate(agreed.kappa)})"
        )


def _arms(report: SteeredReport) -> Table:
    shown = {
        "nats gained": ("nats", "+.3f"),
        "likeness gained": ("likeness", "+.3f"),
        "by encoder": ("encoder", "+.3f"),
        "won": ("wins", ".0%"),
        "rated": ("rated", ".2f"),
        "collapsed": ("collapsed", ".0%"),
        "fluency lost": ("fluency", "+.2f"),
        "KL": ("kl", ".2f"),
    }
    used = {
        name: (field, form)
        for name, (field, form) in shown.items()
        if any(getattr(row, field).value is not None for row in report.arms)
    }
    table: Table = [("arm", "targets", *used)]
    return table + [
        (row.arm, str(row.targets), *(format_estimate(getattr(row, field), form) for field, form in used.values()))
        for row in report.arms
    ]


def _compared(report: SteeredReport) -> Table:
    table: Table = [("arm", "less", "measure", "targets", "difference [95 %]", "p", "p corrected")]
    for one in report.compared:
        form = "+.0%" if one.measure == "wins" else "+.3f"
        ps = tuple("-" if p is None else f"{p:.2g}" for p in (one.p, one.p_corrected))
        table.append((one.arm, one.against, one.measure, str(one.targets), format_estimate(one.difference, form), *ps))
    return table


def _targets(report: SteeredReport) -> Table:
    judged = report.judged is not None
    head = ("target", "succeeded", "floor", *(("judged",) if judged else ()), "confidence", "left out", "")
    table: Table = [head]
    for one in report.targets:
        said = (f"{one.judged_succeeded} of {one.judged}",) if judged else ()
        table.append(
            (
                one.name,
                f"{one.succeeded} of {one.beginnings}",
                str(one.floor),
                *said,
                *("-" if value is None else f"{value:.2f}" for value in (one.stored, one.left_out)),
                "outside the SAE" if one.refused else "",
            )
        )
    return table


def _percent(found: Estimate) -> str:
    return format_estimate(found, ".0%")
