"""The audit as text for a terminal and as a Markdown document."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from itertools import groupby, zip_longest

from evals.audit.records import MEANINGS, Audit, Holding
from evals.reporting.tables import as_markdown, as_text

_HEAD = ("figure", "published", "recorded files give", "status")
_WIDTHS = (46, 26, 52, 17)


def as_terminal(audit: Audit) -> list[str]:
    """What is here, every line by section, and the counts."""
    lines = [describe_extent(audit), *as_text(_holdings(audit.holdings)), ""]
    lines += _in_columns([_HEAD])
    for section, members in groupby(audit.lines, key=lambda line: line.section):
        lines += ["", section]
        lines += _in_columns([(line.figure, line.published, line.recorded, line.status) for line in members])
    return [*lines, "", _counts(audit)]


def as_document(audit: Audit, study: str) -> list[str]:
    """The same, with what made it and what each status means at its top."""
    lines = [
        "# The published study against its recorded files",
        "",
        "Gupta and Sica 2024, repository [seansica/sae-vector-steering](https://github.com/seansica/sae-vector-steering).",
        "Made by `python -m evals.audit_study CLONE --markdown FILE` and not edited by hand; the null of steering uses the",
        f"word vectors of the study `{study}`. Quoted from the repository are names and numbers only.",
        "",
        describe_extent(audit),
        "",
        *as_markdown(_holdings(audit.holdings)),
        "",
        _counts(audit),
        "",
        *as_markdown([("status", "meaning"), *MEANINGS.items()]),
    ]
    for section, members in groupby(audit.lines, key=lambda line: line.section):
        rows = [(line.figure, line.published, line.recorded, line.status) for line in members]
        lines += ["", f"## {section[0].upper()}{section[1:]}", "", *as_markdown([_HEAD, *rows])]
    return lines


def describe_extent(audit: Audit) -> str:
    """Whether all of the repository's parts are here."""
    short = [one for one in audit.holdings if one.present < (one.whole or 1)]
    if not short:
        return "Every part of the repository that the audit looks at is here, whole."
    absent = sum(not one.present for one in short)
    return (
        f"Made from a part of the repository: of {len(audit.holdings)} parts that the audit looks at, "
        f"{len(audit.holdings) - len(short)} are here whole, {len(short) - absent} in part, {absent} not at all."
    )


def _holdings(holdings: Sequence[Holding]) -> list[tuple[str, ...]]:
    table: list[tuple[str, ...]] = [("part", "here", "whole", "of what")]
    return table + [
        (one.part, f"{one.present:,}", "?" if one.whole is None else f"{one.whole:,}", one.unit) for one in holdings
    ]


def _counts(audit: Audit) -> str:
    counts = Counter(line.status for line in audit.lines)
    return f"{len(audit.lines)} lines: " + ", ".join(f"{counts[status]} {status}" for status in MEANINGS) + "."


def _in_columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    lines: list[str] = []
    for row in rows:
        cells = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, _WIDTHS, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            lines.append("  ".join(part.ljust(width) for part, width in zip(parts, _WIDTHS, strict=True)).rstrip())
    return lines
