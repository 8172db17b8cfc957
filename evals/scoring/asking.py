"""Every label put to a scorer: on its own feature's texts, on another's as a control, and on many others' contexts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from evals.scoring.collisions import OwnAndOthers, normalise_label
from evals.scoring.detection import Item
from evals.scoring.records import ScorerRef, Task
from evals.scoring.scorers import Answer, Scorer, WordScorer
from evals.scoring.subjects import Subject
from tools.maths import derangement

OTHERS = 200
"""Contexts of other features on which the word scorer tries a label; a model's are those of the shuffled labels."""
PHASES: tuple[tuple[Task, ...], ...] = (
    ("detection", "detection by level", "simulation"),
    ("fuzzing", "fuzzing by level"),
)
"""What is asked at a time: marks would give away what is asked of the same text without any."""
Answers = dict[Task, list[Answer]]
Pair = tuple[Subject, Subject]
"""A subject, and the one whose label it is given."""


class Asked(NamedTuple):
    """What one scorer answered."""

    scorer: ScorerRef
    own: list[Answers]
    """Of each subject, to its own label."""
    shuffled: list[tuple[Subject, Subject, Answers]]
    """Subject, the one whose label it was given, and the answers."""
    shares: list[OwnAndOthers]


async def ask_all(
    scorer: Scorer,
    ref: ScorerRef,
    subjects: Sequence[Subject],
    pairs: Sequence[Pair],
    seed: int,
    advance: Callable[[], object] = lambda: None,
) -> Asked:
    """Every subject's items under its own label, and the control's under another's.

    Args:
        scorer: who answers.
        ref: how it is recorded.
        subjects: all of them.
        pairs: of the shuffled control (`shuffle_labels`).
        seed: of the contexts of other features that the word scorer tries a label on.
        advance: called after each subject and each pair, once in every phase.
    """
    everyone = [*((subject, subject.label) for subject in subjects), *((one, giver.label) for one, giver in pairs)]
    found: list[Answers] = [{} for _ in everyone]
    for tasks in PHASES:
        given = await asyncio.gather(*(ask(scorer, subject, label, tasks, advance) for subject, label in everyone))
        for answers, more in zip(found, given, strict=True):
            answers.update(more)
    answers, shuffled = found[: len(subjects)], found[len(subjects) :]
    triples = [(subject, giver, given) for (subject, giver), given in zip(pairs, shuffled, strict=True)]
    by_key = {subject.key: given for subject, given in zip(subjects, answers, strict=True)}
    if isinstance(scorer, WordScorer):
        shares = [await _try_elsewhere(scorer, subject, subjects, by_key, seed) for subject in subjects if subject.real]
    else:
        shares = [_share_of_yeses(by_key[giver.key], giver, subject, given) for subject, giver, given in triples]
    return Asked(ref, list(answers), triples, shares)


async def ask(
    scorer: Scorer, subject: Subject, label: str, wanted: Collection[Task], advance: Callable[[], object]
) -> Answers:
    """A scorer's answers to the items of one subject under a label, of those tasks that it can be asked."""
    tasks: list[Task] = [task for task in subject.items if task in wanted and task in scorer.tasks]
    given = await asyncio.gather(*(scorer.answer(label, subject.items[task], task) for task in tasks))
    advance()
    return dict(zip(tasks, given, strict=True))


def shuffle_labels(subjects: Sequence[Subject], most: int | None, seed: int) -> list[Pair]:
    """Every feature with another one's label, at most so many; none is given a label that reads like its own."""
    real = [subject for subject in subjects if subject.real]
    chosen = [real[place] for place in np.random.default_rng(seed).permutation(len(real))[:most]]
    if len(chosen) < 2:
        return []
    pairs = zip(chosen, (chosen[place] for place in derangement(len(chosen), seed)), strict=True)
    return [(one, other) for one, other in pairs if normalise_label(one.label) != normalise_label(other.label)]


async def _try_elsewhere(
    scorer: WordScorer, subject: Subject, subjects: Sequence[Subject], by_key: Mapping[str, Answers], seed: int
) -> OwnAndOthers:
    """The label on a sample of all other features' active contexts."""
    task = plain_task(by_key[subject.key])
    others = [other for other in subjects if other.real and other.key != subject.key]
    active = [item for other in others for item in other.items.get(task, ()) if item.truth]
    rng = np.random.default_rng([seed, *subject.key.encode()])
    drawn = [active[place] for place in rng.permutation(len(active))[:OTHERS]]
    given = await scorer.answer(subject.label, drawn, task)
    own = _yeses(subject.items[task], by_key[subject.key][task])
    return OwnAndOthers(own=own, others=_yeses(drawn, given), others_asked=len(drawn))


def _share_of_yeses(own: Answers, giver: Subject, other: Subject, elsewhere: Answers) -> OwnAndOthers:
    task = plain_task(own)
    items, given = other.items.get(task, []), elsewhere.get(task, [])
    asked = sum(item.truth and answer.probability is not None for item, answer in zip(items, given, strict=True))
    return OwnAndOthers(own=_yeses(giver.items[task], own[task]), others=_yeses(items, given), others_asked=asked)


def plain_task(answers: Answers) -> Task:
    """Where nothing is marked and the answer is yes or no."""
    return "detection" if "detection" in answers else "detection by level"


def _yeses(items: Sequence[Item], answers: Sequence[Answer]) -> float | None:
    """Share of yeses on the active contexts among the items that were answered."""
    said = [a.probability > 0.5 for i, a in zip(items, answers, strict=True) if i.truth and a.probability is not None]
    return sum(said) / len(said) if said else None
