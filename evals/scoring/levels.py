"""Scores by level: of a feature's strong contexts, of its weak ones, and of all as they weigh in activation.

An activation counts from `ACTIVE_SHARE` of the feature's largest one on. Stretches of text with such a peak are active and
are cut by how strong it is: the top tenth, the upper half (which holds that tenth), the lower half. As many texts are drawn
of the top tenth, of the rest of the upper half and of the lower half, so each stands for as many stretches as its part holds
to a text drawn; in the figure by mass a text weighs as much as the activation in it besides. Whatever active texts weigh, all
of them weigh as much as all silent ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import hypergeom

from evals.scoring.asking import Answers
from evals.scoring.detection import ACTIVE, Item
from evals.scoring.fuzzing import WRONG_KINDS
from evals.scoring.measures import balance, correlate, count_as_wrong, measure_weighed
from evals.scoring.records import ALL, GRADED_TASKS, Level, LevelFigures, LevelSize, Task
from evals.scoring.scorers import Answer
from evals.scoring.subjects import FEWEST, Subject
from tools.activity.heldout import SILENT_KINDS, Draw, HeldOut, PartSize

ACTIVE_SHARE = 0.1
CUTS = (0.1, 0.5)
"""Between the top tenth, the rest of the upper half and the lower half."""
PARTS: dict[Level, tuple[int, ...]] = {
    "top tenth": (1,),
    "upper half": (1, 2),
    "lower half": (3,),
    "by mass": (1, 2, 3),
}
"""Each level's parts, counted from 1 for the strongest."""
FEWEST_DOCUMENTS = 3
PLACES: tuple[tuple[Task, Level, str], ...] = (
    *((task, level, ALL) for task in GRADED_TASKS for level in PARTS),
    *(("detection by level", "by mass", kind) for kind in SILENT_KINDS),
    *(("fuzzing by level", "by mass", kind) for kind in WRONG_KINDS),
)
"""What there are figures of: task, level, and what the texts are told from."""
SURE = 0.05
"""Of Fisher's exact test, that the strong texts are recognised more often than the weak ones."""


def draw_by_level(draw: Draw) -> Draw:
    """The same draw by level."""
    return draw._replace(share=ACTIVE_SHARE, cuts=CUTS)


def size_up(graded: HeldOut | None) -> tuple[LevelSize, ...]:
    """What a text holds of a feature at each level, and which levels are too thin to be scored; nothing if not drawn so."""
    return () if graded is None else tuple(_size(level, graded.parts) for level in PARTS)


def _size(level: Level, parts: Sequence[PartSize]) -> LevelSize:
    own = [parts[number - 1] for number in PARTS[level]]
    documents = own[-1].documents_through if PARTS[level][0] == 1 else own[-1].documents
    n = sum(part.stretches for part in own)
    why = None
    if n < FEWEST or documents < FEWEST_DOCUMENTS:
        why = f"{n} contexts of {documents} documents: {FEWEST} of {FEWEST_DOCUMENTS} are needed"
    return LevelSize(level=level, contexts=n, documents=documents, why=why)


def scorable_levels(sizes: Sequence[LevelSize]) -> set[Level]:
    """Levels with enough contexts; all contexts by mass only if the strong ones, which it is made of, are enough."""
    enough: set[Level] = {one.level for one in sizes if one.why is None}
    return enough if "upper half" in enough else enough - {"by mass"}


def level_figures(scorer: str, subject: Subject, answers: Answers) -> Iterator[LevelFigures]:
    """One subject's figures, of each level that its text has enough of."""
    levels = scorable_levels(size_up(subject.graded))
    for task, level, against in PLACES:
        if level in levels and task in answers:
            figures = _figures(scorer, (task, level, against), subject, answers[task])
            if figures is not None:
                yield figures


