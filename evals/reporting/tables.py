"""A table as text, Markdown and CSV."""

from __future__ import annotations

from tools.display.spreadsheets import to_csv

Table = list[tuple[str, ...]]


def as_csv(table: Table) -> str:
    """A table as CSV."""
    return to_csv(table)


def as_text(table: Table) -> list[str]:
    """Aligned lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines: list[str] = []
    for first, *rest in table:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("   ".join([first.ljust(widths[0]), *cells]).rstrip())
    return lines


def as_markdown(table: Table) -> list[str]:
    """A Markdown table; pipes and line breaks in cells are escaped."""
    head, *rows = [tuple(_escaped(cell) for cell in line) for line in table]
    return [f"| {' | '.join(line)} |" for line in (head, ("---",) * len(head), *rows)]


def _escaped(cell: str) -> str:
    return " ".join(cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())
