"""The files of a run's task: by which hashes they are known, and which of them a manifest may have opened.

By the rule for studies (`agent.folder.entrusted`): a task that ships with a study of the project is taken by its name; any
other file only where its hash is the one in the manifest, before a word of it is read for anything else.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agent.folder.asking import word_files
from agent.folder.provenance import hash_file
from tools.errors import StudyError
from tools.study.definition import Question
from tools.study.parts import is_shipped
from tools.study.reading import load_question
from tools.study.texts import HUB

if TYPE_CHECKING:
    from agent.folder.config import RunConfig
    from agent.folder.records import Manifest
    from tools.probes.definition import TaskDefinition

DEFINITION, TEXTS, TASK = "task_definition", "task_texts", "task"
"""Roles in a manifest: the definition's file, the file of its texts, and the texts as they are told apart and parted."""
ROLES = (DEFINITION, TEXTS, TASK)


def task_files(definition: TaskDefinition) -> dict[str, Path]:
    """The task's own file and that of its texts, if they lie in one, by their role in a manifest."""
    texts = {} if definition.texts.startswith(HUB) else {TEXTS: definition.folder / definition.texts}
    return {DEFINITION: definition.file, **texts} if definition.file else texts


def asks_as_shipped(config: RunConfig) -> bool:
    """Whether everything that decides what a run asks is named by the project, and no file by the run alone.

    Raises:
        StudyError: the study is not there, or does not read.
    """
    if config.task is None or not is_shipped(config.study):
        return is_shipped(config.study)
    from tools.probes.definition import list_tasks

    return config.task in list_tasks(load_question(config.study))


def find_untrusted(manifest: Manifest) -> list[str]:
    """Files of the run's task that may not be opened to learn what was asked: no hash in the manifest is theirs.

    Raises:
        StudyError: study or task is not there, or does not read.
    """
    config = manifest.config
    if config.task is None or asks_as_shipped(config):
        return []
    from tools.probes.definition import find_definition, find_file

    study = load_question(config.study)
    if different := _differing(manifest, {DEFINITION: find_file(config.task, study)}):
        return different
    definition = find_definition(config.task, study)
    if all(concept.classes for concept in definition.concepts):
        return []  # else they are read off the texts
    return _differing(manifest, task_files(definition))


def compare_task(manifest: Manifest) -> list[str]:
    """What of a run's task is not what it began with, before features are chosen by it.

    Raises:
        UnveilError: study or task is not there, or does not read.
    """
    config = manifest.config
    if config.task is None:
        return []
    if different := find_untrusted(manifest):
        return different
    from tools.probes.definition import find_definition
    from tools.probes.reading import read_task

    definition = find_definition(config.task, load_question(config.study))
    if different := _differing(manifest, task_files(definition)):
        return different
    if not definition.texts.startswith(HUB):
        return []
    if not asks_as_shipped(config):
        return [f"the {TEXTS.replace('_', ' ')} ({definition.texts}, which would have to be downloaded)"]
    known = manifest.provenance.sha256.get(TASK)
    return [] if read_task(definition).sha256 == known else [f"the {TEXTS.replace('_', ' ')} ({definition.texts})"]


def compare_words(manifest: Manifest, question: Question) -> list[str]:
    """Word lists that are not those the run's rules judged by."""
    return _differing(manifest, word_files(question))


def _differing(manifest: Manifest, files: dict[str, Path]) -> list[str]:
    known = manifest.provenance.sha256
    return [
        f"the {role.replace('_', ' ')} ({file})" for role, file in files.items() if _hash(file) != known.get(role, "")
    ]


def _hash(file: Path) -> str | None:
    try:
        return hash_file(file) if file.is_file() else None
    except OSError as error:
        raise StudyError(f"{file} cannot be read: {error.strerror or error}") from None
