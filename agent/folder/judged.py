"""What a model's answers on steered texts come to: scores, the judge's own floor, and which answers are still owed.

A comparison that was asked in both orders counts as won only where both answers name the same text; else it is a tie, which
is half a win. A failure is no answer and counts nowhere but among the failures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from agent.folder.steered import Judged, SteeredText

WIN, TIE, LOSS = 1.0, 0.5, 0.0
UNSTEERED = "unsteered"

Key = tuple[str, str, int, int]
"""Target, arm, prompt and sample."""
Address = tuple[Key, str, bool, str | None]
"""Of one question: whose text, what was asked, in which order, and whose excerpts were shown."""


def key_of(one: Judged | SteeredText) -> Key:
    """Which text it is, or an answer is on."""
    return one.target, one.arm, one.prompt, one.sample


def address_of(one: Judged) -> Address:
    """Which question an answer is to."""
    return key_of(one), one.task, one.swapped, one.shown


def latest(judgements: Iterable[Judged]) -> dict[Address, Judged]:
    """One answer a question: a failure that was asked again gives way to what came of it, and never the other way round."""
    found: dict[Address, Judged] = {}
    for one in judgements:
        known = found.get(address_of(one))
        if known is None or known.failure is not None:
            found[address_of(one)] = one
    return found


def harmonic(ratings: Sequence[int]) -> float:
    """Harmonic mean of ratings from 0 to 2; 0 if one of them is.

    Raises:
        ValueError: there is none, or one is beyond these bounds.
    """
    if not ratings or not all(0 <= rating <= 2 for rating in ratings):
        raise ValueError(f"ratings are from 0 to 2, not {list(ratings)}")
    return 0.0 if min(ratings) == 0 else len(ratings) / sum(1 / rating for rating in ratings)


def rated(one: Judged) -> float | None:
    """The harmonic mean of one rating; None for a failure, and for a comparison."""
    if one.concept is None or one.relevance is None or one.fluency is None:
        return None
    return harmonic((one.concept, one.relevance, one.fluency))


def settle(answers: Sequence[Judged]) -> float | None:
    """A win, a tie or a loss out of the comparisons of one pair, in one order or both; None where every one failed."""
    said = {one.prefers_arm for one in answers if one.failure is None}
    if not said:
        return None
    return TIE if len(said) > 1 or said == {None} else WIN if said == {True} else LOSS


class Verdicts(NamedTuple):
    """What a model said of the texts of a run, by text."""

    wins: Mapping[Key, float]
    """1, 0.5 or 0 against the unsteered text."""
    ratings: Mapping[Key, float]
    """Harmonic means, 0 to 2."""
    failed: Mapping[tuple[str, str], int]
    """By target and arm: answers that never came."""


def count_verdicts(judgements: Iterable[Judged]) -> Verdicts:
    """All that counts of the texts; what was asked for the judge's own floor is left out."""
    pairs, ratings, failed = (
        defaultdict[Key, list[Judged]](list),
        dict[Key, float](),
        defaultdict[tuple[str, str], int](int),
    )
    for one in latest(judgements).values():
        if one.shown is not None or (one.task == "more alike" and one.arm == UNSTEERED):
            continue
        failed[one.target, one.arm] += one.failure is not None
        if one.task == "more alike":
            pairs[key_of(one)].append(one)
        elif (score := rated(one)) is not None:
            ratings[key_of(one)] = score
    settled = {key: settle(answers) for key, answers in pairs.items()}
    wins = {key: value for key, value in settled.items() if value is not None}
    return Verdicts(wins, ratings, {key: n for key, n in failed.items() if n})


class Check(NamedTuple):
    """One figure of the judge's floor: a share of answers, and of how many."""

    share: float | None
    n: int


class Floor(NamedTuple):
    """What the judge's answers are worth: each should be near a half but the last, which should be near 1."""

    shuffled: Check
    """Wins of the arms' texts where another target's excerpts were shown, ties half."""
    first_of_same: Check
    """Of a text shown twice as A and B: answers that name A, ties half."""
    first: Check
    """Of all pairs that differ: answers that name A, ties left out."""
    consistent: Check
    """Of pairs asked in both orders: those in which both answers agree."""


def measure_floor(judgements: Iterable[Judged]) -> Floor:
    """The judge's floor, of all that it was asked in a run."""
    shuffled, same, first = list[float](), list[float](), list[float]()
    orders = defaultdict[Key, dict[bool, bool | None]](dict)
    for one in latest(judgements).values():
        if one.task != "more alike" or one.failure is not None or one.request_sha256 is None:
            continue  # equal texts are a tie that nobody was asked about
        says_first = None if one.prefers_arm is None else one.prefers_arm != one.swapped
        if one.arm == UNSTEERED:
            same.append(TIE if says_first is None else float(says_first))
        elif one.shown is not None:
            shuffled.append(TIE if one.prefers_arm is None else float(one.prefers_arm))
        else:
            first += [] if says_first is None else [float(says_first)]
            orders[key_of(one)][one.swapped] = one.prefers_arm
    both = [float(said[True] == said[False]) for said in orders.values() if len(said) == 2]
    return Floor(*map(_share, (shuffled, same, first, both)))


def _share(values: Sequence[float]) -> Check:
    return Check(fmean(values) if values else None, len(values))
