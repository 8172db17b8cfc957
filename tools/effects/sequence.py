"""How many pairs of texts a direction is given: as many as decide it, by a test that may be looked at after each of them.

Every pair is a bet. Under the null hypothesis a direction's own words win a pair as often as other features' words win
that very pair, which is known of each: `q`. The stake grows by the likelihood of the outcome under the odds that are looked
for, over that under `q`:

    factor = odds ** win / (1 - q + q * odds)         odds = win_rate / (1 - win_rate)

Its expectation under the null is 1 whatever came before, so that the stake ever reaches 1 / alpha with a probability of
at most alpha (Ville's inequality): whenever one stops, 1 / (the largest stake so far) is a p-value. Under the odds that are
looked for, the same holds of 1 / stake: the direction fails where that has become as unlikely as the power allows. This is
Wald's sequential probability ratio test (1945), with a null of its own for each pair; on p-values of stopped bets see
Shafer (2021), and Ramdas and others (2023), on e-values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count, islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from tools.records import SequentialTest, SteeringWord
from tools.study.definition import SteeringSequence

FUTILE_SHARE = 0.75
"""Of the directions with the effect that may be missed: so many may be given up early, the rest at the end."""
LEAST_OPEN = 0.5
"""Share of pairs that some words must be able to win; with fewer more texts would tell nothing."""


class Bounds(NamedTuple):
    """Of the logarithm of the stake."""

    passes: float
    fails: float


class Course(NamedTuple):
    """How directions fare that win with one probability where chance wins half."""

    passing: float
    """Share that passes."""
    pairs: float
    """Mean number of pairs."""


class Plan(NamedTuple):
    """The most pairs a direction is given, and what they are good for."""

    most: int
    with_effect: Course
    without: Course


def bounds_of(settings: SteeringSequence) -> Bounds:
    """Where a direction passes, and where it fails."""
    return Bounds(-math.log(settings.alpha), math.log(FUTILE_SHARE * (1 - settings.power)))


def plan_sequence(settings: SteeringSequence, pairs_a_round: int) -> Plan:
    """As few rounds as give the power that is asked for; exact, for pairs that chance wins half of."""
    return _plan(settings.win_rate, settings.power, settings.alpha, pairs_a_round)


@cache
def _plan(win_rate: float, power: float, alpha: float, size: int) -> Plan:
    settings = SteeringSequence(win_rate=win_rate, power=power, alpha=alpha)
    found = enumerate(walk(settings, win_rate), 1)
    most, course = next((n, c) for n, c in found if n % size == 0 and c.passing >= power)
    return Plan(most, course, next(islice(walk(settings, 0.5), most - 1, None)))


def walk(settings: SteeringSequence, win_rate: float) -> Iterator[Course]:
    """What has become of directions that win pairs with this probability, after each pair, by every number of wins."""
    odds, bounds = _odds(settings), bounds_of(settings)
    going = np.ones(1)  # probability of still going on, by number of wins
    passing = pairs = 0.0
    for n in count(1):
        pairs += float(going.sum())
        going = np.append(going * (1 - win_rate), 0.0) + np.append(0.0, going * win_rate)
        stakes = np.arange(n + 1) * math.log(odds) - n * math.log((1 + odds) / 2)
        passing += float(going[stakes >= bounds.passes].sum())
        going = np.where((stakes < bounds.passes) & (stakes > bounds.fails), going, 0.0)
        yield Course(passing, pairs)


def follow(
    settings: SteeringSequence, wins: Bool[np.ndarray, " pairs"], null: Float[np.ndarray, " pairs"]
) -> tuple[SteeringWord, float]:
    """What the pairs so far decide, and the p-value: of the first decision, whatever came after it.

    Args:
        settings: the effect that is looked for, and the errors that are allowed.
        wins: of the pairs in their order.
        null: for each pair, the share of other features' words that win it.
    """
    odds, bounds = _odds(settings), bounds_of(settings)
    stakes = np.cumsum(wins * math.log(odds) - np.log1p(null * (odds - 1)))
    decided = np.flatnonzero((stakes >= bounds.passes) | (stakes <= bounds.fails))
    until = stakes[: decided[0] + 1] if len(decided) else stakes
    p_value = min(1.0, math.exp(-float(until.max(initial=0.0))))
    if not len(decided):
        return "undecided", p_value
    return ("passes" if until[-1] >= bounds.passes else "fails"), p_value


def is_open(settings: SteeringSequence, wins: Bool[np.ndarray, " pairs"], null: Float[np.ndarray, " pairs"]) -> bool:
    """Whether more pairs may decide what these have not."""
    return bool((null > 0).mean() >= LEAST_OPEN) and follow(settings, wins, null)[0] == "undecided"


def describe_test(
    settings: SteeringSequence,
    wins: Bool[np.ndarray, " pairs"],
    null: Float[np.ndarray, " pairs"],
    opening: int,
) -> SequentialTest:
    """The record of a test that has ended."""
    verdict, p_value = follow(settings, wins, null)
    plan = plan_sequence(settings, opening)
    return SequentialTest(
        win_rate=settings.win_rate,
        alpha=settings.alpha,
        power=plan.with_effect.passing,
        most=plan.most,
        opening=opening,
        null=tuple(null.tolist()),
        verdict=verdict,
        p_value=p_value,
    )


def further_seeds(seeds: Sequence[int], rounds: int) -> tuple[int, ...]:
    """As many seeds again, which no round before this one had."""
    first = 1 + max(seeds) + (rounds - 1) * len(seeds)
    return tuple(range(first, first + len(seeds)))


def _odds(settings: SteeringSequence) -> float:
    return settings.win_rate / (1 - settings.win_rate)
