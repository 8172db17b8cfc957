"""What the importers share: rows with their place in the file, and a collector that loses none in silence."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from evals.errors import LabelError
from evals.manual.records import ON_VERDICTS, RELEVANT, Import, Item, Label, Remark, Shown, Value, plain_number
from tools.border import text_files
from tools.border.json_text import read_json as read_json_text
from tools.errors import first_problem

_KEY = re.compile(r"(?P<sae>.+)-(?P<kind>r?)(?P<index>\d{6,})")
_PATH = re.compile(r"(?P<sae>.+)[/:](?P<index>\d+)")
_YES = ("yes", "true", "1", "1.0", "c", "correct")
_NO = ("no", "false", "0", "0.0", "i", "incorrect")
_UNDECIDED = ("undecided", "n", "p", "unsure", "0.5")
"""Inspect's letters are among them: C correct, I incorrect, P partial, N no answer."""
_TRUE = ("yes", "true", "1", "1.0", "y", "x", "wahr", "ja", "vrai", "oui", "verdadero", "vero")
_FALSE = ("", "no", "false", "0", "0.0", "n", "falsch", "nein", "faux", "non", "falso")
"""As spreadsheets write truth values in English, German, French, Spanish and Italian; an empty cell is no."""
_DELIMITERS = (",", ";", "\t")
_SEPARATOR_LINE = re.compile(r'"?sep=.?"?', re.IGNORECASE)


class Options(NamedTuple):
    """What a source may leave open."""

    annotator: str | None = None
    """Who labelled; the file's name if None and the source does not say."""
    question: str = RELEVANT
    """What plain values answer."""
    sae: str | None = None
    """What the SAE is called in the run, or `SOURCE=NAME`: which one of the source is meant, and what to call it."""
    study: str | None = None

    @property
    def sae_name(self) -> str:
        """What the SAE is to be called."""
        return (self.sae or "").rpartition("=")[2]

    @property
    def sae_source(self) -> str | None:
        """What the source calls the one that is meant, if that was said."""
        return (self.sae or "").rpartition("=")[0] or None


class Row(NamedTuple):
    """One entry of a file."""

    where: str
    value: Any


class Collector:
    """Gathers what a source holds; what does not read becomes a named problem."""

    def __init__(self) -> None:
        self.labels: list[Label] = []
        self.evidence: list[Shown] = []
        self.problems: list[Remark] = []
        self.remarks: list[Remark] = []
        self.findings: list[str] = []

    def add(self, where: str, **fields: Any) -> bool:
        """Add a label, or the problem with it; whether it was added."""
        try:
            self.labels.append(Label(source=where, **fields))
        except ValidationError as error:
            self.refuse(where, first_problem(error))
            return False
        return True

    def show(self, shown: Shown) -> None:
        """Add what was seen of a feature, unless that is nothing."""
        if not shown.empty:
            self.evidence.append(shown)

    def refuse(self, where: str, text: str) -> None:
        """A row that cannot be read."""
        self.problems.append(Remark(where=where, text=text))

    def remark(self, where: str, text: str) -> None:
        """A row that was read, or passed over, otherwise than one might expect."""
        self.remarks.append(Remark(where=where, text=text))

    def done(self) -> Import:
        """Everything gathered."""
        return Import(
            labels=tuple(self.labels),
            evidence=tuple(self.evidence),
            problems=tuple(self.problems),
            remarks=tuple(self.remarks),
            findings=tuple(self.findings),
        )


def read_text(file: Path) -> str:
    """A file's text.

    Raises:
        LabelError: it is missing, a folder, or not UTF-8.
    """
    return text_files.read_text(file, LabelError)


def read_json(file: Path) -> Any:
    """A JSON file.

    Raises:
        LabelError: it cannot be read as one.
    """
    try:
        return read_json_text(read_text(file))
    except ValueError as error:
        raise LabelError(f"{file} is not JSON: {error}") from None


