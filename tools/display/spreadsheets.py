"""CSV that a spreadsheet shows and never runs, and that reads back as what was written.

Spreadsheets take a cell that begins with `=`, `+`, `-` or `@`, or with a tab or a line end, for a formula, and a formula can
read files and call out. So a text that begins like that gets an apostrophe before it, as OWASP recommends. A text that
already has the apostrophes gets one more, so that taking one away gives every text back.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

_FORMULA = re.compile(r"'*\s*[=+\-@\t\r\n＝＋－＠]")
_FIGURE = re.compile(r"-|[+-]?(?:\d[\d,]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?%?")
"""What may stand after a sign: a number or a share, or the dash for none."""


def inert(text: str) -> str:
    """A text as a cell that is no formula; numbers and shares stay what they are."""
    return f"'{text}" if _FORMULA.match(text) and not _FIGURE.fullmatch(text) else text


def bare(cell: str) -> str:
    """The text that `inert` made a cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def to_csv(rows: Iterable[Sequence[object]], delimiter: str = ",") -> str:
    """Rows as CSV. Texts are made inert, their line ends line feeds; None is an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", delimiter=delimiter)
    writer.writerows([_cell(one) if isinstance(one, str) else one for one in row] for row in rows)
    return out.getvalue()


def _cell(text: str) -> str:
    # A carriage return alone would end the row: the csv module quotes only the line ends that it writes itself.
    return inert(text.replace("\r\n", "\n").replace("\r", "\n"))


def records_to_csv(columns: Sequence[str], records: Iterable[Mapping[str, object]], delimiter: str = ",") -> str:
    """Records as CSV under a line of their columns' names; a column that a record lacks is empty."""
    return to_csv([columns, *([record.get(name) for name in columns] for record in records)], delimiter)
