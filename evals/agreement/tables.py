"""The examination as tables. Every figure has its interval, and the floors stand in the same table."""

from __future__ import annotations

from collections.abc import Sequence

from evals.agreement.results import Agreement, AltTest, Calibration, Prevalence, Row, Share
from evals.statistics.estimate import format_estimate, format_figures, list_cells
from tools.display.tables import Table

VERDICT_COLUMNS = ("accuracy", "kappa", "alpha", "ac1", "mcc", "precision_yes", "recall_yes", "f1_yes", "recall_no")
RATING_COLUMNS = ("accuracy", "kappa", "kappa_quadratic", "alpha", "ac1", "kappa_any", "accuracy_any")


def agreement_table(report: Agreement) -> Table:
    """A row for each comparison, with the statistics that fit the question."""
    return _rows_table(report.rows, RATING_COLUMNS if report.ordinal else VERDICT_COLUMNS)


def headline_table(report: Agreement) -> Table:
    """The same rows with the few statistics that fit a terminal."""
    columns = ("kappa", "kappa_quadratic", "alpha", "accuracy") if report.ordinal else ("kappa", "alpha", "accuracy")
    columns += ("kappa_any",) if report.ordinal else ("precision_yes", "recall_yes")
    return _rows_table(report.rows, columns)


def sides_table(report: Agreement) -> Table:
    """The judge and the people on either side of the features."""
    return _rows_table(report.sides, ("kappa", "alpha", "accuracy", "precision_yes", "recall_yes"))


def confusion_table(report: Agreement) -> Table:
    """People's answers by the judge's."""
    confusion = report.confusion
    table: Table = [("people \\ judge", *confusion.columns)]
    table += [(name, *map(str, line)) for name, line in zip(confusion.rows, confusion.counts, strict=True)]
    return table


def alternative_table(tests: Sequence[AltTest]) -> Table:
    """The alternative annotator test, the judge and its controls."""
    table: Table = [("who stands in", "omega", "rho", "passes", "annotators (features, advantage, p)")]
    for test in tests:
        each = "; ".join(f"{one.annotator} ({one.n}, {one.advantage:.2f}, {one.p:.3g})" for one in test.annotators)
        table.append(
            (
                test.name,
                format_figures(test.winning_rate),
                format_figures(test.advantage),
                "yes" if test.passed else "no",
                each or "too few answers shared",
            )
        )
    return table


def calibration_table(calibration: Calibration) -> Table:
    """Scores of the confidences as stated and as mended."""
    table: Table = [("confidence", "n", "Brier", "reliability", "resolution", "uncertainty", "ECE", "log loss")]
    for one in calibration.scores:
        parts = (one.reliability, one.resolution, one.uncertainty)
        table.append(
            (
                one.name,
                str(one.n),
                format_estimate(one.brier),
                *(f"{part:.3f}" for part in parts),
                format_estimate(one.ece),
                f"{one.log_loss:.3f}",
            )
        )
    return table


def prevalence_table(prevalence: Prevalence) -> Table:
    """The share of relevant features in the SAE, and the keyword filter's recall."""
    table: Table = [("estimate", "share [95 %]", "features [95 %]")]
    table += [(share.name, format_estimate(share.estimate, ".1%"), _features(share)) for share in prevalence.shares]
    table += [
        (f"keyword filter's recall, {share.name}", format_estimate(share.estimate, ".1%"), "")
        for share in prevalence.recall
    ]
    return table


def strata_table(prevalence: Prevalence) -> Table:
    """What the estimates rest on."""
    table: Table = [("stratum", "features", "drawn", "judged yes", "labelled", "relevant")]
    for one in prevalence.strata:
        counts = (one.population, one.drawn, one.judged_yes, one.labelled, one.relevant)
        table.append((one.stratum, *(f"{count:,}" for count in counts)))
    return table


def disagreement_table(report: Agreement) -> Table:
    """What people should look at, the judge's surest first."""
    table: Table = [("feature", "stratum", "question", "judge", "confidence", "people", "label")]
    for one in report.disagreements:
        given = ", ".join(f"{name} {value}" for name, value in one.given.items())
        sure = format_figures(one.confidence)
        table.append((one.feature.key, one.stratum, one.question, one.judged, sure, given, one.label or ""))
    return table


def plan_table(report: Agreement) -> Table:
    """The features to label next, in order."""
    proposals = report.plan.proposals if report.plan else ()
    table: Table = [("feature", "stratum", "judge")]
    return table + [(one.feature.key, one.stratum, one.judged) for one in proposals]


def statistics_table(rows: Sequence[Row]) -> Table:
    """One line a row and statistic: value, interval and how it was made."""
    table: Table = [
        ("row", "kind", "n", "features", "undecided", "failed", "statistic", "value", "low", "high", "method")
    ]
    for row in rows:
        counts = tuple(map(str, (row.n, row.features, row.undecided, row.failed)))
        for name, one in row.statistics.items():
            table.append((row.name, row.kind, *counts, name, *list_cells(one)))
    return table


def _rows_table(rows: Sequence[Row], columns: Sequence[str]) -> Table:
    table: Table = [("", "n", "undecided", "failed", *(name.replace("_", " ") for name in columns))]
    for row in rows:
        cells = (format_estimate(row.statistics.get(name)) for name in columns)
        table.append((row.name, str(row.n), str(row.undecided), str(row.failed), *cells))
    return table


def _features(share: Share) -> str:
    return "-" if share.features is None else format_figures(*share.features, ",.0f")
