"""Figures under names that a requirement can use: `kappa_low>=0.6` fails a build when agreement is not sure enough."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from evals.errors import LabelError
from evals.results import Agreement, Estimate

_FORM = re.compile(r"\s*(?P<name>[a-z][a-z0-9_]*)\s*(?P<sign>>=|<=|>|<)\s*(?P<bound>-?\d+(?:\.\d+)?(?:e-?\d+)?)\s*")
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_ROWS = {
    "undecided and failed as wrong": "worst",
    "undecided and failed as right": "best",
    "people, same items": "people",
    "judge with people less people among themselves": "gap",
    "all features of the run, labels weighted": "weighted",
    "control: always the commonest answer": "commonest",
    "control: shuffled labels": "shuffled",
    "control: random directions, all no": "random",
}
"""Prefix of a row's figures; the headline's have none."""


class Requirement(NamedTuple):
    """A figure and the bound it must keep."""

    text: str
    name: str
    sign: str
    bound: float

    def met(self, figures: dict[str, float]) -> bool:
        """Whether it holds; a figure that does not exist meets no bound."""
        return self.name in figures and _SIGNS[self.sign](figures[self.name], self.bound)


def read_requirement(text: str) -> Requirement:
    """`NAME>=NUMBER`, with any of >=, <=, > and <.

    Raises:
        LabelError: it has another form.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise LabelError(f"{text!r} is no requirement: write one like kappa_low>=0.6")
    return Requirement(text.strip(), found["name"], found["sign"], float(found["bound"]))


def unmet(requirements: Iterable[Requirement], figures: dict[str, float]) -> list[str]:
    """A line for every requirement that does not hold."""
    lines: list[str] = []
    for one in requirements:
        if not one.met(figures):
            found = f"{one.name} is {figures[one.name]:.4g}" if one.name in figures else _missing(one.name, figures)
            lines.append(f"{one.text}: {found}")
    return lines


def collect_figures(report: Agreement) -> dict[str, float]:
    """Every figure of a report by name; `_low` and `_high` are the ends of its interval."""
    found: dict[str, float] = {}
    for row in report.rows:
        prefix = "" if row.name == report.headline else _ROWS.get(row.name)
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


def _missing(name: str, figures: dict[str, float]) -> str:
    if name.rsplit("_", 1)[0] in figures:
        return "this figure has no interval here"
    return f"there is no such figure here; there are {', '.join(sorted(n for n in figures if '_' not in n))} and others"
