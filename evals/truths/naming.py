"""Whether a label names anything, and what came of a feature of which it is known what it stands for."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from agent.folder.records import Decision
from tools.truth.known import KnownFeature

Outcome = Literal["right", "wrong", "not told", "nothing nameable", "failed", "named"]
"""Of a concept: all but the last. Of a placebo, which has no meaning: named, nothing nameable, failed. `not told`: nobody
could say whether label and meaning are the same."""
CONCEPT_OUTCOMES: tuple[Outcome, ...] = ("right", "wrong", "not told", "nothing nameable", "failed")
PLACEBO_OUTCOMES: tuple[Outcome, ...] = ("named", "nothing nameable", "failed")
_NOTHING = re.compile(
    r"(?:(?:nothing|none)(?: (?:that can be named|nameable|specific|clear|in particular|coherent))?"
    r"|no (?:[a-z]+ ){0,2}(?:meaning|theme|thread|pattern|concept|topic)(?: [a-z ]+)?"
    r"|not (?:clearly )?(?:interpretable|nameable)|unclear|unknown|unnamed|uninterpretable|(?:random |pure )?noise"
    r"|dead(?: feature)?|(?:never active|active nowhere))\.?",
    re.IGNORECASE,
)
"""The whole of a label, so that a list of words such as "nothing, none, never" is one that names something."""


class Held(NamedTuple):
    """One decision, what is known of its feature, and what came of it."""

    decision: Decision
    known: KnownFeature
    outcome: Outcome


def names_nothing(decision: Decision) -> bool:
    """Whether the verdict is that there is nothing to be named: it says so, has no label, or cannot be interpreted at all.

    The label counts, whatever the verdict on the domain is: a feature may well mean something that the study does not ask
    about.
    """
    return decision.label is None or decision.interpretable == 0 or bool(_NOTHING.fullmatch(decision.label.strip()))


def settle(decision: Decision, known: KnownFeature, same: bool | None) -> Held:
    """What came of one feature.

    Args:
        decision: on it.
        known: what it stands for.
        same: whether label and meaning are the same; None where that was not told, or not asked.
    """
    if decision.status == "failed":
        return Held(decision, known, "failed")
    if names_nothing(decision):
        return Held(decision, known, "nothing nameable")
    if known.kind != "concept":
        return Held(decision, known, "named")
    return Held(decision, known, "not told" if same is None else "right" if same else "wrong")
