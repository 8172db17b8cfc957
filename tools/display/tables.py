"""Tables and text for a terminal and for Markdown; `tools.display.spreadsheets` has them as CSV."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

Table = list[tuple[str, ...]]
"""The first row names the columns."""
_MARKS = re.compile(r"[\\|*]|(?<=\])[(\[]|^\[(?=[^\]]*\]:)")
"""What forms text or breaks a table, and what would make a link of brackets."""


def as_text(table: Sequence[Sequence[str]], widths: Sequence[int] = ()) -> list[str]:
    """Aligned lines: the first column to the left, the others to the right.

    Args:
        table: equally long rows.
        widths: of the columns, at which cells are wrapped; all of them stand to the left then. As wide as needed if empty.
    """
    rows = [part for row in table for part in _wrap(row, widths)] if widths else table
    sizes = widths or [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines: list[str] = []
    for row in rows:
        cells = [
            c.rjust(n) if place and not widths else c.ljust(n)
            for place, (c, n) in enumerate(zip(row, sizes, strict=True))
        ]
        lines.append("   ".join(cells).rstrip())
    return lines


def _wrap(row: Sequence[str], widths: Sequence[int]) -> list[tuple[str, ...]]:
    cells = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
    return list(zip_longest(*cells, fillvalue=""))


def as_markdown(table: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, whatever its cells hold."""
    head, *rows = [tuple(map(escape_markdown, line)) for line in table]
    return [f"| {' | '.join(line)} |" for line in (head, ("---",) * len(head), *rows)]


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line: no tag, no image, no link, no star lost, no further cell."""
    return _MARKS.sub(r"\\\g<0>", " ".join(text.split())).replace("<", "&lt;")
