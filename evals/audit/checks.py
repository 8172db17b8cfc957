"""A line to be: a figure, what is published, and how to measure it on a clone that may lack a part."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from evals.audit.clone import Arm, Clone, MissingPart
from evals.audit.records import Line, Status

CHANCE = 0.05
"""What has a smaller p-value shows."""


class Finding(NamedTuple):
    """What the files give."""

    recorded: str
    status: Status


class Check(NamedTuple):
    """A line to be."""

    section: str
    figure: str
    published: str
    measure: Callable[[], Finding]
    """Raises MissingPart."""


def each_arm(
    clone: Clone, section: str, figure: str, published: str | Callable[[Arm], str], measure: Callable[[Arm], Finding]
) -> list[Check]:
    """The same line for both arms."""
    return [
        Check(
            section,
            f"{figure}, {arm.claims.title}",
            published if isinstance(published, str) else published(arm),
            partial(measure, arm),
        )
        for arm in clone.arms
    ]


def settle_check(check: Check) -> Line:
    """Measure; what is missing is said, not raised."""
    try:
        finding = check.measure()
    except MissingPart as missing:
        finding = Finding(f"missing: {missing}", "cannot be checked")
    return Line(
        section=check.section,
        figure=check.figure,
        published=check.published,
        recorded=finding.recorded,
        status=finding.status,
    )


def of_all(n: int, whole: int) -> Status:
    """All that is here is as published: is all here?"""
    return "agrees" if n >= whole else "fits so far"
