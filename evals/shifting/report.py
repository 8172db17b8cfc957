"""The report on acting on verdicts: lines for a terminal, a page, Markdown, CSV files and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evals.reporting.page import Page, Point, Section, write_page
from evals.shifting.figures import draw_figures
from evals.shifting.results import ShiftReport
from evals.shifting.sentences import name_way, say_value, say_verdict
from evals.shifting.tables import (
    list_accuracies,
    list_cells,
    list_classes,
    list_compared,
    list_judges,
    list_kept,
    list_ranked,
    list_strata,
)
from tools.display.tables import Table, as_text

SHOWN = 12
"""Verdicts that a terminal shows one by one."""
CELLS_NOTE = (
    "SCR: the share of the way from the biased classifier (0) to the oracle (1) that is gone without training again. In "
    "brackets 95 % intervals over test texts and probe seeds, drawn again together. A judge's list is taken out from its "
    "largest effects on, and stands under *all* with its number; under *at* everything stands at the number that was judged. "
    "Old: the classifier's own threshold, as published. Centred: set again half way between its own training texts."
)
ACCURACY_NOTE = (
    "At the number that was judged, with the old threshold: accuracy on all test texts, and in each quadrant."
)
COMPARED_NOTE = (
    "Named beforehand, at the number that was judged, on the same test texts and probe seeds. p is of the resamples, and "
    "corrected by Holm's method for all lines of one direction and threshold together."
)
VALUE_NOTE = (
    "SCR of acting on the one judge's verdicts less that of acting on the other's, on the features that both were asked about, "
    "paired over test texts and probe seeds. p is corrected by Holm's method for all lines of one threshold together."
)
KEPT_NOTE = (
    "What SCR loses when this one feature stays in and all others that were judged beside the point are taken out. A feature "
    "whose part others have too loses little by itself. Effect: on the biased classifier's logit, between its classes."
)
STRATA_NOTE = (
    "Share judged beside the point, with Wilson's interval. Of controls each one is a false alarm: they have next to no effect "
    "on the classifier, and random directions are no features at all. Failed verdicts take nothing out."
)
CLASSES_NOTE = (
    "TPP: what a class's classifier loses by the features taken out for it, less what the other classifiers lose; accuracies are "
    "balanced, so that 0.5 is the most. Random: features as dense and as strong as those."
)
RANKED_NOTE = (
    "By SCR at 10 features, chosen by their effect on the probe of what is removed, in the direction that SAEBench reports: what "
    "the biased classifier is worse at is read. Behind: the first's SCR less this one's, on the same test texts and seeds."
)


def write_report(folder: Path, report: ShiftReport) -> list[Path]:
    """Write page, Markdown, tables, figures and JSON, and return their paths, the page first.

    Raises:
        Unwritable: one cannot be written.
    """
    page = lay_out(report, draw_figures(folder, report))
    return write_page(folder, page, "shift", report)


def lay_out(report: ShiftReport, figures: Sequence[Path] = ()) -> Page:
    """What was found, the figures it rests on, and what limits it."""
    judge = report.judges[0]
    return Page(
        title=f"{report.task}: what acting on verdicts changes",
        heading=(
            f"{report.run} · {report.study}/{report.sae} · judge: {judge.name} · {report.texts} test texts · "
            f"{len(report.seeds)} probe seeds"
        ),
        sections=list(_list_sections(report)),
        remarks=report.remarks,
        figures=figures,
    )


def _list_sections(report: ShiftReport) -> Iterator[Section]:
    value, verdict = list(say_value(report)), list(say_verdict(report))
    yield Section(title="The downstream value of a label", points=[Point(one) for one in value], brief=value)
    yield Section(title="Does acting on it help?", points=[Point(one) for one in verdict], brief=verdict)
    for side in report.sides:
        table = list_cells(report, side)
        title = f"{side.removed} taken out, {side.kept} read"
        yield Section(f"scr_{side.direction}", title, CELLS_NOTE, table, brief=[title, *_of_old(table)])
    accuracies, compared = (
        list_accuracies(report),
        list_compared(report.compared, lambda way, direction: name_way(way, report, direction)),
    )
    yield Section("accuracy", "Accuracy by quadrant", ACCURACY_NOTE, accuracies)
    yield Section("compared", "Against other ways of choosing", COMPARED_NOTE, compared)
    judges = list_judges(report)
    yield Section("judges", "Judges", table=judges, brief=as_text(judges))
    if report.values:
        values = list_compared(report.values, lambda judge, _: judge)
        yield Section("values", "One judge against another", VALUE_NOTE, values, brief=as_text(values))
    yield from _list_verdicts(report)
    if report.classes is not None:
        table = list_classes(report.classes)
        yield Section(
            "tpp", f"Keeping classes apart: {report.classes.task}", CLASSES_NOTE, table, brief=["TPP", *as_text(table)]
        )
    if report.ranked:
        table = list_ranked(report.ranked)
        yield Section("ranked", "SAE against SAE", RANKED_NOTE, table, brief=as_text(table))


def _list_verdicts(report: ShiftReport) -> Iterator[Section]:
    kept, strata = list_kept(report.kept), list_strata(report)
    if report.kept:
        yield Section(
            "verdicts",
            "Which verdicts helped, and which hurt",
            KEPT_NOTE,
            kept,
            brief=as_text([row[:-1] for row in kept[: SHOWN + 1]]),
            links={one.transcript: one.transcript for one in report.kept if one.transcript},
        )
    yield Section("strata", "Verdicts on controls", STRATA_NOTE, strata, brief=as_text(strata))


def _of_old(table: Table) -> list[str]:
    """What a terminal shows of it: rows of the old threshold."""
    return as_text([table[0], *(row for row in table[1:] if row[1] == "old")])
