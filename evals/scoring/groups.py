"""Whose answers are taken together: all labels, each stratum, the controls, and each label beside a shuffled one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from evals.scoring.asking import Answers, Asked
from evals.scoring.records import RowKind
from evals.scoring.subjects import Subject

LIFT = "own label less shuffled one"
"""Row of the difference, on features that were given both."""
Answered = tuple[Subject, Answers]


class Group(NamedTuple):
    """Some features, with a scorer's answers to a label each."""

    name: str
    kind: RowKind
    members: list[Answered]


def group_labels(asked: Asked, subjects: Sequence[Subject]) -> list[Group]:
    """All features under their own labels, then each stratum that is not all of them, then what is called relevant."""
    real = [one for one in zip(subjects, asked.own, strict=True) if one[0].real]
    strata = dict.fromkeys(subject.decision.stratum for subject, _ in real)
    parts: list[tuple[str, list[Answered]]] = [
        (stratum, [one for one in real if one[0].decision.stratum == stratum]) for stratum in strata
    ]
    parts.append(("called relevant", [one for one in real if one[0].decision.relevant == "yes"]))
    some = [Group(name, "stratum", part) for name, part in parts if part and len(part) < len(real)]
    return [Group("labels", "labels", real), *some]


def group_controls(asked: Asked, subjects: Sequence[Subject]) -> list[Group]:
    """Features under other features' labels, and random directions under their own."""
    shuffled = [(subject, given) for subject, _, given in asked.shuffled]
    randoms = [one for one in zip(subjects, asked.own, strict=True) if not one[0].real]
    parts = (("shuffled labels", shuffled), ("random directions", randoms))
    return [Group(f"control: {name}", "control", part) for name, part in parts if part]


def pair_with_shuffled(asked: Asked, subjects: Sequence[Subject]) -> list[tuple[Answered, Answered]]:
    """Features' answers to their own label, and to the other one that they were given."""
    own = {subject.key: (subject, given) for subject, given in zip(subjects, asked.own, strict=True)}
    return [(own[subject.key], (subject, given)) for subject, _, given in asked.shuffled]
