"""Our own labels files: JSONL with one label per line, or CSV with the same fields as columns.

    annotator,sae,index,question,value,study,kind,time,note
    ana,base,123,relevant,yes,pocket,feature,2026-01-31T10:00:00+00:00,talks of wards and doses

Of the columns, the first five are needed. In CSV, an `annotation` is always text and other numbers are numbers. Tables are
read as spreadsheets write them: with commas, semicolons or tabs, with TRUE or WAHR for yes, with empty columns.
Blanks at either end of a cell do not count, nor does the apostrophe before what would be a formula (`tools.display.spreadsheets`).
Only JSONL can take an answer back, or say that it settles a question: that is what the desk appends to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evals.errors import LabelError
from evals.manual.reading import Collector, Options, Row, read_csv, read_json, read_jsonl, read_truth, read_verdict
from evals.manual.records import ANNOTATION, ON_VERDICTS, Import, Label, plain_number
from tools.display.spreadsheets import bare, records_to_csv
from tools.whole_files import write_named

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
_TABLES = (".csv", ".tsv")
_WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+")


def read_own(path: Path, options: Options) -> Import:
    """Labels of a JSONL or CSV file of ours.

    Raises:
        LabelError: the file cannot be read.
    """
    into = Collector()
    kind = path.suffix.lower()
    if kind in _WORKBOOKS:
        raise LabelError(f"{path} is a spreadsheet's own format: save it as CSV (UTF-8)")
    if kind in _TABLES:
        _read_csv(path, options, into)
    else:
        for where, value in _read_array(path, into) if kind == ".json" else read_jsonl(path, into):
            source = value.pop("source", None)
            if value.get("question") in ON_VERDICTS and "value" in value:
                value["value"] = read_verdict(value["value"])
            _add(where, where if source is None else str(source), value, options, into)
    return into.done()


def _read_array(path: Path, into: Collector) -> Iterator[Row]:
    """One JSON array of labels, as other programs write lists."""
    rows = read_json(path)
    for number, row in enumerate(rows if isinstance(rows, list) else [rows], 1):
        where = f"{path.name}, entry {number}"
        if isinstance(row, dict):
            yield Row(where, row)
        else:
            into.refuse(where, "not a JSON object")


def write_own(file: Path, labels: Sequence[Label]) -> None:
    """Write settled labels as CSV if the file's name says so, else as JSONL."""
    if file.suffix.lower() not in _TABLES:
        write_named(file, "".join(label.model_dump_json(exclude_defaults=True) + "\n" for label in labels))
        return
    delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
    write_named(file, records_to_csv(COLUMNS, map(_cells, labels), delimiter))


def _cells(label: Label) -> dict[str, object]:
    fields: dict[str, Any] = label.model_dump(mode="json", exclude={"withdrawn", "settles"})
    return fields | fields.pop("item") | {"machine": "yes" if label.machine else ""}


def _read_csv(path: Path, options: Options, into: Collector) -> None:
    header: list[str] | None = None
    for where, cells in read_csv(path, into):
        if header is None:
            header = [cell.lower() for cell in cells]
            if wrong := _check_header(header):
                into.refuse(where, f"the first row names the columns: {wrong}; they are {', '.join(COLUMNS)}")
                return
            continue
        while len(cells) > len(header) and not cells[-1]:
            cells = cells[:-1]
        if len(cells) != len(header):
            into.refuse(where, f"{len(cells)} cells under {len(header)} columns")
            continue
        fields: dict[str, Any] = {
            name: bare(cell) for name, cell in zip(header, cells, strict=True) if cell and not _is_unnamed(name)
        }
        if "value" in fields:
            fields["value"] = _read_cell(str(fields.get("question")), str(fields["value"]))
        _add(where, str(fields.pop("source", where)), fields, options, into)


def _check_header(header: Sequence[str]) -> str:
    """What is wrong with it; empty if nothing is."""
    missing = [name for name in _NEEDED if name not in header]
    if missing:
        return f"it lacks {', '.join(missing)}"
    unknown = [name for name in header if name not in COLUMNS and not _is_unnamed(name)]
    if unknown:
        return f"{', '.join(unknown)} is unknown"
    twice = [name for name in COLUMNS if header.count(name) > 1]
    return f"{', '.join(twice)} is there twice" if twice else ""


def _is_unnamed(column: str) -> bool:
    """An empty column that a spreadsheet wrote, or the row numbers of a data frame: nothing of ours."""
    return not column or column.startswith("unnamed:")


def _read_cell(question: str, cell: str) -> Any:
    if question == ANNOTATION:
        return cell
    if question in ON_VERDICTS:
        return read_verdict(cell)
    return plain_number(cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell)


def _add(where: str, source: str, fields: dict[str, Any], options: Options, into: Collector) -> None:
    """Add a label, unless it does not say plainly whether a program made it: none of a program's may pass as a person's."""
    machine = fields.get("machine", False)
    if not isinstance(machine, bool):
        try:
            fields["machine"] = read_truth("" if machine is None else str(machine))
        except ValueError as error:
            into.refuse(where, f"machine: {error}")
            return
    into.add(source, **_nested(fields, options))


def _nested(fields: dict[str, Any], options: Options) -> dict[str, Any]:
    """The item's fields together; an SAE that is not named is the one that was asked for."""
    nested = fields.get("item")
    item = dict(nested) if isinstance(nested, dict) else {name: fields[name] for name in _ITEM if name in fields}
    if options.study is not None:
        item["study"] = options.study
    if options.sae is not None and not item.get("sae"):
        item["sae"] = options.sae_name
    return {"item": item, **{name: value for name, value in fields.items() if name not in (*_ITEM, "item")}}
