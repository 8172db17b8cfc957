"""Rows of a table of texts, out of a file or a data set on the hub, each with the place that a complaint names."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tools.border.text_files import read_text
from tools.errors import StudyError

_PARQUET_ROWS = 256


class Row(NamedTuple):
    """One text with what is known of it."""

    where: str
    """File and line, for whoever has to mend it."""
    name: str
    """The document that it is where its table names none."""
    values: Mapping[str, Any]


def read_rows(file: Path, needed: Iterable[str]) -> Iterator[Row]:
    """Rows of a .jsonl, .csv or .parquet file.

    Args:
        file: the table.
        needed: columns that it has to have.

    Raises:
        StudyError: it is missing, of another kind or encoding, malformed, or lacks a column.
    """
    readers = {".jsonl": _read_lines, ".csv": _read_csv, ".parquet": _read_parquet}
    kind = file.suffix.lower()
    if kind not in readers:
        raise StudyError(f"{file} is none of {', '.join(readers)}")
    yield from readers[kind](file, list(needed))


def number_rows(name: str, rows: Iterable[Mapping[str, Any]], needed: Iterable[str]) -> Iterator[Row]:
    """Rows of a data set, with their places in it.

    Raises:
        StudyError: it lacks a column.
    """
    wanted = list(needed)
    for number, row in enumerate(rows, 1):
        if number == 1:
            _check_columns(f"the data set {name}", list(row), wanted)
        yield Row(f"{name}, row {number}", f"{name}:{number}", row)


def _check_columns(what: str, columns: list[str], needed: list[str]) -> None:
    missing = [column for column in needed if column not in columns]
    if missing:
        raise StudyError(f"{what} has no column {missing[0]}: it has {', '.join(columns) or 'none'}")


def _read_lines(file: Path, needed: list[str]) -> Iterator[Row]:
    for number, line in enumerate(read_text(file).split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise StudyError(f"{file}:{number} is not JSON: {error}") from None
        if not isinstance(entry, dict):
            raise StudyError(f"{file}:{number} is no object")
        _check_columns(f"{file}:{number}", list(entry), needed)
        yield Row(f"{file}:{number}", f"{file.name}:{number}", entry)


def _read_csv(file: Path, needed: list[str]) -> Iterator[Row]:
    reader = csv.DictReader(io.StringIO(read_text(file), newline=""), strict=True)
    try:
        _check_columns(str(file), list(reader.fieldnames or ()), needed)
        for number, row in enumerate(reader, 1):
            if None in row:
                raise StudyError(f"{file}, row {number} has more cells than its header: are its texts quoted?")
            yield Row(f"{file}, row {number}", f"{file.name}:{number}", row)
    except csv.Error as error:
        raise StudyError(f"{file} is not CSV: line {reader.reader.line_num}, {error}") from None


def _read_parquet(file: Path, needed: list[str]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(file) as table:
            _check_columns(str(file), table.schema_arrow.names, needed)
            for batch in table.iter_batches(_PARQUET_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield Row(f"{file}, row {number}", f"{file.name}:{number}", row)
    except (pa.ArrowException, OSError) as error:
        raise StudyError(f"{file} is not a parquet file: {' '.join(str(error).split())}") from error
