"""Answers as figures: of each feature, and as rows over features with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from evals.scoring.asking import Answers
from evals.scoring.detection import ACTIVE, Item
from evals.scoring.fuzzing import WRONG_KINDS
from evals.scoring.measures import MEASURES, count_as_wrong, estimate_mean, measure
from evals.scoring.records import ALL, Figures, RowKind, ScoreRow, Task
from evals.scoring.sanity import COMPOSITE, compose
from evals.scoring.scorers import Answer
from evals.scoring.subjects import Subject
from tools.activity.heldout import SILENT_KINDS

TASKS: tuple[Task, ...] = ("detection", "fuzzing")
PLACES: tuple[tuple[Task, str], ...] = (
    *(("detection", against) for against in (ALL, *SILENT_KINDS)),
    *(("fuzzing", against) for against in (ALL, *WRONG_KINDS)),
)
"""Each task, against all texts whose answer is no, then against each kind of them."""


def figures_of(scorer: str, subject: Subject, answers: Answers) -> tuple[Figures, ...]:
    """One subject's figures, for each task against each kind of text and against all of them."""
    return tuple(
        figures
        for task, against in PLACES
        if task in answers
        and (figures := _figures(scorer, task, against, subject.items[task], answers[task])) is not None
    )


def _figures(scorer: str, task: Task, against: str, items: Sequence[Item], answers: Sequence[Answer]) -> Figures | None:
    chosen = [(i, a) for i, a in zip(items, answers, strict=True) if against == ALL or i.kind in (ACTIVE, against)]
    truth = np.array([item.truth for item, _ in chosen], dtype=bool)
    given = np.array([math.nan if a.probability is None else a.probability for _, a in chosen], dtype=float)
    if not len(truth) or truth.all():
        return None
    return Figures(
        scorer=scorer,
        task=task,
        against=against,
        active=int(truth.sum()),
        silent=int((~truth).sum()),
        failed=int(np.isnan(given).sum()),
        measures=measure(truth, given),
        worst=measure(truth, count_as_wrong(truth, given)),
    )


def summarise(
    name: str, kind: RowKind, scorer: str, group: Sequence[tuple[Figures, ...]], seed: int
) -> Iterator[ScoreRow]:
    """Rows over features: each task against each kind of text, then the composite of both.

    Args:
        name: of the rows.
        kind: `labels`, `stratum` or `control`.
        scorer: who answered.
        group: figures of each feature.
        seed: of resamples.
    """
    for task, against in PLACES:
        found = [one for figures in group for one in figures if (one.task, one.against) == (task, against)]
        if found:
            yield _summary(name, kind, scorer, task, against, found, seed)
    composites = [value for figures in group if (value := composite_of(figures)) is not None]
    answers = [one for figures in group for one in figures if one.against == ALL]
    yield ScoreRow(
        name=name,
        kind=kind,
        scorer=scorer,
        task="both",
        against=ALL,
        features=len(composites),
        answers=sum(one.active + one.silent for one in answers),
        failed=sum(one.failed for one in answers),
        prevalence=None,
        statistics={COMPOSITE: estimate_mean(composites, seed)},
    )


def _summary(
    name: str, kind: RowKind, scorer: str, task: Task, against: str, found: Sequence[Figures], seed: int
) -> ScoreRow:
    statistics = {of: estimate_mean([one.measures[of] for one in found if one.measures], seed) for of in MEASURES}
    if any(one.failed for one in found):
        worst = {f"{of}_worst": estimate_mean([one.worst[of] for one in found], seed) for of in MEASURES}
        statistics |= worst
    return ScoreRow(
        name=name,
        kind=kind,
        scorer=scorer,
        task=task,
        against=against,
        features=sum(bool(one.measures) for one in found),
        answers=sum(one.active + one.silent for one in found),
        failed=sum(one.failed for one in found),
        prevalence=float(np.mean([one.active / (one.active + one.silent) for one in found])),
        statistics=statistics,
    )


def composite_of(figures: Sequence[Figures]) -> float | None:
    """The composite score of one feature; None where a part of it is missing."""
    parts = {one.task: one.measures for one in figures if one.against == ALL and one.measures}
    return compose(parts["detection"], parts["fuzzing"]) if len(parts) == len(TASKS) else None


def difference_rows(
    name: str, scorer: str, pairs: Sequence[tuple[Sequence[Figures], Sequence[Figures]]], seed: int
) -> Iterator[ScoreRow]:
    """Mean differences over features that were answered about in two ways.

    Args:
        name: of the rows.
        scorer: who answered.
        pairs: each feature's figures, and those to take away.
        seed: of resamples.
    """
    for task, against in PLACES:
        both = [(_measures(one, task, against), _measures(other, task, against)) for one, other in pairs]
        known = [(one, other) for one, other in both if one and other]
        gains = {of: [one[of] - other[of] for one, other in known] for of in MEASURES}
        if known:
            yield _difference(name, scorer, task, against, gains, seed)
    wholes = [(composite_of(one), composite_of(other)) for one, other in pairs]
    gained = [one - other for one, other in wholes if one is not None and other is not None]
    if gained:
        yield _difference(name, scorer, "both", ALL, {COMPOSITE: gained}, seed)


def _difference(
    name: str,
    scorer: str,
    task: Task | Literal["both"],
    against: str,
    gains: Mapping[str, Sequence[float]],
    seed: int,
) -> ScoreRow:
    return ScoreRow(
        name=name,
        kind="difference",
        scorer=scorer,
        task=task,
        against=against,
        features=max(map(len, gains.values())),
        answers=0,
        failed=0,
        prevalence=None,
        statistics={of: estimate_mean(values, seed) for of, values in gains.items()},
    )


def _measures(figures: Sequence[Figures], task: Task, against: str) -> dict[str, float]:
    return next((one.measures for one in figures if (one.task, one.against) == (task, against)), {})
