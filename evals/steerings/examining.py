"""Everything that is worked out of steering runs, as one report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from agent.folder.confidence import ConfidenceModel
from agent.folder.steered import Scheme
from evals.errors import LabelError
from evals.statistics import matrices
from evals.statistics.estimate import Estimate
from evals.steerings.comparisons import compare, tabulate
from evals.steerings.confidence import (
    LEFT_OUT,
    Known,
    area_of,
    draw_curve,
    leave_out,
    leave_pairs_out,
    make_file,
    rank_all,
)
from evals.steerings.over_targets import Above, estimate_over, of_tables, share_of
from evals.steerings.results import Agreed, ArmRow, Compared, SteeredReport, TargetRow
from evals.steerings.runs import Together, Toward
from evals.steerings.success import JUDGED, SUCCESS, Outcomes, count, find_outcomes

FEW = 8
"""Targets below which no interval over them says much."""


class Examined(NamedTuple):
    """A report, and what a confidence is fitted on."""

    report: SteeredReport
    known: tuple[Known, ...]

    def fit(self, together: Together) -> ConfidenceModel:
        """The study's file.

        Raises:
            LabelError: nothing can be fitted on these targets.
        """
        if together.faults:
            raise LabelError(f"{together.faults[0]}: one file tells of one kind of run")
        auroc = next((one.auroc for one in self.report.ranked if one.by == LEFT_OUT), None)
        return make_file(self.known, together.manifests[0], self.report.scheme, SUCCESS, auroc)


def examine(together: Together, scheme: Scheme | None, seed: int, allowed: str | None = None) -> Examined:
    """Compare arms, count successes, rank what was known beforehand.

    Args:
        together: the runs.
        scheme: whose success is told; the runs' first if None.
        seed: of resamples and permutations.
        allowed: why runs that differ are read together.

    Raises:
        LabelError: no run has that scheme with its shuffled twin, or nothing of it was measured.
    """
    chosen = _choose(together, scheme)
    pairs = [(one, find_outcomes(one, chosen)) for one in together.targets]
    pairs = [(one, found) for one, found in pairs if found.measured]
    if not pairs:
        raise LabelError(f"no target has texts by {chosen} whose likeness was measured: there is nothing to examine")
    known = tuple(_know(one, found) for one, found in pairs)
    outcomes, left_out, surer = [found for _, found in pairs], leave_out(known), leave_pairs_out(known)
    measured, floor, judged = (
        _rate([getattr(one, name) for one in outcomes], seed) for name in ("measured", "floor", "judged")
    )
    curve = draw_curve(known, surer)
    report = SteeredReport(
        runs=tuple(one.run_id for one in together.manifests),
        scheme=chosen,
        success=SUCCESS,
        judged=JUDGED if any(one.judged for one in outcomes) else None,
        arms=tabulate(together),
        compared=compare(together, seed),
        targets=tuple(
            _row(one, found, score, together) for (one, found), score in zip(pairs, left_out, strict=True)
        ),
        succeeded=measured,
        floor=floor,
        judged_succeeded=judged,
        agreed=_agree(outcomes, seed),
        ranked=rank_all(known, surer, seed),
        curve=curve,
        risk_area=area_of(curve),
        remarks=tuple(_list_remarks(together, known, surer)),
        allowed=allowed if together.faults else None,
        figures={},
    )  # fmt: skip
    return Examined(report.model_copy(update={"figures": dict(_list_figures(report))}), known)


def _choose(together: Together, scheme: Scheme | None) -> Scheme:
    if not together.schemes:
        raise LabelError("no run has a scheme with shuffled scores beside it: there is nothing to hold success against")
    if scheme is not None and scheme not in together.schemes:
        raise LabelError(f"--scheme {scheme}: the runs have {', '.join(together.schemes)}")
    return scheme or together.schemes[0]


def _know(target: Toward, found: Outcomes) -> Known:
    one = target.found
    return Known(one.name, one.sha256, one.doubt, sum(found.measured.values()), len(found.measured))


def _rate(outcomes: Sequence[dict[tuple[int, int], bool]], seed: int) -> Estimate:
    counts = [pair for pair in count(outcomes) if pair[1]]
    return estimate_over(len(counts), share_of(counts), seed) if counts else Estimate(value=None)


def _agree(outcomes: Sequence[Outcomes], seed: int) -> Agreed | None:
    """Of the beginnings that have both words."""
    tables = np.zeros((len(outcomes), 2, 2))
    for number, one in enumerate(outcomes):
        for spot in one.measured.keys() & one.judged.keys():
            tables[number, int(one.measured[spot]), int(one.judged[spot])] += 1
    tables = tables[tables.sum((1, 2)) > 0]
    if not len(tables):
        return None
    (a, b), (c, d) = tables.sum(0).astype(int).tolist()
    accuracy, kappa = (
        estimate_over(len(tables), of_tables(statistic, tables), seed)
        for statistic in (matrices.accuracy, matrices.cohen_kappa)
    )
    return Agreed(counts=((a, b), (c, d)), accuracy=accuracy, kappa=kappa)


def _row(target: Toward, found: Outcomes, left_out: float | None, together: Together) -> TargetRow:
    one = target.found
    return TargetRow(
        name=one.name,
        sha256=one.sha256,
        beginnings=len(found.measured),
        succeeded=sum(found.measured.values()),
        floor=sum(found.floor.values()),
        judged=len(found.judged),
        judged_succeeded=sum(found.judged.values()),
        stored=one.doubt.confidence,
        left_out=left_out,
        refused=one.sha256 in together.refused,
    )


def _list_remarks(together: Together, known: Sequence[Known], surer: Above | None) -> Iterator[str]:
    yield from together.faults
    yield "likeness by word vectors knows which words a text has, and nothing of how they are put together"
    if len(known) < len(together.targets):
        yield f"{len(together.targets) - len(known)} of {len(together.targets)} targets have nothing that success could be told by"
    if len(known) < FEW:
        yield f"{len(known)} targets are few: intervals over them are wide, and a fit on them may not hold for another"
    if surer is None:
        yield "what a fitted confidence is worth cannot be told: too few targets, or nothing known of them beforehand differs"


def _list_figures(report: SteeredReport) -> Iterator[tuple[str, float]]:
    named: dict[str, Estimate | None] = {
        "success": report.succeeded,
        "floor": report.floor,
        "judged_success": report.judged_succeeded,
        "kappa": report.agreed and report.agreed.kappa,
    }
    named |= {_name(f"auroc_{one.by.removeprefix('confidence, ')}"): one.auroc for one in report.ranked}
    named |= {_name(f"{row.arm}_{name}"): value for row in report.arms for name, value in _of_arm(row)}
    named |= {_name(_spell(one)): one.difference for one in report.compared}
    for name, found in named.items():
        if found is not None:
            ends = {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
            yield from ((key, value) for key, value in ends.items() if value is not None)
    yield from ((f"{_name(_spell(one))}_p", one.p_corrected) for one in report.compared if one.p_corrected is not None)
    if report.risk_area is not None:
        yield "risk_area", report.risk_area


def _of_arm(row: ArmRow) -> Iterator[tuple[str, Estimate]]:
    for name in ("nats", "likeness", "encoder", "wins", "rated", "collapsed", "fluency", "kl"):
        yield name, getattr(row, name)


def _spell(one: Compared) -> str:
    against = one.against.removeprefix(f"{one.arm}, ")
    return f"{one.arm}_over_{against}_{one.measure}"


def _name(words: str) -> str:
    """As a requirement may name a figure."""
    return words.replace(", ", "_").replace(" ", "_")
