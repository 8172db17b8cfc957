"""How two sides make one verdict: the rule of the study, for every judge."""

from __future__ import annotations

from agent.folder.sides import Side, Sides, Verdict
from tools.study.definition import Counts

UNKNOWN = Side(relevant="undecided", confidence=0.0)
"""A side that nothing is known of, where nothing else counts."""


def count_sides(counts: Counts, input: Side | None, output: Side | None) -> Side:
    """The verdict on the whole, and how sure it is.

    `either` needs one yes, and two no for a no; `both` two yes, and one no for a no; what neither settles is undecided.
    The verdict is as sure as its weakest part where it needs both sides, and as its strongest where one is enough. A
    side without evidence does not count, except where it is the only one that does.

    Args:
        counts: the study's rule.
        input: where the feature is active; None without evidence.
        output: what it promotes; None without evidence.

    Returns:
        Verdict and confidence; its label says nothing.
    """
    if counts == "input":
        return input or UNKNOWN
    if counts == "output":
        return output or UNKNOWN
    known = [side for side in (input, output) if side is not None]
    enough: Verdict = "yes" if counts == "either" else "no"
    needed: Verdict = "no" if counts == "either" else "yes"
    if sufficing := [side.confidence for side in known if side.relevant == enough]:
        return Side(relevant=enough, confidence=max(sufficing))
    if known and all(side.relevant == needed for side in known):
        return Side(relevant=needed, confidence=min(side.confidence for side in known))
    open_ones = [side.confidence for side in known if side.relevant == "undecided"]
    return Side(relevant="undecided", confidence=min(open_ones, default=0.0))


def choose_label(sides: Sides) -> str | None:
    """The label that stands for the feature: of where it is active, unless only what it promotes has a meaning or counts."""
    first, second = sides.input, sides.output
    if sides.kind == "output" or sides.counts == "output":
        first, second = second, first
    chosen = first or second
    return chosen.label if chosen else None
