"""What follows from what: pure functions, tested as truth tables. No node decides anything on its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from statistics import fmean, median_low
from typing import Literal, NamedTuple, TypeVar

from agent.config import Limits
from agent.records import Failure, Verdict
from agent.requests import Message
from agent.schemas import JudgeReply
from tools.maths import binomial_tail

T = TypeVar("T")
SteeringWord = Literal["passes", "fails", "undecided"]

ALPHA = 0.05
CHANCE_OF_A_PAIR = 0.5
"""Of naming the steered text blindly; `neither` never hits, so this is an upper bound."""


MOST_STEP_TOKENS = 6000
"""Input tokens of one step of an investigation; experiments end when the conversation has grown to it."""
_CHARACTERS_PER_TOKEN = 4


class Spent(NamedTuple):
    """What one feature has used so far."""

    rounds: int
    calls: int
    tool_calls: int
    tokens: int
    time_is_up: bool


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


def why_stop_experiments(spent: Spent, limits: Limits, judge_calls: int, step_tokens: int) -> str | None:
    """The limit that ends the experiments, or None; calls for the judgement are kept back.

    Args:
        spent: so far.
        limits: of the feature.
        judge_calls: how many a judgement takes.
        step_tokens: of the conversation that would be sent next.
    """
    if step_tokens > MOST_STEP_TOKENS:
        return f"the conversation has grown to {step_tokens} tokens"
    if spent.tool_calls >= limits.tool_calls_per_feature:
        return f"{limits.tool_calls_per_feature} measurements chosen"
    return _why_stop(spent, limits, needed_calls=1 + judge_calls)


def failure_stands(failure: Failure | None, has_judgement: bool) -> bool:
    """Whether a feature failed. A spent budget is a limit like any other: it leaves an earlier round's verdict standing."""
    return failure is not None and not (failure.type == "budget" and has_judgement)


def estimate_tokens(messages: Sequence[Message]) -> int:
    """Tokens of a conversation by rule of thumb, four characters each."""
    return sum(len(json.dumps(message, ensure_ascii=False)) for message in messages) // _CHARACTERS_PER_TOKEN


def why_settle(panel: Panel, spent: Spent, limits: Limits, judge_calls: int, can_test: bool) -> str | None:
    """Why the verdict is recorded; None for another round.

    Another round is for a feature on which the judge is undecided, or which it calls relevant under a meaning that
    nobody proposed and nothing has tested. Without instruments there would be nothing new to judge.
    """
    settled = panel.relevant == "no" or (panel.relevant == "yes" and panel.better_hypothesis is not None)
    if settled:
        return "settled"
    if not can_test:
        return "there are no instruments to test anything further"
    if spent.rounds >= limits.rounds:
        return f"{limits.rounds} rounds made"
    return _why_stop(spent, limits, needed_calls=1 + judge_calls)


def _why_stop(spent: Spent, limits: Limits, needed_calls: int) -> str | None:
    if spent.calls + needed_calls > limits.calls_per_feature:
        return f"{spent.calls} of {limits.calls_per_feature} calls made, {needed_calls} more needed"
    if spent.tokens >= limits.tokens_per_feature:
        return f"{spent.tokens} of {limits.tokens_per_feature} tokens used"
    if spent.time_is_up:
        return f"{limits.seconds_per_feature:g} seconds are over"
    return None


def is_quorate(n_replies: int, n_repeats: int) -> bool:
    """More than half of the repeats asked for have replied: fewer are no judgement."""
    return 2 * n_replies > n_repeats


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
        better_hypothesis=_majority([reply.better_hypothesis for reply in replies], None, n_repeats),
        steering=_majority(opinions, "undecided", n_repeats),
        reasons=spokesman.reasons,
        self_agreement=round(sum(reply.relevant == relevant for reply in replies) / n_repeats, 4),
    )


def _majority(votes: Sequence[T], otherwise: T, n_repeats: int) -> T:
    vote, count = Counter(votes).most_common(1)[0]
    return vote if 2 * count > n_repeats else otherwise


def judge_blind_choices(identified: int, shown: int) -> SteeringWord:
    """Whether the judge told steered from unsteered texts beyond chance."""
    if shown and binomial_tail(identified, shown, CHANCE_OF_A_PAIR) <= ALPHA:
        return "passes"
    return "fails" if shown and identified <= shown * CHANCE_OF_A_PAIR else "undecided"


def combine_steering(*words: SteeringWord) -> SteeringWord:
    """One word from several: passes if some pass and none fails, fails if some fail and none passes, else undecided."""
    said = set(words) - {"undecided"}
    return said.pop() if len(said) == 1 else "undecided"


def separation(active: Sequence[float], silent: Sequence[float]) -> float | None:
    """How well predicted sentences stand apart: the share of pairs with the active one higher, ties for half.

    1 is every predicted sentence above every near miss, 0.5 is chance; None without both.
    """
    if not active or not silent:
        return None
    wins = sum((a > s) + (a == s) / 2 for a in active for s in silent)
    return wins / (len(active) * len(silent))
