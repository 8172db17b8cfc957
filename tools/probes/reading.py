"""A task read from its texts: every row's text, class and attribute, and the split that its document is in.

Refused here are labels that are no classes and texts that are none; what is read is then checked as a whole
(`tools.probes.checks`). Copies of earlier texts are left out, lest one text stand in two splits, and told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from tools.errors import StudyError
from tools.probes.checks import check_task
from tools.probes.definition import Concept, TaskDefinition, find_definition, is_file, spell
from tools.probes.rows import Row, number_rows, read_rows
from tools.probes.task import Task, TaskText, split_of
from tools.study.corpus import drop_copies
from tools.study.definition import Study
from tools.study.texts import DOCUMENT_CHARACTERS, HUB, Passage, gather_rows

MOST_ROWS = 300_000
"""Of a data set on the hub, that are gone through in search of texts."""
_MOST_CLASSES = 100


def load_task(name: str, study: Study | None = None) -> Task:
    """A task, ready to be trained and measured on.

    Args:
        name: of a task of the study, or a file: a definition (.toml), or a table with `text`, `label` and `attribute`.
        study: whose tasks are meant.

    Raises:
        StudyError: there is no such task, its texts do not read, or nothing could be learned from them.
        LoadError: its texts are on the hub, which cannot be reached.
    """
    return read_task(find_definition(name, study))


def name_classes(definition: TaskDefinition) -> TaskDefinition:
    """The definition with the classes that its texts have, where it names none.

    Raises:
        StudyError: its texts do not read, or have too few classes, or too many.
    """
    if all(concept.classes for concept in definition.concepts) or definition.texts.startswith(HUB):
        return definition
    return _with_classes(definition, list(read_rows(_locate(definition), _needed(definition))))[0]


def read_task(definition: TaskDefinition) -> Task:
    """The task of a definition.

    Raises:
        StudyError, LoadError: as `load_task`.
    """
    if definition.texts.startswith(HUB):
        source = definition.texts.removeprefix(HUB)
        concepts = (definition.label, definition.attribute)
        if any(concept is not None and not concept.classes for concept in concepts):
            raise StudyError(f"task {definition.name} reads a data set on the hub: its file has to name the classes")

        def gather(rows: Iterable[dict[str, object]]) -> list[_Found]:
            first = (row for _, row in zip(range(MOST_ROWS), rows, strict=False))
            return list(_collect(definition, number_rows(source, first, _needed(definition))))

        found = gather_rows(source, f"task {definition.name}", gather)
        classes, attributes = _named(definition.label), _named(definition.attribute)
    else:
        rows = list(read_rows(_locate(definition), _needed(definition)))
        definition, classes, attributes = _with_classes(definition, rows)
        found = list(_collect(definition, rows))
    return check_task(_assemble(definition, found, classes, attributes))


_Found = tuple[str, str, int, int]
"""Document, text, label, attribute."""


def _locate(definition: TaskDefinition) -> Path:
    file = definition.folder / definition.texts
    if not is_file(file):
        raise StudyError(f"task {definition.name}: its texts {file} are missing")
    return file


def _needed(definition: TaskDefinition) -> list[str]:
    columns = [definition.text_column, definition.column_of("label")]
    return columns + ([definition.column_of("attribute")] if definition.attribute else [])


def _named(concept: Concept | None) -> tuple[str, ...]:
    return tuple(concept.classes) if concept else ()


def _with_classes(
    definition: TaskDefinition, rows: list[Row]
) -> tuple[TaskDefinition, tuple[str, ...], tuple[str, ...]]:
    """The definition with the classes that its rows have, where it names none."""
    found: dict[str, Concept] = {}
    for role, concept in (("label", definition.label), ("attribute", definition.attribute)):
        if concept is not None and not concept.classes:
            column = definition.column_of(role)
            values = sorted({_class_of(row, column, whole=False) for row in rows})
            if not 2 <= len(values) <= _MOST_CLASSES:
                raise StudyError(
                    f"task {definition.name}: its column {column} has {len(values)} classes, "
                    f"and 2 to {_MOST_CLASSES} are told apart"
                )
            try:
                found[role] = Concept(name=concept.name, column=concept.column, classes={v: (v,) for v in values})
            except ValidationError as error:
                raise StudyError(
                    f"task {definition.name}: its column {column} has a value that cannot name a class: "
                    + error.errors()[0]["msg"].removeprefix("Value error, ")
                ) from None
    definition = definition.model_copy(update=found)
    return definition, _named(definition.label), _named(definition.attribute)


def _class_of(row: Row, column: str, whole: bool = True) -> str:
    """The spelling of a row's class.

    Args:
        row: the row.
        column: where it stands.
        whole: 1.0 is taken for 1, as it may be where classes are named.

    Raises:
        StudyError: it is a measurement, or nothing.
    """
    value = row.values.get(column)
    try:
        if value is None or (isinstance(value, float) and not whole) or _is_fraction(value):
            raise ValueError
        return spell(value)
    except ValueError:
        said = "nothing" if value is None or value == "" else repr(value)[:40]
        raise StudyError(f"{row.where}: its {column} is {said}, and a class is a name or a whole number") from None


def _is_fraction(value: object) -> bool:
    """A number that is written with a point, as CSV has it."""
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return not value.strip().lstrip("+-").isdigit()


def _collect(definition: TaskDefinition, rows: Iterable[Row]) -> Iterator[_Found]:
    """Texts of the classes that are meant, until there are enough of each label and attribute."""
    labels = _places(definition.label)
    attributes = _places(definition.attribute)
    wanted = len(set(labels.values())) * max(1, len(set(attributes.values())))
    counts: Counter[tuple[int, int]] = Counter()
    for row in rows:
        label = labels.get(_class_of(row, definition.column_of("label")))
        attribute = attributes.get(_class_of(row, definition.column_of("attribute"))) if attributes else 0
        if label is None or attribute is None or counts[label, attribute] >= definition.most_texts:
            continue
        counts[label, attribute] += 1
        yield _document(row, definition), _text(row, definition), label, attribute
        if len(counts) == wanted and min(counts.values()) >= definition.most_texts:
            return


def _places(concept: Concept | None) -> dict[str, int]:
    """Of each value, the place of its class."""
    classes = concept.classes.values() if concept else ()
    return {value: place for place, values in enumerate(classes) for value in values}


def _text(row: Row, definition: TaskDefinition) -> str:
    text = row.values.get(definition.text_column)
    if not isinstance(text, str):
        raise StudyError(f"{row.where}: its {definition.text_column} is no text")
    if not text.strip():
        raise StudyError(f"{row.where}: its {definition.text_column} is empty")
    text = text[:DOCUMENT_CHARACTERS]
    return text.encode("utf-8", "replace").decode()  # JSON may hold half a surrogate pair, which no tokenizer takes


def _document(row: Row, definition: TaskDefinition) -> str:
    named = row.values.get(definition.document_column)
    return row.name if named is None or named == "" else str(named)


def _assemble(
    definition: TaskDefinition, found: list[_Found], classes: tuple[str, ...], attributes: tuple[str, ...]
) -> Task:
    """The texts in their splits, copies left out."""
    kept = [int(passage.topic or 0) for passage in drop_copies(_passages(found))]
    copies = len(found) - len(kept)
    texts = tuple(
        TaskText(
            document=found[place][0],
            text=found[place][1],
            label=found[place][2],
            attribute=found[place][3],
            split=split_of(found[place][0], definition.test_share, definition.development_share),
        )
        for place in kept
    )
    notes: list[str] = []
    if copies:
        plural = "texts are copies" if copies > 1 else "text is a copy"
        notes.append(f"{copies} {plural} of earlier ones in other documents and left out")
    if max(Counter(text[2:] for text in found).values(), default=0) >= definition.most_texts:
        notes.append(f"no more than the first {definition.most_texts:,} texts of a kind are taken (most_texts)")
    return Task(
        name=definition.name,
        label=definition.label.name,
        classes=classes,
        attribute=definition.attribute.name if definition.attribute else "",
        attribute_classes=attributes,
        texts=texts,
        notes=tuple(notes),
    )


def _passages(found: list[_Found]) -> Iterator[Passage]:
    for place, (document, text, *_) in enumerate(found):
        yield Passage(document, str(place), text)
