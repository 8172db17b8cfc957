"""The stored survey of a stranger's run: bounded when unpacked, of the kinds a survey has, refused in one line otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from agent.errors import RunError
from agent.folder.surveyed import LONGEST_TEXT, read_survey

Change = Callable[[Any], Any]


def replace(name: str, make: Callable[[int], Any]) -> Change:
    return lambda table: table.set_column(table.column_names.index(name), name, pa.array(make(table.num_rows)))


def with_metadata(text: bytes) -> Change:
    return lambda table: table.replace_schema_metadata({b"pandas": text})


CHANGES: dict[str, Change] = {
    "lists for numbers": replace("keyword_hits", lambda n: [[1, 2]] * n),
    "no numbers": replace("keyword_hits", lambda n: [float("nan")] * n),
    "texts for numbers": replace("skewness", lambda n: ["=1+1"] * n),
    "times for numbers": replace("index", lambda n: pd.to_datetime([2**60] * n)),
    "a number for tokens": replace("top_tokens", lambda n: [1] * n),
    "a text for tokens": replace("top_tokens", lambda n: ["abc"] * n),
    "gaps in tokens": replace("bottom_tokens", lambda n: [None] * n),
    "gaps within tokens": replace("bottom_tokens", lambda n: [["a", None]] * n),
    "bytes for tokens": replace("top_tokens", lambda n: [[b"\xff"]] * n),
    "a long token, many times": replace("top_tokens", lambda n: [["x" * (LONGEST_TEXT + 1)] * 5] * n),
    "gaps in flags": replace("alive", lambda n: [None] * n),
    "texts for weights": replace("top_weights", lambda n: [["a"]] * n),
    "nothing at all": lambda table: pa.table({name: pa.nulls(table.num_rows) for name in table.column_names}),
    "no rows": lambda table: table.slice(0, 0),
    "rows in another order": lambda table: table.take(list(range(table.num_rows))[::-1]),
    "rows lost in front": lambda table: table.slice(1),
    "a column twice": lambda table: pa.Table.from_arrays(
        [*table.columns, table.column(0)], [*table.column_names, "index"]
    ),
}


@pytest.fixture
def table(measured: Path) -> Any:
    return parquet.read_table(measured / "features.parquet")


def test_a_survey_reads_as_it_was_written(measured: Path) -> None:
    file = measured / "features.parquet"
    pd.testing.assert_frame_equal(read_survey(file), pd.read_parquet(file))


@pytest.mark.parametrize("change", CHANGES)
def test_a_survey_with_something_else_in_a_column_is_refused(table: Any, change: str, tmp_path: Path) -> None:
    file = tmp_path / "features.parquet"
    parquet.write_table(CHANGES[change](table), file)
    with pytest.raises(RunError, match="is damaged") as refused:
        read_survey(file)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 500


@pytest.mark.parametrize(
    "text", [b"{not json", b"[]", b'{"index_columns":[{"kind":"range","step":0}],"columns":[5]}', b"\xff"]
)
def test_what_is_told_to_the_library_beside_the_columns_leads_nowhere(table: Any, text: bytes, tmp_path: Path) -> None:
    file = tmp_path / "features.parquet"
    parquet.write_table(with_metadata(text)(table), file)
    try:
        assert len(read_survey(file)) == table.num_rows
    except RunError as error:
        assert "is damaged" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("repeats", ["rows", "values of a row"])
def test_few_bytes_that_stand_for_many_values_are_not_unpacked(table: Any, repeats: str, tmp_path: Path) -> None:
    file, many = tmp_path / "features.parquet", 2_000_000
    if repeats == "rows":
        bomb = pa.table({"index": np.zeros(many, np.int64), "alive": np.zeros(many, bool)})
    else:
        bomb = pa.table({"index": [0], "top_weights": pa.array([np.zeros(many, np.float32)])})
    parquet.write_table(bomb, file, compression="zstd")
    assert file.stat().st_size < many / 20
    with pytest.raises(RunError, match="unpacks to far more"):
        read_survey(file)
