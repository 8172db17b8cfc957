"""A hypothesis as an investigation carries it, whichever form it was proposed in, and the name it keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from tools.maths import seed_of
from tools.records import Record

Kind = Literal["meaning", "nothing", "dead"]
"""It stands for something; for nothing that can be named; it is active nowhere."""


def _is_empty(value: object) -> bool:
    return value == ""


def _is_meaning(value: object) -> bool:
    return value == "meaning"


class Sentences(Record):
    """What is predicted of sentences."""

    will_activate: tuple[str, ...] = ()
    near_misses: tuple[str, ...] = ()


class Words(Record):
    """What is predicted of steering."""

    will_be_promoted: tuple[str, ...] = ()


class Hypothesis(Record):
    """One meaning the feature may have, or none, with what would follow from it."""

    name: str = Field(default="", exclude_if=_is_empty)
    """The same in every round and to every reader; empty in runs of the first generation, which counted them anew."""
    kind: Kind = Field(default="meaning", exclude_if=_is_meaning)
    reasons: str
    label: str
    about_inputs: Sentences = Sentences()
    about_outputs: Words = Words()

    @property
    def predicts_silence(self) -> bool:
        """Whether it names nothing at which the feature would become active."""
        return self.kind != "meaning"


def name_hypotheses(
    proposed: Sequence[Hypothesis], known: Mapping[str, str], key: str, round: int
) -> tuple[Hypothesis, ...]:
    """The hypotheses of a round with names, H1, H2, …, in the order given.

    One that comes again, under the same label, keeps its name. New names are dealt out by lot, so that they say nothing of
    the order in which the investigator proposed: a blind judge reads them too.

    Args:
        proposed: in the investigator's order.
        known: names of earlier rounds by label, as `names_of` gives them.
        key: of the feature.
        round: from 1.
    """
    free = dict(known)
    names = {place: free.pop(_plain(one.label), "") for place, one in enumerate(proposed)}
    fresh = [place for place, name in names.items() if not name]
    lots = sorted(fresh, key=lambda place: seed_of(key, "names", round, place))
    names |= {place: f"H{number}" for number, place in enumerate(lots, len(known) + 1)}
    return tuple(one.model_copy(update={"name": names[place]}) for place, one in enumerate(proposed))


def names_of(hypotheses: Sequence[Hypothesis]) -> dict[str, str]:
    """Names by label, for the next round; those without one are left out."""
    return {_plain(one.label): one.name for one in hypotheses if one.name}


def _plain(label: str) -> str:
    return " ".join(label.casefold().split())
