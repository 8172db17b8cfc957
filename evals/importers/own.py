"""Our own labels files: JSONL with one label a line, or CSV with the same fields as columns.

    annotator,sae,index,question,value,study,kind,time,note
    ana,base,123,relevant,yes,pocket,feature,2026-01-31T10:00:00+00:00,talks of wards and doses

Of the columns, the first five are needed. In CSV, an `annotation` is always text and other numbers are numbers; blanks at
either end of a cell do not count, and an apostrophe before what would be a formula is no part of it (`tools.spreadsheets`).
Only JSONL can take an answer back, or say that it settles a question: that is what the desk appends to.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evals.importers.reading import Collector, Options, read_csv, read_jsonl
from evals.records import ANNOTATION, Import, Label, plain_number
from tools.spreadsheets import bare, records_to_csv

COLUMNS = (
    "annotator",
    "study",
    "sae",
    "index",
    "kind",
    "question",
    "value",
    "time",
    "note",
    "seconds",
    "machine",
    "source",
)
_NEEDED = ("annotator", "sae", "index", "question", "value")
_ITEM = ("study", "sae", "index", "kind")


def read_own(path: Path, options: Options) -> Import:
    """Labels of a JSONL or CSV file of ours.

    Raises:
        LabelError: the file cannot be read.
    """
    into = Collector()
    if path.suffix == ".csv":
        _read_csv(path, options, into)
    else:
        for where, value in read_jsonl(path, into):
            source = value.pop("source", None)
            into.add(where if source is None else str(source), **_nested(value, options))
    return into.done()


def write_own(file: Path, labels: Sequence[Label]) -> None:
    """Write settled labels as CSV if the file's name says so, else as JSONL."""
    if file.suffix != ".csv":
        file.write_text("".join(label.model_dump_json(exclude_defaults=True) + "\n" for label in labels), "utf-8")
        return
    file.write_text(records_to_csv(COLUMNS, map(_cells, labels)), "utf-8")


def _cells(label: Label) -> dict[str, object]:
    fields: dict[str, Any] = label.model_dump(mode="json", exclude={"withdrawn", "settles"})
    return fields | fields.pop("item") | {"machine": "yes" if label.machine else ""}


def _read_csv(path: Path, options: Options, into: Collector) -> None:
    header: list[str] | None = None
    for where, cells in read_csv(path, into):
        if header is None:
            header = cells
            missing = [name for name in _NEEDED if name not in header]
            unknown = [name for name in header if name not in COLUMNS]
            if missing or unknown:
                wrong = f"it lacks {', '.join(missing)}" if missing else f"{', '.join(unknown)} is unknown"
                into.refuse(where, f"the first row names the columns: {wrong}; they are {', '.join(COLUMNS)}")
                return
            continue
        if len(cells) != len(header):
            into.refuse(where, f"{len(cells)} cells under {len(header)} columns")
            continue
        fields: dict[str, Any] = {name: bare(cell) for name, cell in zip(header, cells, strict=True) if cell}
        if fields.get("question") != ANNOTATION and "value" in fields:
            fields["value"] = plain_number(fields["value"])
        if "machine" in fields:
            fields["machine"] = fields["machine"] == "yes"
        into.add(fields.pop("source", where), **_nested(fields, options))


def _nested(fields: dict[str, Any], options: Options) -> dict[str, Any]:
    """The item's fields together, under the names that were asked for."""
    nested = fields.get("item")
    item = dict(nested) if isinstance(nested, dict) else {name: fields[name] for name in _ITEM if name in fields}
    renamed = {name: value for name, value in (("study", options.study), ("sae", options.sae)) if value is not None}
    rest = {name: value for name, value in fields.items() if name not in (*_ITEM, "item")}
    return {"item": item | renamed, **rest}
