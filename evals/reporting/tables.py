"""The examination as text, Markdown and CSV. Every figure has its interval, and the floors stand in the same table."""

from __future__ import annotations

from evals.statistics.estimate import Estimate
from tools.display.spreadsheets import to_csv

Table = list[tuple[str, ...]]


def format_estimate(estimate: Estimate | None) -> str:
    """`0.42 [0.31, 0.53]`; a dash where there is none."""
    if estimate is None or estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


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
