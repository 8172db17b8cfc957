"""Which features to label next, and agreement over all of a run's features when only some have labels.

Features fall into cells by stratum and verdict. Labels drawn at random within cells stand for the rest of their cell, so
a cell may be labelled more densely than another without bias: each label counts as many times as there are features
like it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from evals.agreement.comparison import Compared, estimate, fill_row, mean_over_slots, measures
from evals.agreement.results import Plan, Proposal, Row
from evals.statistics.bootstrap import gather_units, resample
from evals.statistics.matrices import cohen_kappa
from tools.records import STRATA, FeatureRef, Stratum

_STEP = 1e-4


class Judged(NamedTuple):
    """One feature that the judge called relevant or not, with its label if it has one."""

    feature: FeatureRef
    stratum: Stratum
    verdict: int
    """1 yes, 0 no."""
    label: int | None
    """1 yes, 0 no; None where people have not said."""
    asked: bool
    """Whether people were asked; some answer that they are undecided."""


class _Cell(NamedTuple):
    stratum: Stratum
    verdict: int
    population: int
    labelled: int
    relevant: int

    @property
    def share(self) -> float:
        """Relevant features, with half a feature added on either side."""
        return (self.relevant + 0.5) / (self.labelled + 1)

    def variance(self, labelled: float) -> float:
        """Of the share, once so many are labelled."""
        unseen = max(0.0, 1 - labelled / self.population)
        return self.share * (1 - self.share) / (labelled + 2) * unseen


def weigh_labels(judged: Sequence[Judged], seed: int = 0) -> Row | None:
    """Agreement over every feature that the judge called relevant or not, from the labelled ones.

    None where all have labels, or a cell has none: then nothing stands for its features.
    """
    cells, labelled = _cells(judged), [one for one in judged if one.label is not None]
    if len(labelled) == len(judged) or not cells or any(cell.labelled == 0 for cell in cells):
        return None
    place = {(cell.stratum, cell.verdict): number for number, cell in enumerate(cells)}
    counts = np.zeros((len(labelled), 1, 2, 2))
    groups = np.array([place[one.stratum, one.verdict] for one in labelled])
    for number, one in enumerate(labelled):
        cell = cells[groups[number]]
        counts[number, 0, one.label or 0, one.verdict] = cell.population / cell.labelled
    units = gather_units(counts, groups)
    sums = resample(units, seed)
    statistics = {
        key: estimate(mean_over_slots(measure), units, sums) for key, measure in measures(2, ordinal=False).items()
    }
    row = fill_row("all features of the run, labels weighted", "judge", Compared(counts), statistics)
    return row.model_copy(update={"n": len(labelled)})


def plan_labels(judged: Sequence[Judged], n: int, seed: int = 0) -> Plan | None:
    """The next features to label so that kappa over the run's features becomes surest.

    Each goes to the cell where one more label is expected to take most off the variance of kappa; within a cell chance
    decides.

    Args:
        judged: features the judge called relevant or not.
        n: how many to propose.
        seed: of the choice within cells.
    """
    cells = _cells(judged)
    waiting = [
        [one for one in judged if (one.stratum, one.verdict) == (cell.stratum, cell.verdict) and not one.asked]
        for cell in cells
    ]
    if not any(waiting):
        return None
    slopes = _slopes(cells)
    rng = np.random.default_rng(seed)
    queues = [[members[int(i)] for i in rng.permutation(len(members))] for members in waiting]
    taken, proposals = [0] * len(cells), list[Proposal]()
    while len(proposals) < n and any(t < len(queue) for t, queue in zip(taken, queues, strict=True)):
        gains = [
            slope**2 * (cell.variance(cell.labelled + t) - cell.variance(cell.labelled + t + 1)) if t < len(q) else -1.0
            for cell, slope, t, q in zip(cells, slopes, taken, queues, strict=True)
        ]
        best = int(np.argmax(gains))
        one = queues[best][taken[best]]
        taken[best] += 1
        proposals.append(Proposal(feature=one.feature, stratum=one.stratum, judged="yes" if one.verdict else "no"))
    free = np.array([len(queue) for queue in queues], dtype=float)
    return Plan(
        target="kappa over the run's features",
        proposals=tuple(proposals),
        error_now=_error(cells, slopes, np.zeros(len(cells))),
        error_planned=_error(cells, slopes, np.array(taken, dtype=float)),
        error_random=_error(cells, slopes, free / free.sum() * len(proposals)),
    )


def _cells(judged: Sequence[Judged]) -> list[_Cell]:
    cells: list[_Cell] = []
    for stratum, verdict in product(STRATA, (0, 1)):
        members = [one for one in judged if (one.stratum, one.verdict) == (stratum, verdict)]
        labels = [one.label for one in members if one.label is not None]
        if members:
            cells.append(_Cell(stratum, verdict, len(members), len(labels), sum(labels)))
    return cells


def _slopes(cells: Sequence[_Cell]) -> Float[np.ndarray, " cells"]:
    """How much kappa changes with each cell's share of relevant features."""
    shares = np.array([cell.share for cell in cells])
    ends = [shares + side * _STEP * np.eye(len(cells)) for side in (1, -1)]
    up, down = (cohen_kappa(_matrices(cells, end)) for end in ends)
    return np.nan_to_num((up - down) / (2 * _STEP))


def _matrices(cells: Sequence[_Cell], shares: Float[np.ndarray, "n cells"]) -> Float[np.ndarray, "n 2 2"]:
    matrices = np.zeros((len(shares), 2, 2))
    for number, cell in enumerate(cells):
        matrices[:, 1, cell.verdict] += cell.population * shares[:, number]
        matrices[:, 0, cell.verdict] += cell.population * (1 - shares[:, number])
    return matrices


def _error(cells: Sequence[_Cell], slopes: Float[np.ndarray, " cells"], more: Float[np.ndarray, " cells"]) -> float:
    variances = [cell.variance(cell.labelled + extra) for cell, extra in zip(cells, more, strict=True)]
    return float(np.sqrt(slopes**2 @ np.array(variances)))
