"""A judgement before it becomes a decision: one verdict out of several replies, and what steering shows. For all judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean, median_low
from typing import NamedTuple, TypeVar

from agent.briefing.first.forms import JudgeReply
from agent.folder.records import ConceptRating, SteeringVerdict
from agent.folder.sides import Sides, Verdict
from tools.maths import binomial_tail
from tools.records import SteeringEvidence, SteeringWord

T = TypeVar("T")
ALPHA = 0.05
"""What chance alone reaches no more often is taken for an effect: one value for all tests of all judges."""
CHANCE_OF_A_PAIR = 0.5
"""Of naming the steered text blindly; `neither` never hits, so this is an upper bound."""


class Panel(NamedTuple):
    """What the judge's repeats say together."""

    relevant: Verdict
    confidence: float
    interpretable: int
    label: str
    better_hypothesis: int | None
    """Number in the investigator's order, from 1; None without a majority for one."""
    steering: SteeringWord
    reasons: tuple[str, ...]
    self_agreement: float


def aggregate(replies: Sequence[JudgeReply], n_repeats: int) -> Panel:
    """The repeats as one verdict, by strict majority of all that were asked for; undecided if there is none.

    Confidence is the mean of the repeats that gave the verdict, times their share: disagreement lowers it. Without a
    majority it is that of the largest group. `better_hypothesis` must be mapped back to one order beforehand.

    Args:
        replies: at least one.
        n_repeats: how many were asked for; one that failed agrees with none.
    """
    votes: Counter[Verdict] = Counter(reply.relevant for reply in replies)
    verdict, n_agreeing = votes.most_common(1)[0]
    agreeing = [reply for reply in replies if reply.relevant == verdict]
    share = n_agreeing / n_repeats
    relevant: Verdict = verdict if share > 0.5 else "undecided"
    opinions: list[SteeringWord] = [reply.steering for reply in replies]
    spokesman = max(agreeing, key=lambda reply: reply.confidence)
    return Panel(
        relevant=relevant,
        confidence=round(fmean(reply.confidence for reply in agreeing) * share, 4),
        interpretable=median_low([reply.interpretable for reply in replies]),
        label=spokesman.label,
        better_hypothesis=majority([reply.better_hypothesis for reply in replies], None, n_repeats),
        steering=majority(opinions, "undecided", n_repeats),
        reasons=spokesman.reasons,
        self_agreement=round(sum(reply.relevant == relevant for reply in replies) / n_repeats, 4),
    )


def majority(votes: Sequence[T], otherwise: T, n_repeats: int) -> T:
    """What more than half of all repeats asked for say, or else the other."""
    vote, count = Counter(votes).most_common(1)[0]
    return vote if 2 * count > n_repeats else otherwise


def judge_blind_choices(identified: int, shown: int) -> SteeringWord:
    """Whether the judge told steered from unsteered texts beyond chance."""
    return hold_against_chance(identified / max(shown, 1), shown, CHANCE_OF_A_PAIR)


def hold_against_chance(share: float, n: int, chance: float) -> SteeringWord:
    """Passes if such a share of n is unlikely by chance; fails if it does not exceed chance; else undecided."""
    if n and binomial_tail(round(share * n), n, chance) <= ALPHA:
        return "passes"
    return "fails" if n and share <= chance else "undecided"


def combine_steering(*words: SteeringWord) -> SteeringWord:
    """One word from several: passes if some pass and none fails, fails if some fail and none passes, else undecided."""
    said = set(words) - {"undecided"}
    return said.pop() if len(said) == 1 else "undecided"


class Judgement(NamedTuple):
    """A verdict before it becomes a decision."""

    label: str
    relevant: Verdict | None
    """None where concepts were rated instead."""
    confidence: float
    interpretable: int | None
    steering: SteeringVerdict | None
    reasons: tuple[str, ...]
    ratings: tuple[ConceptRating, ...] | None = None
    sides: Sides | None = None


def steering_verdict(evidence: SteeringEvidence | None) -> SteeringVerdict | None:
    """What the measure says, its wins held against the null; of texts in sequence, what they were written to decide."""
    if evidence is None:
        return None
    share, n, null = evidence.win_rate, evidence.n, evidence.null_win_rate
    verdict = evidence.sequence.verdict if evidence.sequence else hold_against_chance(share, n, null)
    return SteeringVerdict(verdict=verdict, win_rate=share, n=n, null_win_rate=null)


def tail_of_wins(evidence: SteeringEvidence) -> float:
    """How often chance alone wins as many pairs; of texts in sequence, however many would have been written."""
    if evidence.sequence:
        return evidence.sequence.p_value
    return binomial_tail(round(evidence.win_rate * evidence.n), evidence.n, evidence.null_win_rate)
