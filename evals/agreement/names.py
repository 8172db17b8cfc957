"""The figures of an examination under names that a requirement can use."""

from __future__ import annotations

from evals.agreement.results import Agreement
from evals.statistics.estimate import Estimate

_ROWS = {
    "undecided and failed as wrong": "worst",
    "undecided and failed as right": "best",
    "judge and people, as settled": "settled",
    "people, same items": "people",
    "judge with people less people among themselves": "gap",
    "all features of the run, labels weighted": "weighted",
    "control: always the commonest answer": "commonest",
    "control: shuffled labels": "shuffled",
    "control: random directions, all no": "random",
}
"""Prefix of a row's figures; the headline's have none."""
_SIDES = {
    "input side": "input",
    "input side, as settled": "settled_input",
    "output side": "output",
    "output side, as settled": "settled_output",
}


def collect_figures(report: Agreement) -> dict[str, float]:
    """Every figure of a report by name; `_low` and `_high` are the ends of its interval."""
    found: dict[str, float] = {}
    for row in (*report.rows, *report.sides):
        prefix = "" if row.name == report.headline else (_ROWS | _SIDES).get(row.name)
        if prefix is None:
            continue
        for name, one in row.statistics.items():
            _add(found, f"{prefix}_{name}" if prefix else name, one)
        found[f"{prefix}_n" if prefix else "n"] = row.n
    for name, rate in (("failure_rate", report.failure_rate), ("undecided_rate", report.undecided_rate)):
        if rate is not None:
            found[name] = rate
    found["labelled"] = report.labelled
    if report.paired is not None:
        found["mcnemar_p"] = report.paired.p
    for test in report.alternative[:1]:
        for name, value in (("omega", test.winning_rate), ("rho", test.advantage)):
            if value is not None:
                found[name] = value
    if report.calibration is not None:
        _add(found, "brier", report.calibration.scores[0].brier)
        _add(found, "ece", report.calibration.scores[0].ece)
    if report.prevalence is not None:
        _add(found, "prevalence", report.prevalence.shares[2].estimate)
        for share in report.prevalence.recall[-1:]:
            _add(found, "filter_recall", share.estimate)
    return found


def _add(found: dict[str, float], name: str, estimate: Estimate) -> None:
    for suffix, value in (("", estimate.value), ("_low", estimate.low), ("_high", estimate.high)):
        if value is not None:
            found[name + suffix] = value
