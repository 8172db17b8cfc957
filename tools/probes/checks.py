"""Whether anything can be learned from a task, said in a line where not.

What is refused: a class or a quadrant that a split lacks, an attribute that is the label under another name, more than two
classes where two are told apart. What is told: quadrants of unequal size, of which as many as the smallest are measured.
"""

from __future__ import annotations

import numpy as np

from tools.errors import StudyError
from tools.probes.task import PAIRS, SPLITS, Split, Task

FEWEST = 5
"""Texts of a quadrant, or of a class where there are no quadrants, that each split has to have."""
_NAMED, _SHOWN = 5, 40
"""Classes that are named in a complaint, and the characters of each."""


def check_task(task: Task) -> Task:
    """The task, with a note where its test set is unbalanced.

    Raises:
        StudyError: nothing could be learned from it.
    """
    if not task.attribute:
        for split in SPLITS:
            counts = np.bincount(task.labels[task.within(split)], minlength=len(task.classes))
            _check_counts(task, split, dict(zip(task.classes, counts.tolist(), strict=True)))
        return task
    for concept, classes in ((task.label, task.classes), (task.attribute, task.attribute_classes)):
        if len(classes) != 2:
            shown = ", ".join(name[:_SHOWN] for name in classes[:_NAMED]) + (", …" if len(classes) > _NAMED else "")
            raise StudyError(
                f"task {task.name}: {concept} has {len(classes)} classes ({shown}) where two are told apart: "
                "name the two that are meant in a task file"
            )
    if len(set(task.quadrants.tolist())) == 2:
        _refuse_one_name(task)
    for split in SPLITS:
        counts = np.bincount(task.quadrants[task.within(split)], minlength=len(PAIRS))
        named = {task.name_quadrant(quadrant): int(n) for quadrant, n in enumerate(counts)}
        _check_counts(task, split, named)
        if split == "test" and counts.max() > 2 * counts.min():
            return task.model_copy(update={"notes": (*task.notes, _note_unbalanced(named))})
    return task


def _refuse_one_name(task: Task) -> None:
    """Where one follows from the other everywhere."""
    if np.array_equal(task.labels, task.attributes) or np.array_equal(task.labels, 1 - task.attributes):
        raise StudyError(
            f"task {task.name}: its attribute {task.attribute} is its label {task.label} under another name: "
            "no text tells the two apart"
        )


def _check_counts(task: Task, split: Split, counts: dict[str, int]) -> None:
    least = min(counts, key=lambda name: counts[name])
    if counts[least] < FEWEST:
        raise StudyError(
            f"task {task.name}: its {split} split has {counts[least]} texts of {least}, and it takes {FEWEST}: "
            "a document's split follows from its name, so more documents are needed"
            + "".join(f" ({note})" for note in task.notes)
        )


def _note_unbalanced(counts: dict[str, int]) -> str:
    shown = ", ".join(f"{n} {name}" for name, n in counts.items())
    left = sum(counts.values()) - len(counts) * min(counts.values())
    return f"the test split is unbalanced ({shown}): {min(counts.values())} of each are measured, {left} left out"
