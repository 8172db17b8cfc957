"""The table of decisions: a row per feature, filtered, sorted and cut into pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, Literal, NamedTuple, TypeVar, get_args
from urllib.parse import urlencode

from pydantic import Field

from agent.folder.records import Decision
from evals.agreement.pairing import answer_of
from evals.manual.records import RELEVANT, Label, Value
from evals.review.runs import Glance
from tools.records import Record, Stratum

T = TypeVar("T")

PAGE = 100
"""Rows of one page."""
Outcome = Literal["yes", "no", "undecided", "rated", "failed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
Passing = Literal["passes", "fails", "undecided", "not measured"]
Disputed = Literal["people", "repeats", "none"]
Column = Literal["place", "feature", "stratum", "outcome", "confidence", "people", "repeats", "coherence", "steering"]
Share = Annotated[float, Field(ge=0, le=1)]


class Row(NamedTuple):
    """One decision as the table shows it."""

    place: int
    """In the order of the run."""
    key: str
    decision: Decision
    outcome: Outcome
    glance: Glance
    people: tuple[tuple[str, Value], ...]
    """Who gave which answer to a question that the run was asked too."""
    differing: float | None
    """Share of these that are not the machine's; None where nobody answered."""
    sought: str
    """What a search looks through, in lower case."""

    @property
    def passing(self) -> Passing:
        """Whether steering shows what the label says."""
        return self.decision.steering.verdict if self.decision.steering else "not measured"

    @property
    def repeats(self) -> float | None:
        """Share of the repeated judgements that gave another verdict."""
        agreement = self.decision.judge.self_agreement
        return None if agreement is None else 1 - agreement


class Wanted(Record):
    """What the reader asks the table for."""

    q: Annotated[str, Field(max_length=500)] = ""
    """Part of a label, a token or a key; or a feature's number."""
    stratum: Stratum | None = None
    outcome: Outcome | None = None
    confidence_from: Share | None = None
    confidence_to: Share | None = None
    coherence_from: Annotated[float, Field(ge=-1, le=1)] | None = None
    steering: Passing | None = None
    disputed: Disputed | None = None
    """`people`: someone answered otherwise; `repeats`: the judge itself did; `none`: people answered, all the same."""
    sort: Column = "place"
    down: bool = False
    page: Annotated[int, Field(ge=1)] = 1

    @property
    def narrows(self) -> bool:
        """Whether anything is filtered."""
        return bool(self.model_dump(exclude_defaults=True, exclude={"sort", "down", "page"}))

    def address(self, **changes: object) -> str:
        """The query of the same table with some of it changed; the first page unless told otherwise."""
        asked = self.model_copy(update={"page": 1, **changes}).model_dump(exclude_defaults=True)
        query = urlencode({name: "1" if value is True else value for name, value in asked.items()})
        return f"?{query}" if query else ""

    def sorted_by(self, column: Column, down_first: bool = False) -> str:
        """The query that sorts by a column, turned round if it does already."""
        return self.address(sort=column, down=not self.down if self.sort == column else down_first)


class Listed(NamedTuple, Generic[T]):
    """One page of a table."""

    rows: Sequence[T]
    found: int
    """Rows that fit, on all pages."""
    page: int
    pages: int


def tabulate(
    decisions: dict[str, Decision],
    glances: dict[str, Glance],
    labels_on: Callable[[Decision], Sequence[Label]],
) -> list[Row]:
    """A row for every decision, in order.

    Args:
        decisions: by the feature's key.
        glances: likewise; features without evidence have none.
        labels_on: labels of people on the decision's feature.
    """
    rows: list[Row] = []
    for place, (key, decision) in enumerate(decisions.items()):
        glance = glances.get(key, Glance())
        people = [label for label in labels_on(decision) if is_asked(decision, label.question)]
        other = [label.value != answer_of(decision, label.question) for label in people]
        rows.append(
            Row(
                place=place,
                key=key,
                decision=decision,
                outcome=outcome_of(decision),
                glance=glance,
                people=tuple((label.annotator, label.value) for label in people),
                differing=sum(other) / len(other) if other else None,
                sought="\n".join([key, decision.label or "", *glance.tokens]).casefold(),
            )
        )
    return rows


def outcome_of(decision: Decision) -> Outcome:
    """The verdict, or what stands in its place."""
    if decision.status == "failed":
        return "failed"
    return decision.relevant or "rated"


def is_asked(decision: Decision, question: str) -> bool:
    """Whether the machine answered that question on this feature, or failed to."""
    return answer_of(decision, question) is not None or (decision.status == "failed" and question == RELEVANT)


def select(rows: Sequence[Row], wanted: Wanted) -> list[Row]:
    """The rows that fit, sorted; what has no value comes last either way."""
    words = wanted.q.casefold().split()
    fitting = [row for row in rows if _fits(row, wanted, words)]
    if wanted.sort == "place":
        return fitting[::-1] if wanted.down else fitting
    value = _VALUES[wanted.sort]
    known = [row for row in fitting if value(row) is not None]
    known.sort(key=lambda row: value(row) or 0, reverse=wanted.down)
    return known + [row for row in fitting if value(row) is None]


def cut_page(rows: Sequence[T], page: int, size: int = PAGE) -> Listed[T]:
    """One page; the last one for a number beyond it."""
    pages = max(1, -(-len(rows) // size))
    page = min(page, pages)
    return Listed(rows[(page - 1) * size : page * size], len(rows), page, pages)


class Neighbours(NamedTuple):
    """Where a feature stands in the table that the reader came from."""

    place: int
    """From 1."""
    of: int
    before: str | None
    after: str | None


def find_neighbours(rows: Sequence[Row], key: str) -> Neighbours | None:
    """The features before and after; None for one that the table does not hold."""
    place = next((number for number, row in enumerate(rows) if row.key == key), None)
    if place is None:
        return None
    before = rows[place - 1].key if place else None
    after = rows[place + 1].key if place + 1 < len(rows) else None
    return Neighbours(place + 1, len(rows), before, after)


def _fits(row: Row, wanted: Wanted, words: Sequence[str]) -> bool:
    confidence, coherence = row.decision.confidence, row.glance.coherence
    return (
        (wanted.stratum is None or row.decision.stratum == wanted.stratum)
        and (wanted.outcome is None or row.outcome == wanted.outcome)
        and (wanted.steering is None or row.passing == wanted.steering)
        and (wanted.disputed is None or _is_disputed(row, wanted.disputed))
        and (wanted.confidence_from is None or (confidence is not None and confidence >= wanted.confidence_from))
        and (wanted.confidence_to is None or (confidence is not None and confidence <= wanted.confidence_to))
        and (wanted.coherence_from is None or (coherence is not None and coherence >= wanted.coherence_from))
        and all(word in row.sought or word == str(row.decision.feature.index) for word in words)
    )


def _is_disputed(row: Row, how: Disputed) -> bool:
    if how == "repeats":
        return bool(row.repeats)
    return row.differing is not None and (row.differing > 0) == (how == "people")


_VALUES: dict[Column, Callable[[Row], float | str | None]] = {
    "feature": lambda row: row.key,
    "stratum": lambda row: row.decision.stratum,
    "outcome": lambda row: OUTCOMES.index(row.outcome),
    "confidence": lambda row: row.decision.confidence,
    "people": lambda row: row.differing,
    "repeats": lambda row: row.repeats,
    "coherence": lambda row: row.glance.coherence,
    "steering": lambda row: row.glance.steering,
}
