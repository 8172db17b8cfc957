"""The audit as a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from evals.audit.records import MEANINGS, Audit, Holding
from evals.reporting.page import Page, Section
from tools.display.tables import Table, as_text

_HEAD = ("figure", "published", "recorded files give", "status")
_WIDTHS = (46, 26, 52, 17)
_ORIGIN = """\
Gupta and Sica 2024, repository [seansica/sae-vector-steering](https://github.com/seansica/sae-vector-steering).
Made by `python -m evals.audit_study CLONE --markdown FILE` and not edited by hand; the null of steering uses the
word vectors of the study `{study}`. Quoted from the repository are names and numbers only."""


def lay_out(audit: Audit, study: str) -> Page:
    """What made it, what is here, what each status means, every line by section, and the counts."""
    extent, holdings, counts = describe_extent(audit), _holdings(audit.holdings), _counts(audit)
    sections = [
        Section(note=_ORIGIN.format(study=study)),
        Section(note=extent, table=holdings, brief=[extent, *as_text(holdings)]),
        Section(note=counts, table=[("status", "meaning"), *MEANINGS.items()], brief=as_text([_HEAD], _WIDTHS)),
    ]
    for section, members in groupby(audit.lines, key=lambda line: line.section):
        rows = [(line.figure, line.published, line.recorded, line.status) for line in members]
        title = f"{section[0].upper()}{section[1:]}"
        sections.append(Section(title=title, table=[_HEAD, *rows], brief=[section, *as_text(rows, _WIDTHS)]))
    return Page("The published study against its recorded files", sections=[*sections, Section(brief=[counts])])


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


def _holdings(holdings: Sequence[Holding]) -> Table:
    table: Table = [("part", "here", "whole", "of what")]
    return table + [
        (one.part, f"{one.present:,}", "?" if one.whole is None else f"{one.whole:,}", one.unit) for one in holdings
    ]


def _counts(audit: Audit) -> str:
    counts = Counter(line.status for line in audit.lines)
    return f"{len(audit.lines)} lines: " + ", ".join(f"{counts[status]} {status}" for status in MEANINGS) + "."