def read_jsonl(file: Path, into: Collector) -> Iterator[Row]:
    """Objects of a JSONL file, one a line; other lines become problems.

    Raises:
        LabelError: the file cannot be read.
    """
    for number, line in enumerate(read_text(file).split("\n"), 1):
        where = f"{file.name}:{number}"
        if not line.strip():
            continue
        try:
            value = read_json_text(line)
        except ValueError as error:
            into.refuse(where, f"not JSON: {error}")
            continue
        if isinstance(value, dict):
            yield Row(where, value)
        else:
            into.refuse(where, "not a JSON object")


def read_csv(file: Path, into: Collector) -> Iterator[tuple[str, list[str]]]:
    """Rows of a CSV file with their first line's number, cells stripped; empty rows are left out.

    Raises:
        LabelError: the file cannot be read.
    """
    text, skipped = _without_separator_line(read_text(file))
    reader = csv.reader(io.StringIO(text), delimiter=_find_delimiter(text), skipinitialspace=True, strict=True)
    line = 1 + skipped
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            into.refuse(f"{file.name}:{line}", f"not CSV: {error}; the rest of the file was not read")
            return
        if any(cell.strip() for cell in cells):
            yield f"{file.name}:{line}", [cell.strip() for cell in cells]
        line = reader.line_num + 1 + skipped


def _without_separator_line(text: str) -> tuple[str, int]:
    """Without the line `sep=;` that Excel takes for its own, and how many lines that were."""
    first, _, rest = text.partition("\n")
    return (rest, 1) if _SEPARATOR_LINE.fullmatch(first.strip()) else (text, 0)


def _find_delimiter(text: str) -> str:
    """What stands between the cells of the first line: a comma, or a semicolon or tab if there are more of them."""
    header = next((line for line in text.split("\n") if line.strip()), "")
    bare = re.sub(r'"[^"]*"', "", header)
    return max(_DELIMITERS, key=bare.count)


def read_truth(text: str) -> bool:
    """A truth value as people, spreadsheets and programs write it; empty is no.

    Raises:
        ValueError: it is none.
    """
    spelt = text.strip().lower()
    if spelt in _TRUE:
        return True
    if spelt in _FALSE:
        return False
    raise ValueError(f"it is yes or no, or empty, not {text!r}")


def read_verdict(value: object) -> object:
    """A verdict as people, spreadsheets and programs write it; anything else as it is.

    Inspect's letters are none of these: in a list that a person wrote, N is no.
    """
    if isinstance(value, bool | int | float | str):
        spelt = str(value).strip().lower()
        for verdict, spellings in (
            ("yes", _TRUE),
            ("no", _FALSE[1:]),
            ("undecided", ("undecided", "unsure", "0.5", "0,5", "?")),
        ):
            if spelt in spellings:
                return verdict
    return value


def read_item(text: str, options: Options) -> Item:
    """The feature that a sample's id names: `SAE-000123` as a run's keys, `SAE/123`, or `123` with --sae.

    Raises:
        ValueError: it names none.
    """
    found = _KEY.fullmatch(text) or _PATH.fullmatch(text)
    if found is not None:
        kind = "random_direction" if found.groupdict().get("kind") else "feature"
        return Item(study=options.study, sae=found["sae"], index=int(found["index"]), kind=kind)
    if text.isdecimal() and options.sae is not None:
        return Item(study=options.study, sae=options.sae_name, index=int(text))
    hint = "; name its SAE with --sae" if text.isdecimal() else ": use SAE-000123, SAE/123, or 123 with --sae"
    raise ValueError(f"{text!r} names no feature{hint}")


def read_value(question: str, value: object) -> Value:
    """A value in another tool's spelling: truth values and Inspect's letters as verdicts, the rest as it is.

    Raises:
        ValueError: it answers no question of ours.
    """
    if question in ON_VERDICTS and isinstance(value, bool | int | float | str):
        spelt = str(value).strip().lower()
        for verdict, spellings in (("yes", _YES), ("no", _NO), ("undecided", _UNDECIDED)):
            if spelt in spellings:
                return verdict
    if isinstance(value, str):
        return plain_number(value.strip())
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return int(value) if float(value).is_integer() else value
    raise ValueError(f"{json.dumps(value)[:60]} is no verdict, number or text")
