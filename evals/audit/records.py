"""What an audit says: a line for every published figure, and which files it rests on."""

from __future__ import annotations

from typing import Literal

from tools.records import Record

Status = Literal["agrees", "differs", "not shown", "fits so far", "cannot be checked"]
MEANINGS: dict[Status, str] = {
    "agrees": "the recorded files give what is published, to the digits that are published",
    "differs": "they give something else, and more of the same files would not change that",
    "not shown": "it does not show in the files in which it should, as far as they are here",
    "fits so far": "a part of the files is here, and gives what such a part may give if the whole agrees (99 %)",
    "cannot be checked": "the file named is missing",
}


class Line(Record):
    """One published figure, or one thing that the published procedure takes for granted."""

    section: str
    figure: str
    published: str
    recorded: str
    """What the files give, or which of them is missing."""
    status: Status


class Holding(Record):
    """How much of a part of the repository is here."""

    part: str
    present: int
    whole: int | None
    """As published; None where no number is."""
    unit: str


class Audit(Record):
    """All lines, and what they rest on."""

    holdings: tuple[Holding, ...]
    lines: tuple[Line, ...]
