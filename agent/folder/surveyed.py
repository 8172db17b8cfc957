"""The stored survey of a run, read as what it is: a file from a folder that may be anyone's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from agent.errors import RunError

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


WHOLE = frozenset({"index", "keyword_hits", "keyword_hits_direct", "n_valid"})
TEXTS = frozenset({"top_tokens", "bottom_tokens"})
WEIGHTS = frozenset({"top_weights", "bottom_weights"})
FLAGS = frozenset({"alive"})
"""Columns by what stands in them; all others hold numbers, or nothing."""
LONGEST_TEXT = 10_000
"""Characters of a token."""


def count_rows(file: Path) -> int:
    """Number of features.

    Raises:
        RunError: it does not read.
    """
    from pyarrow.parquet import read_metadata

    return _reading(file, lambda: int(read_metadata(file).num_rows))


def list_columns(file: Path) -> list[str]:
    """Names of what was surveyed.

    Raises:
        RunError: it does not read.
    """
    from pyarrow.parquet import read_schema

    return _reading(file, lambda: list(read_schema(file).names))


def read_survey(file: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The table, or some of its columns.

    Raises:
        RunError: it does not read, unpacks to more than a survey can hold, or a column holds what it does not.
    """
    return _reading(file, lambda: _read(file, columns))


def read_numbers(file: Path, column: str, kind: type[Any]) -> Any:
    """A column as an array of one kind of number, [rows].

    Raises:
        RunError: it does not read, or holds something else.
    """
    import numpy as np

    table = read_survey(file, [column])
    return _reading(file, lambda: np.asarray(table[column], dtype=kind))


def _read(file: Path, columns: Sequence[str] | None) -> pd.DataFrame:
    import pyarrow as pa
    from pyarrow import parquet

    found: Any = parquet.read_metadata(file)
    _check_size(found, file.stat().st_size)
    texts = [f"{name}.list.element" for name in TEXTS]  # unpacked once for each text, however often it stands there
    table: Any = parquet.read_table(file, columns=None if columns is None else list(columns), read_dictionary=texts)
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if name in TEXTS:
            column = _plain_texts(name, column)
            table = table.set_column(table.column_names.index(name), name, column)
        _check_column(name, column, pa)
    if "index" in table.column_names and table.column("index").to_pylist() != list(range(found.num_rows)):
        raise ValueError("its rows are not the features in their order")
    if not found.num_rows:
        raise ValueError("it holds no feature")
    return table.to_pandas(ignore_metadata=True)  # what pandas would be told there, anyone may have written


def _check_size(found: Any, size: int) -> None:
    """See that no few bytes stand for many values.

    Raises:
        ValueError: they do. In a survey every value differs enough from others to take more than a quarter of a byte.
    """
    groups = [found.row_group(number) for number in range(found.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    if found.num_rows > size or any(chunk.num_values > 4 * size for chunk in chunks):
        raise ValueError("it unpacks to far more than it holds")


def _plain_texts(name: str, column: Any) -> Any:
    """Lists of texts as such, once none of them is found too long to stand there many times."""
    import pyarrow as pa
    import pyarrow.compute as functions

    if not pa.types.is_list(column.type) or not pa.types.is_dictionary(column.type.value_type):
        return column
    known, compute = column.values.dictionary, cast("Any", functions)
    longest = compute.max(compute.binary_length(known)).as_py() or 0
    if not pa.types.is_string(known.type) or longest > LONGEST_TEXT:
        raise ValueError(f"column {name} holds no texts, or texts longer than {LONGEST_TEXT:,} bytes")
    return column.cast(pa.list_(pa.string()))


def _check_column(name: str, column: Any, pa: Any) -> None:
    is_number = pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
    inner = column.type.value_type if pa.types.is_list(column.type) else None
    fits = is_number or pa.types.is_null(column.type)
    if name in WHOLE:
        fits = pa.types.is_integer(column.type) and not column.null_count
    elif name in FLAGS:
        fits = pa.types.is_boolean(column.type) and not column.null_count
    elif name in TEXTS:
        fits = inner is not None and pa.types.is_string(inner) and not (column.null_count or column.values.null_count)
    elif name in WEIGHTS:
        fits = inner is not None and pa.types.is_floating(inner) and not column.null_count
    if not fits:
        raise ValueError(f"column {name} holds {column.type} where a survey has something else, or has gaps")


def _reading(file: Path, read: Callable[[], T]) -> T:
    from pyarrow import ArrowException

    try:
        return read()
    except (ArrowException, ValueError, TypeError, OSError, KeyError, MemoryError) as error:
        first = str(error).split("\n", 1)[0][:200]
        raise RunError(f"{file} is damaged: {first}") from None
