"""What follows from what: pure functions, tested as truth tables. No node decides anything on its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from agent.folder.config import Limits
from agent.llm.records import Failure
from agent.llm.requests import Message

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


def why_settle(spent: Spent, limits: Limits, judge_calls: int, can_test: bool) -> str | None:
    """Why a ruling in doubt is recorded; None for another round. Without instruments there would be nothing new to judge."""
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
