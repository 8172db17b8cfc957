"""A study read from its folder, and refused by name where it does not read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from tools.border.text_files import read_text
from tools.errors import StudyError, first_problem
from tools.records import Record
from tools.study.definition import Question, Study

R = TypeVar("R", bound=Record)


STUDIES = Path("studies")


ALONE = "recipe.toml"
"""What lies in the place of a `study.toml` where SAEs are trained without a model."""
LARGEST = 2**20
"""Most bytes of a `study.toml`."""


def list_studies() -> list[str]:
    """Names of the studies that ship with the project."""
    return sorted(path.parent.name for path in STUDIES.glob("*/study.toml"))


def load_study(name: str) -> Study:
    """Read a study by its name under `studies/`, or from a folder or file of the user's own.

    Raises:
        StudyError: no such study, or its file does not fit.
    """
    path, table = read_tables(name)
    table.pop("training", None)
    if not table.get("arms") and ("domain" in table or "rating" in table):
        raise StudyError(
            f"{path} names no arms: without a model it can only judge stored evidence, with --evidence FILE"
        )
    return _validated(Study, {**table, "folder": path.parent}, path)


def load_question(name: str) -> Question:
    """Read only what a study asks: enough to judge evidence that exists already.

    Raises:
        StudyError: no such study, or its file does not fit.
    """
    path, table = read_tables(name)
    asked = {key: table[key] for key in ("name", "title", "domain", "rating", "survey") if key in table}
    return _validated(Question, {**asked, "folder": path.parent}, path)


def read_tables(name: str) -> tuple[Path, dict[str, Any]]:
    """A study file's path and what it says, unchecked.

    Raises:
        StudyError: there is no such study, or it is not TOML.
    """
    path = find_study_file(name)
    try:
        return path, tomllib.loads(read_text(path, most=LARGEST))
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{path} is not TOML: {error}") from error
    except RecursionError:
        raise StudyError(f"{path} is not TOML: it is nested too deep") from None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _validated(kind: type[R], table: dict[str, Any], path: Path) -> R:
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        raise StudyError(f"{path}: {first_problem(error)}") from error


def find_study_file(name: str) -> Path:
    """Where a study's file lies.

    Raises:
        StudyError: there is none; the text lists those that ship.
    """
    for candidate in (STUDIES / name / "study.toml", Path(name) / "study.toml", Path(name)):
        if _is_file(candidate):
            return candidate
    for folder in (STUDIES / name, Path(name)):
        if _is_file(folder / ALONE):
            raise StudyError(
                f"{folder} is no study: {folder / ALONE} is about SAEs alone, and there is no model to look at"
            )
    raise StudyError(
        f"no study {name!r}: use one of {', '.join(list_studies()) or 'none found'}, or a folder with a study.toml"
    )
