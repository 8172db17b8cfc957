"""Validation sets of Inspect Scout as CSV: `id,target`, with or without a header, or `target_*` and `label_*` columns.

A column `target_dentist` or `label_dentist` answers the question `dentist`; `split` is passed over. Rows whose
`predicate` is anything but equality are no labels: they say what a value is to be compared with, not what it is.
"""

from __future__ import annotations

from pathlib import Path

from evals.manual.reading import Collector, Options, read_csv, read_item, read_value
from evals.manual.records import Import

_EQUAL = ("", "eq")
_OTHER = ("id", "split", "predicate")


def read_scout(path: Path, options: Options) -> Import:
    """Targets of one file.

    Raises:
        LabelError: it cannot be read.
    """
    into = Collector()
    header: list[str] | None = None
    for where, cells in read_csv(path, into):
        if header is None:
            if cells[0].lower() == "id":
                header = cells
                continue
            header = ["id", "target"]
        if len(cells) != len(header):
            into.refuse(where, f"{len(cells)} cells under {len(header)} columns")
            continue
        _read_row(where, dict(zip(header, cells, strict=True)), path, options, into)
    return into.done()


def _read_row(where: str, row: dict[str, str], path: Path, options: Options, into: Collector) -> None:
    if row.get("predicate", "") not in _EQUAL:
        into.remark(where, f"its target is for the predicate {row['predicate']}: no label")
        return
    for column, cell in row.items():
        if column in _OTHER or not cell:
            continue
        stem, _, name = column.partition("_")
        if stem not in ("target", "label"):
            into.refuse(where, f"the column {column!r} is no target")
            continue
        question = name or options.question
        try:
            item, value = read_item(row["id"], options), read_value(question, cell)
        except ValueError as error:
            into.refuse(where, str(error))
            continue
        into.add(where, annotator=options.annotator or path.stem, item=item, question=question, value=value)
