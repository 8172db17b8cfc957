"""An examination as a page, and as the files beside a run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

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
    sides_table,
    statistics_table,
    strata_table,
)
from evals.manual.records import RELEVANT
from evals.reporting.page import Page, Point, Section, to_csv_files, to_markdown, write_files
from evals.statistics.estimate import format_estimate
from tools.display.spreadsheets import to_csv
from tools.display.tables import as_text

_SHOWN = 10


def write_report(folder: Path, report: Agreement) -> list[Path]:
    """Write the report's files into a folder and return their paths, the page first.

    A question other than the run's own has its name in the files' names.
    """
    from evals.agreement.figures import draw_figures

    folder.mkdir(parents=True, exist_ok=True)
    suffix = "" if report.question in (RELEVANT, POOLED) else "-" + re.sub(r"[^A-Za-z0-9]+", "_", report.question)[:60]
    page = lay_out(report, draw_figures(folder, report, suffix), suffix)
    texts = {
        f"agreement{suffix}.md": to_markdown(page),
        f"agreement{suffix}.json": report.model_dump_json(indent=1) + "\n",
        f"agreement{suffix}.csv": to_csv(statistics_table(report.rows)),
        **to_csv_files(page),
    }
    if report.calibration is not None and report.calibration.calibrators:
        maps = ",\n".join(one.model_dump_json(exclude_defaults=True) for one in report.calibration.calibrators)
        texts[f"calibration{suffix}.json"] = f"[\n{maps}\n]\n"
    return [*write_files(folder, texts), *page.figures]


def lay_out(report: Agreement, figures: Sequence[Path] = (), suffix: str = "") -> Page:
    """The whole examination.

    Args:
        report: of the run and its labels.
        figures: drawn of it.
        suffix: of its files' names.
    """
    return Page(
        title=f"{report.question}: {report.run_id}",
        heading=_heading(report),
        sections=list(_list_sections(report, suffix)),
        remarks=_remarks(report),
        standing=_STANDING,
        figures=figures,
    )


def _list_sections(report: Agreement, suffix: str) -> Iterator[Section]:
    yield Section(title="Agreement", table=agreement_table(report), brief=as_text(headline_table(report)))
    if report.sides:
        table = sides_table(report)
        yield Section(title="The two sides", table=table, brief=as_text(table))
    yield Section(title="Answers", table=confusion_table(report))
    if report.paired is not None:
        line = _paired_line(report.paired)
        yield Section(title="Against another run", points=[Point(line)], brief=[line])
    if report.alternative:
        table = alternative_table(report.alternative)
        yield Section(title="May the judge stand in for an annotator?", table=table, brief=as_text(table))
    if report.calibration is not None:
        yield Section(title="Confidence", table=calibration_table(report.calibration))
    if report.prevalence is not None:
        table = prevalence_table(report.prevalence)
        yield Section(title="How many features are relevant", table=table, brief=as_text(table))
        yield Section(title="What that rests on", table=strata_table(report.prevalence))
    table = disagreement_table(report)
    title = f"{len(report.disagreements)} disagreements, the judge's surest first:"
    brief = [title, *as_text(table[: _SHOWN + 1])] if report.disagreements else []
    yield Section(f"disagreements{suffix}", "Disagreements", table=table, brief=brief)
    if report.plan is not None:
        yield Section(f"next{suffix}", "Label these next", table=plan_table(report))


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
