"""What a run asks of every feature: its study's question, or in its place how much a task's label and attribute are in it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import RunError
from tools.study.definition import Question, Rating
from tools.study.parts import hash_tables
from tools.study.reading import STUDIES, load_question

if TYPE_CHECKING:
    from agent.folder.config import RunConfig
    from tools.probes.definition import Concept, TaskDefinition

DEFAULT_GUIDELINE = STUDIES / "tasks.guideline.md"
"""For tasks that have none of their own."""


def open_asked(config: RunConfig) -> Question:
    """What the judges of a run are asked.

    Raises:
        StudyError: study or task is not there, or does not read.
        RunError: the task has no attribute, and so nothing that could be beside the point.
    """
    question = load_question(config.study)
    if config.task is None:
        return question
    from tools.probes.definition import find_definition

    return ask_about(find_definition(config.task, question), question)


def ask_about(definition: TaskDefinition, study: Question) -> Question:
    """The question of a task, in a study's place.

    Raises:
        StudyError: its classes have to be read from its texts, which do not read.
        RunError: it has no attribute.
    """
    from tools.probes.reading import name_classes

    if definition.attribute is None:
        raise RunError(
            f"task {definition.name} has no attribute, and so nothing that could be beside the point: "
            "features are investigated for tasks with one"
        )
    given = definition.rating
    concepts = {
        concept.name: (own.means if (own := given.concepts.get(concept.name)) else "") or describe(concept)
        for concept in name_classes(definition).concepts
    }
    words = {name: file for name in concepts if (file := definition.words_of(name))}
    guideline = given.guideline or str(DEFAULT_GUIDELINE.resolve())
    return Question(
        name=study.name,
        title=definition.title or definition.name,
        folder=definition.folder,
        rating=Rating(guideline=guideline, concepts=concepts, words=words),
        survey=study.survey,
    )


def describe(concept: Concept) -> str:
    """What is meant by a concept, where its task does not say: by the names of its classes."""
    named = [name.replace("_", " ") for name in concept.classes]
    *first, last = named or [concept.name]
    listed = f"{', '.join(first)} or {last}" if first else last
    return f"Whether it is {listed}, and everything that goes with one of these more than with the others."


def question_files(question: Question) -> dict[str, Path]:
    """The files that a question is asked by, by their role in a manifest.

    Raises:
        StudyError: the guideline is not there.
    """
    return {"guideline": question.guideline, **word_files(question)}


def word_files(question: Question) -> dict[str, Path]:
    """The word lists of the concepts that are rated, by their role in a manifest."""
    words = question.rating.words if question.rating else {}
    return {f"words of {name}": question.folder / file for name, file in words.items()}


def hash_parts(config: RunConfig, question: Question | None = None) -> dict[str, str]:
    """sha256 of each part of what was settled in files: the study's tables, and the ratings that a task asks for.

    Args:
        config: of the run.
        question: what its judges are asked; None leaves out what a task asks.

    Raises:
        StudyError: the study is not there, or does not read.
    """
    parts = hash_tables(config.study, config.sae)
    if config.task is not None and question is not None and question.rating is not None:
        told = json.dumps(question.rating.concepts, ensure_ascii=True)
        parts["task"] = hashlib.sha256(told.encode()).hexdigest()
    return parts
