"""The table of a steering run as text: an arm a line, each figure with its interval where it has one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from agent.folder.steered import ArmResult, Interval


class Column(NamedTuple):
    """One figure of an arm."""

    name: str
    meaning: str
    cell: Callable[[ArmResult], str]


def write_interval(found: Interval | None, form: str = "+.3f") -> str:
    """`+0.120 [+0.080, +0.160]`; a dash where there is none."""
    if found is None:
        return "-"
    ends = "" if found.low is None or found.high is None else f" [{found.low:{form}}, {found.high:{form}}]"
    return f"{found.mean:{form}}{ends}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


COLUMNS = (
    Column("nats gained", "a token of held-out text of the target, against unsteered", lambda r: write_interval(r.nats_gained)),
    Column("likeness gained", "to held-out text by word vectors, against unsteered", lambda r: write_interval(r.likeness_gained)),
    Column("by encoder", "the same by the sentence encoder", lambda r: write_interval(r.encoder_gained)),
    Column("won", "of comparisons with unsteered text, by the model; ties half", lambda r: write_interval(r.wins, ".0%")),
    Column("rated", "concept, relevance and fluency together, 0 to 2", lambda r: write_interval(r.harmonic, ".2f")),
    Column("failed", "answers of the model that never came", lambda r: str(r.failed) if r.failed else "-"),
    Column("perplexity", "median, under the unsteered model", lambda r: f"{r.perplexity:.1f}"),
    Column("repetition", "share of pairs of words used before", lambda r: f"{r.repetition:.2f}"),
    Column("collapsed", "texts beyond the bounds of fluency", lambda r: _share(r.collapsed)),
    Column("KL", "nats a token between steered and unsteered", lambda r: f"{r.kl:.2f}"),
    Column("displaced", "share of features that others were put in the place of", lambda r: _share(r.displaced)),
)  # fmt: skip


def used_columns(rows: Sequence[ArmResult]) -> list[Column]:
    """Those in which some row has a figure."""
    return [column for column in COLUMNS if any(column.cell(row) != "-" for row in rows)]


def lay_out(rows: Sequence[ArmResult], columns: Sequence[Column]) -> list[tuple[str, ...]]:
    """Head and lines."""
    head = ("arm", *(column.name for column in columns))
    return [head, *((row.arm, *(column.cell(row) for column in columns)) for row in rows)]
