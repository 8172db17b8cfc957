"""The stored survey of a run, read as what it is: a file from a folder that may be anyone's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from agent.errors import RunError

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


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
        RunError: it does not read.
    """
    import pandas as pd

    return _reading(file, lambda: pd.read_parquet(file, columns=None if columns is None else list(columns)))


def read_numbers(file: Path, column: str, kind: type[Any]) -> Any:
    """A column as an array of one kind of number, [rows].

    Raises:
        RunError: it does not read, or holds something else.
    """
    import numpy as np

    table = read_survey(file, [column])
    return _reading(file, lambda: np.asarray(table[column], dtype=kind))


def _reading(file: Path, read: Callable[[], T]) -> T:
    from pyarrow import ArrowException

    try:
        return read()
    except (ArrowException, ValueError, TypeError, OSError, KeyError) as error:
        first = str(error).split("\n", 1)[0][:200]
        raise RunError(f"{file} is damaged: {first}") from None
