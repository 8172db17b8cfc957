"""Runs whose verdicts can be acted on: finished, of a task that is what it was; and the bench that they were made on.

A manifest is data: the files of its task are opened by the rule for all that a run names (`agent.folder.task_files`), or when
the command line names them. Either way the task has to be the one whose hash the manifest holds.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from agent.errors import RunError
from agent.folder.entrusted import names_its_study
from agent.folder.records import Decision, Manifest
from agent.folder.soundness import check_folder
from agent.folder.store import RunFolder
from agent.folder.task_files import compare_task
from tools.probes.definition import TaskDefinition, find_definition, list_tasks
from tools.probes.reading import read_task
from tools.probes.task import Task
from tools.study.definition import Study
from tools.study.parts import is_shipped
from tools.study.reading import load_study


class Opened(NamedTuple):
    """A run on a task."""

    path: Path
    manifest: Manifest
    decisions: tuple[Decision, ...]
    caveats: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.path.resolve().name


class Given(NamedTuple):
    """A task as its file defines it, and its texts."""

    definition: TaskDefinition
    task: Task


USUAL = "domains"
_SAME = {"model": "another model", "sae": "another SAE", "task": "another task"}


def open_run(path: Path) -> Opened:
    """A finished run that rated features for a task.

    Raises:
        RunError: it is no run, is not finished, or was made without a task.
    """
    folder = RunFolder.open(path)
    manifest = folder.manifest()
    if manifest.config.task is None or "task" not in manifest.provenance.sha256:
        raise RunError(
            f"{path} rated no features for a task: there is nothing to act on; start a run with python -m agent.run --task"
        )
    folder.finished_evidence()
    return Opened(path, manifest, tuple(folder.decisions()), check_folder(folder).caveats)


def open_beside(paths: list[Path], first: Opened) -> list[Opened]:
    """Further runs on the same task, SAE and model as the first.

    Raises:
        RunError: as `open_run`, or one is of something else.
    """
    found = [open_run(path) for path in paths]
    for one in found:
        for role, said in _SAME.items():
            if one.manifest.provenance.sha256.get(role) != first.manifest.provenance.sha256.get(role):
                raise RunError(
                    f"{one.path} is of {said} than {first.path}: judges are compared on the same features; SAEs with --compare"
                )
    return found


def open_same_task(paths: list[Path], first: Opened) -> list[Opened]:
    """Further runs on the same task, of whatever SAE.

    Raises:
        RunError: as `open_run`, or one is of another task.
    """
    found = [open_run(path) for path in paths]
    for one in found:
        if one.manifest.provenance.sha256["task"] != first.manifest.provenance.sha256["task"]:
            raise RunError(f"{one.path} is of another task than {first.path}: SAEs are ranked on one task")
    return found


def open_task(opened: Opened, named: str | None) -> Given:
    """The task of a run, as the run had it.

    Args:
        opened: the run.
        named: where it is now, if not where the run had it.

    Raises:
        UnveilError: it is missing, is another by now, or may not be opened on the run's word alone.
    """
    manifest = opened.manifest
    if named is None and (different := compare_task(manifest)):
        raise RunError(
            f"{' and '.join(different)} is not what {opened.path} was made for: restore it, or name it with --task"
        )
    definition = find_definition(named or manifest.config.task or "", _find_study(manifest))
    given = Given(definition, read_task(definition))
    if given.task.sha256 != manifest.provenance.sha256["task"]:
        raise RunError(
            f"the task {given.task.name} is not the one {opened.path} was made for: its texts or classes changed"
        )
    return given


def open_classes(opened: Opened, named: str | None) -> Task | None:
    """A task of several classes: the one that is named, or the `domains` of a study that ships; None where there is neither.

    Raises:
        UnveilError: there is no such task, or it does not read.
    """
    study = _find_study(opened.manifest)
    if named is None and not (study and is_shipped(opened.manifest.config.study) and USUAL in list_tasks(study)):
        return None
    return read_task(find_definition(named or USUAL, study))


def _find_study(manifest: Manifest) -> Study | None:
    """The study, where it is the one that the run names."""
    return load_study(manifest.config.study) if names_its_study(manifest) else None
