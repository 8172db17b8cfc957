"""An examination as a page of Markdown, as lines for a terminal, and as the files beside a run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from agent.folder.store import write_whole
from evals.agreement.pairing import POOLED
from evals.agreement.results import Agreement, PairedTest
from evals.agreement.tables import (
    agreement_table,
    alternative_table,
    calibration_table,
    confusion_table,
    disagreement_table,
    headline_table,
    plan_table,
    prevalence_table,
    statistics_csv,
    strata_table,
)
from evals.manual.records import RELEVANT
from evals.reporting.tables import Table, as_csv, as_markdown, as_text
from evals.statistics.estimate import format_estimate
from tools.display.unseen import page

_SHOWN = 10


def write_report(folder: Path, report: Agreement) -> list[Path]:
    """Write the report's files into a folder and return their paths, the page first.

    A question other than the run's own has its name in the files' names.
    """
    from evals.agreement.figures import draw_figures

    folder.mkdir(parents=True, exist_ok=True)
    suffix = "" if report.question in (RELEVANT, POOLED) else "-" + re.sub(r"[^A-Za-z0-9]+", "_", report.question)[:60]
    figures = draw_figures(folder, report, suffix)
    texts = {
        f"agreement{suffix}.md": page(as_page(report, figures)),
        f"agreement{suffix}.json": report.model_dump_json(indent=1) + "\n",
        f"agreement{suffix}.csv": statistics_csv(report.rows),
        f"disagreements{suffix}.csv": as_csv(disagreement_table(report)),
    }
    if report.plan is not None:
        texts[f"next{suffix}.csv"] = as_csv(plan_table(report))
    if report.calibration is not None and report.calibration.calibrators:
        maps = ",\n".join(one.model_dump_json(exclude_defaults=True) for one in report.calibration.calibrators)
        texts[f"calibration{suffix}.json"] = f"[\n{maps}\n]\n"
    for name, text in texts.items():
        write_whole(folder / name, text)
    return [folder / name for name in texts] + figures


def as_lines(report: Agreement) -> list[str]:
    """What a terminal shows."""
    lines = [_heading(report), *as_text(headline_table(report))]
    if report.paired is not None:
        lines += ["", _paired_line(report.paired)]
    for title, table in _sections(report):
        if title in ("How many features are relevant", "May the judge stand in for an annotator?"):
            lines += ["", *as_text(table)]
    if report.disagreements:
        lines += ["", f"{len(report.disagreements)} disagreements, the judge's surest first:"]
        lines += as_text(disagreement_table(report)[: _SHOWN + 1])
    return lines + [f"note: {remark}" for remark in _remarks(report)]


def as_page(report: Agreement, figures: list[Path]) -> Iterator[str]:
    """The whole report as Markdown."""
    yield f"# {report.question}: {report.run_id}"
    yield ""
    yield _heading(report)
    for title, table in _sections(report):
        yield from ("", f"## {title}", "", *as_markdown(table))
    if report.paired is not None:
        yield from ("", "## Against another run", "", _paired_line(report.paired))
    for figure in figures:
        yield from ("", f"![{figure.stem.replace('_', ' ')}]({figure.name})")
    yield from ("", "## Notes", "")
    yield from (f"- {remark}" for remark in (*_remarks(report), *_STANDING))


_STANDING = (
    "Intervals are 95 %: BCa bootstrap over features, Wilson's for shares of features; `agreement.csv` names each. "
    "Shuffled labels show the middle 95 % of 1,000 shuffles.",
    "Undecided and failed answers are in no comparison; two rows show all of them as wrong, and as right.",
    "Kappa and AC1 differ where one answer is rare: read both beside the prevalence index and the shuffled labels.",
    "Figures are about the labelled features, which are no random sample of the SAE; the prevalence section says what "
    "they imply for the whole of it.",
)


def _heading(report: Agreement) -> str:
    people = ", ".join(f"{name} ({count})" for name, count in report.annotators.items())
    rates = (
        f"judge undecided on {report.undecided_rate or 0:.1%}, failed on {report.failure_rate or 0:.1%} of "
        f"{report.labelled} labelled features"
    )
    return f"{report.question} · judge: {report.judge} · people: {people} · {rates}"


def _sections(report: Agreement) -> Iterator[tuple[str, Table]]:
    yield "Agreement", agreement_table(report)
    yield "Answers", confusion_table(report)
    if report.alternative:
        yield "May the judge stand in for an annotator?", alternative_table(report.alternative)
    if report.calibration is not None:
        yield "Confidence", calibration_table(report.calibration)
    if report.prevalence is not None:
        yield "How many features are relevant", prevalence_table(report.prevalence)
        yield "What that rests on", strata_table(report.prevalence)
    if report.disagreements:
        yield "Disagreements", disagreement_table(report)
    if report.plan is not None:
        yield "Label these next", plan_table(report)


def _paired_line(test: PairedTest) -> str:
    return (
        f"against {test.other} on {test.n} answers: only this run right {test.only_this}, only the other {test.only_other}, "
        f"both {test.both}, neither {test.neither}; exact McNemar p = {test.p:.4g}"
    )


def _remarks(report: Agreement) -> list[str]:
    remarks = list(report.remarks)
    if report.people_undecided:
        remarks.append(f"{report.people_undecided} answers of people are undecided: in the confusion matrix only")
    if report.prevalence is not None:
        remarks += report.prevalence.remarks
    if any(test.passed for test in report.alternative[1:2]):
        remarks.append("one answer for all passes the alternative annotator test too: passing it proves nothing here")
    if report.calibration is not None and not report.calibration.calibrators:
        remarks.append("too few labelled answers to fit a calibration on one half and score it on the other")
    if report.plan is not None:
        plan = report.plan
        remarks.append(
            f"labelling the {len(plan.proposals)} features of next.csv takes the standard error of {plan.target} from "
            f"{plan.error_now:.3f} to about {plan.error_planned:.3f}; as many at random, to {plan.error_random:.3f}"
        )
    if (shuffled := next((row for row in report.rows if row.name == "control: shuffled labels"), None)) is not None:
        floor = format_estimate(shuffled.statistics.get("accuracy"))
        remarks.append(f"shuffled labels reach an accuracy of {floor}: that much agreement costs nothing")
    return remarks