def _figures(
    scorer: str, place: tuple[Task, Level, str], subject: Subject, answers: Sequence[Answer]
) -> LevelFigures | None:
    task, level, against = place
    pairs = [
        (item, answer)
        for item, answer in zip(subject.items[task], answers, strict=True)
        if (item.quantile in PARTS[level] if item.truth else against in (ALL, item.kind))
    ]
    items, given = [item for item, _ in pairs], [answer for _, answer in pairs]
    truth = np.array([item.truth for item in items], dtype=bool)
    if not truth.any() or truth.all():
        return None
    parts = subject.graded.parts if subject.graded else ()
    weights = weigh(items, parts, by_mass=level == "by mass")
    measures, worst = (
        _simulation(items, given, truth, weights) if task == "simulation" else _yes_or_no(given, truth, weights)
    )
    return LevelFigures(
        scorer=scorer,
        task=task,
        level=level,
        against=against,
        active=int(truth.sum()),
        silent=int((~truth).sum()),
        failed=sum(one.failure is not None for one in given),
        measures=measures,
        worst=worst,
    )


def weigh(items: Sequence[Item], parts: Sequence[PartSize], by_mass: bool) -> Float[np.ndarray, " n"]:
    """How many stretches each active text stands for, or how much activation; silent ones weigh 1 each."""
    drawn = [sum(item.quantile == number for item in items) for number in range(len(parts) + 1)]
    stretches = (
        parts[item.quantile - 1].stretches / drawn[item.quantile] if item.quantile is not None else 1.0
        for item in items
    )
    masses = (sum(item.activations) if by_mass and item.truth else 1.0 for item in items)
    return np.array([n * mass for n, mass in zip(stretches, masses, strict=True)], dtype=float)


def _yes_or_no(
    given: Sequence[Answer], truth: np.ndarray, weights: np.ndarray
) -> tuple[dict[str, float], dict[str, float]]:
    said = np.array([math.nan if one.probability is None else one.probability for one in given], dtype=float)
    return measure_weighed(truth, said, weights), measure_weighed(truth, count_as_wrong(truth, said), weights)


def _simulation(
    items: Sequence[Item], given: Sequence[Answer], truth: np.ndarray, weights: np.ndarray
) -> tuple[dict[str, float], dict[str, float]]:
    """Correlation over the tokens of all texts together; what a failed answer would have been is taken for silence."""
    shares = balance(truth, weights)
    known = [one.values is not None for one in given]

    def over(chosen: Sequence[bool]) -> dict[str, float]:
        used = [
            (item, answer.values or (0.0,) * len(item.tokens), share)
            for item, answer, share, here in zip(items, given, shares, chosen, strict=True)
            if here
        ]
        if not any(item.truth for item, *_ in used):
            return {}
        lengths = [len(item.tokens) for item, *_ in used]
        actual = np.concatenate([item.activations for item, *_ in used])
        guessed = np.concatenate([values for _, values, _ in used])
        return {"correlation": correlate(actual, guessed, np.repeat([share for *_, share in used], lengths))}

    return over(known), over([True] * len(items))


def say_by_level(scorer: str, subject: Subject, answers: Mapping[Task, Sequence[Answer]]) -> Iterator[str]:
    """That a label is right of the strong and wrong of the weak, where it is, by one scorer's detection."""
    task: Task = "detection by level"
    if task not in answers or not {"top tenth", "lower half"} <= scorable_levels(size_up(subject.graded)):
        return
    kinds = {"strong": (ACTIVE, (1,)), "weak": (ACTIVE, (3,))}
    said = {
        name: [
            answer.probability > 0.5
            for item, answer in zip(subject.items[task], answers[task], strict=True)
            if item.kind == kind and item.quantile in parts and answer.probability is not None
        ]
        for name, (kind, parts) in kinds.items()
    }
    (strong, weak), (n_strong, n_weak) = map(sum, said.values()), map(len, said.values())
    if 2 * strong <= n_strong or 2 * weak >= n_weak:
        return
    if hypergeom.sf(strong - 1, n_strong + n_weak, strong + weak, n_strong) < SURE:  # Fisher's exact test, one-sided
        yield (
            f"right of the strong and wrong of the weak ({scorer}): yes to {strong} of {n_strong} texts of its top tenth, and "
            f"to {weak} of {n_weak} of its lower half"
        )
