"""A figure with its interval, and how the interval was made."""

from __future__ import annotations

from typing import Literal

from tools.records import Record

Method = Literal[
    "bca", "wilson", "no disagreement", "one answer only", "permutations", "lang-reiczigel", "mover", "none"
]
"""Of an interval. `no disagreement`: the exact bound of a rate of which nothing was seen. `one answer only`: every
resample gives the same figure. `permutations`: the middle 95 % under the null, no interval of confidence."""


class Estimate(Record):
    """A figure and its 95 % interval."""

    value: float | None
    low: float | None = None
    high: float | None = None
    method: Method = "none"
