"""Figures by level as rows over features, with intervals and with how much text they rest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from evals.scoring.asking import Answers, Asked
from evals.scoring.groups import LIFT, Group, group_controls, group_labels, pair_with_shuffled
from evals.scoring.levels import PLACES, level_figures, size_up
from evals.scoring.measures import MEASURES, RATES, estimate_mean
from evals.scoring.records import ALL, Level, LevelFigures, LevelRow, RowKind, Task
from evals.scoring.subjects import Subject
from evals.statistics.estimate import Estimate

STRONG_LESS_WEAK = "strong_less_weak"
"""The share of yeses in the top tenth less that in the lower half: how far a label is right of the strong alone."""
Found = dict[tuple[Task, Level, str], LevelFigures]


def rows_by_level(asked: Asked, subjects: Sequence[Subject], seed: int) -> Iterator[LevelRow]:
    """The labels' rows, those of each stratum, what is gained over shuffled labels, and the controls', for one scorer."""
    name = asked.scorer.name
    for group in group_labels(asked, subjects):
        yield from _summarise(name, group, seed)
    both = [
        (_find(name, *own), _find(name, *shuffled), own[0]) for own, shuffled in pair_with_shuffled(asked, subjects)
    ]
    for place in PLACES:
        known = [
            (one[place].measures, other[place].measures, subject)
            for one, other, subject in both
            if place in one and place in other and one[place].measures and other[place].measures
        ]
        if known:
            gains = {of: [one[of] - other[of] for one, other, _ in known] for of in _statistics(*place[:2])}
            statistics = {of: estimate_mean(values, seed) for of, values in gains.items()}
            yield _row((LIFT, "difference", name), place, [subject for *_, subject in known], [], statistics)
    for group in group_controls(asked, subjects):
        yield from _summarise(name, group, seed)


def _statistics(task: Task, level: Level) -> tuple[str, ...]:
    """What there is a mean of; of single levels, the shares of yeses and what they come to."""
    if task == "simulation":
        return ("correlation",)
    return (*MEASURES, *RATES) if level == "by mass" else ("balanced_accuracy", *RATES)


def _find(scorer: str, subject: Subject, answers: Answers) -> Found:
    return {(one.task, one.level, one.against): one for one in level_figures(scorer, subject, answers)}


def _summarise(scorer: str, group: Group, seed: int) -> Iterator[LevelRow]:
    all_found = [(subject, _find(scorer, subject, answers)) for subject, answers in group.members]
    for place in PLACES:
        members = [(subject, found[place]) for subject, found in all_found if place in found]
        if not members:
            continue
        figures = [one for _, one in members]
        statistics = {
            of: estimate_mean([one.measures[of] for one in figures if one.measures], seed)
            for of in _statistics(*place[:2])
        }
        if any(one.failed for one in figures):
            worst = {of: [one.worst[of] for one in figures if one.worst] for of in _statistics(*place[:2])}
            statistics |= {f"{of}_worst": estimate_mean(values, seed) for of, values in worst.items()}
        if place == ("detection by level", "by mass", ALL):
            gaps = [gap for _, found in all_found if (gap := _gap(found)) is not None]
            statistics[STRONG_LESS_WEAK] = estimate_mean(gaps, seed)
        head = (group.name, group.kind, scorer)
        yield _row(head, place, [subject for subject, one in members if one.measures], figures, statistics)


def _gap(found: Found) -> float | None:
    ends = (found.get(("detection by level", level, ALL)) for level in ("top tenth", "lower half"))
    strong, weak = (one.measures.get("recall") if one else None for one in ends)
    return None if strong is None or weak is None else strong - weak


def _row(
    head: tuple[str, RowKind, str],
    place: tuple[Task, Level, str],
    subjects: Sequence[Subject],
    figures: Sequence[LevelFigures],
    statistics: dict[str, Estimate],
) -> LevelRow:
    (name, kind, scorer), (task, level, against) = head, place
    sizes = [size for subject in subjects for size in size_up(subject.graded) if size.level == level]
    return LevelRow(
        name=name,
        kind=kind,
        scorer=scorer,
        task=task,
        level=level,
        against=against,
        features=len(subjects),
        answers=sum(one.active + one.silent for one in figures),
        failed=sum(one.failed for one in figures),
        contexts=float(np.median([size.contexts for size in sizes])) if sizes else None,
        documents=float(np.median([size.documents for size in sizes])) if sizes else None,
        statistics=statistics,
    )
