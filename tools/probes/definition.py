"""A classification task as its file defines it: which texts, which class, and which attribute goes with it by accident."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from tools.border.text_files import read_text
from tools.errors import StudyError, first_problem
from tools.records import Record
from tools.study.definition import Number, Question, Study
from tools.study.wording import Line

FOLDER = "tasks"
"""Of a study, where its tasks are."""
LARGEST = 2**20
"""Most bytes of a task's file."""
_SHOWN = 80
"""Characters of a name that are said again."""
TABLES = (".jsonl", ".csv", ".parquet")
"""Files of texts that are a task by themselves, with columns `text`, `label` and `attribute`."""


def spell(value: object) -> str:
    """How a class is spelt, however its column is typed: `21`, 21 and 21.0 are one class.

    Raises:
        ValueError: it is no name and no whole number.
    """
    if isinstance(value, float):
        if not math.isfinite(value) or not value.is_integer():
            raise ValueError(f"{value:g} is no name and no whole number")
        value = int(value)
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int) or not str(value).strip():
        raise ValueError("it is no name and no whole number")
    return str(value).strip()


def _spell_all(values: Any) -> tuple[str, ...]:
    return tuple(spell(value) for value in (values if isinstance(values, list | tuple) else (values,)))


class Concept(Record):
    """What texts are told apart by: a column of theirs, and which of its values make which class."""

    name: Line
    column: str = ""
    """Empty: the concept's role, `label` or `attribute`."""
    classes: dict[Line, Annotated[tuple[str, ...], BeforeValidator(_spell_all)]] = {}
    """Class -> the column's value, or values. The second class is the positive one. Empty: the values as they stand."""

    @model_validator(mode="after")
    def _keeps_classes_apart(self) -> Concept:
        values = [value for of_class in self.classes.values() for value in of_class]
        if len(values) != len(set(values)):
            raise ValueError("a value stands in two classes")
        if len(self.classes) == 1:
            raise ValueError("one class is named, and it takes two to tell apart")
        return self


class Wording(Record):
    """How one of the concepts is asked about."""

    means: Line = ""
    """What is meant, in a sentence; empty: told by the classes."""
    words: str = ""
    """A file of lower-case words, one a line, that have to do with it; for the attribute `cues` if left out."""


class TaskRating(Record):
    """What judges are asked of a feature: how much it has to do with the label, and how much with the attribute."""

    guideline: str = ""
    """A file, relative to the task's folder; empty: the one for all tasks."""
    concepts: dict[Line, Wording] = {}
    """By the names of label and attribute."""


class TaskDefinition(Record):
    """Everything a task's file says."""

    name: Line
    title: Line = ""
    folder: Path
    file: Path | None = None
    """The task's own: its .toml, or the table that it is."""
    texts: str
    """A file (.jsonl, .csv, .parquet), relative to the task's folder, or `hub:NAME[:CONFIG]`."""
    text_column: str = "text"
    document_column: str = "document"
    """Texts of one document stand in one split; where there is no such column each text is one."""
    label: Concept
    attribute: Concept | None = None
    """What goes with the label in the ambiguous texts; a task without one tells classes apart and no more."""
    cues: str = ""
    """A file of lower-case words, one a line, that give the attribute away."""
    rating: TaskRating = TaskRating()
    test_share: Number = Field(default=0.25, gt=0, lt=1)
    development_share: Number = Field(default=0.2, gt=0, lt=1)
    most_texts: int = Field(default=1000, ge=1, le=10**6)
    """Of each label and attribute; the first ones are taken."""

    @model_validator(mode="after")
    def _leaves_some_to_train_on(self) -> TaskDefinition:
        if self.test_share + self.development_share >= 1:
            raise ValueError("test_share and development_share leave no text to train on")
        return self

    @model_validator(mode="after")
    def _asks_about_its_own(self) -> TaskDefinition:
        own = [concept.name for concept in (self.label, self.attribute) if concept]
        if other := [name for name in self.rating.concepts if name not in own]:
            raise ValueError(f"[rating] asks about {other[0]!r}, and the task has {' and '.join(own)}")
        if len(own) > len(set(own)):
            raise ValueError(f"label and attribute are both called {own[0]!r}")
        return self

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """The label, and the attribute if there is one."""
        return (self.label, self.attribute) if self.attribute else (self.label,)

    def words_of(self, concept: str) -> str:
        """The file of words that have to do with a concept, relative to the folder; empty where none is named."""
        named = self.rating.concepts.get(concept, Wording()).words
        return named or (self.cues if self.attribute is not None and concept == self.attribute.name else "")

    def column_of(self, role: str) -> str:
        """The column of `label` or `attribute`."""
        concept = self.label if role == "label" else self.attribute
        return (concept.column if concept else "") or role


def find_definition(name: str, study: Study | Question | None = None) -> TaskDefinition:
    """A task by its name in a study, by its file, or made of a table of the user's own.

    Raises:
        StudyError: there is no such task, or its file does not fit.
    """
    path = find_file(name, study)
    own = {"folder": path.parent, "file": path}
    if path.suffix.lower() in TABLES:
        both = {role: {"name": role} for role in ("label", "attribute")}
        return TaskDefinition.model_validate({"name": path.stem, "texts": path.name, **own, **both})
    try:
        table = tomllib.loads(read_text(path, most=LARGEST))
        return TaskDefinition.model_validate({"name": path.stem, **table, **own})
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise StudyError(f"{path} is not TOML: {error or 'it is nested too deep'}") from None
    except ValidationError as error:
        raise StudyError(f"{path}: {first_problem(error)}") from error


def list_tasks(study: Study | Question) -> list[str]:
    """Names of a study's tasks."""
    return sorted(path.stem for path in (study.folder / FOLDER).glob("*.toml") if ".grammar" not in path.name)


def is_file(path: Path) -> bool:
    """Whether a file is there; none is under a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def find_file(name: str, study: Study | Question | None = None) -> Path:
    """The file of a task: its definition, or the table that it is.

    Raises:
        StudyError: there is none.
    """
    if study is not None and name in list_tasks(study):
        return study.folder / FOLDER / f"{name}.toml"
    path = Path(name)
    if path.suffix.lower() in (".toml", *TABLES) and is_file(path):
        return path
    known = f"study {study.name} has {', '.join(list_tasks(study)) or 'none'}" if study else "no study is given"
    raise StudyError(
        f"there is no task {name[:_SHOWN]!r}: {known}; or give a file that ends in .toml, {', '.join(TABLES)}"
    )
