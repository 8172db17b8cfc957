from __future__ import annotations

import itertools

import pytest

from agent.briefing.first.predictions import separation
from agent.folder.config import Limits
from agent.investigation.limits import (
    MOST_STEP_TOKENS,
    Spent,
    estimate_tokens,
    failure_stands,
    why_settle,
    why_stop_experiments,
)
from agent.judges.blind import find_doubt
from agent.judges.judgement import Panel, aggregate, combine_steering, judge_blind_choices
from agent.llm.records import Failure
from tests.agent.cases import make_judgement

LIMITS = Limits(rounds=2, calls_per_feature=12, tool_calls_per_feature=8, tokens_per_feature=1000)
FRESH = Spent(rounds=1, calls=3, tool_calls=2, tokens=500, time_is_up=False)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, None),
        ({"tool_calls": 8}, "8 measurements"),
        ({"calls": 10}, None),
        ({"calls": 11}, "11 of 12 calls"),
        ({"tokens": 1000}, "1000 tokens"),
        ({"time_is_up": True}, "600 seconds"),
    ],
)
def test_experiments_end_at_each_limit_and_keep_a_call_for_the_judge(change: dict[str, int], why: str | None) -> None:
    found = why_stop_experiments(FRESH._replace(**change), LIMITS, judge_calls=1, step_tokens=MOST_STEP_TOKENS)
    assert found == why if why is None else why in str(found)


def test_experiments_end_when_a_step_would_be_too_long() -> None:
    assert "conversation" in str(why_stop_experiments(FRESH, LIMITS, 1, MOST_STEP_TOKENS + 1))


def panel(relevant: str, better: int | None) -> Panel:
    return aggregate([make_judgement(relevant=relevant, better_hypothesis=better)], 1)


@pytest.mark.parametrize(
    ("relevant", "better", "again"),
    [
        ("yes", 1, False),
        ("yes", None, True),
        ("no", 1, False),
        ("no", None, False),
        ("undecided", 1, True),
        ("undecided", None, True),
    ],
)
def test_another_round_is_for_the_undecided_and_for_untested_meanings(relevant: str, better: int, again: bool) -> None:
    doubt = find_doubt(panel(relevant, better))
    assert (doubt is not None) == again
    assert doubt is None or doubt.startswith(f"relevant: {relevant}; better hypothesis: {better}; ")


@pytest.mark.parametrize(
    ("change", "judge_calls", "can_test", "why"),
    [
        ({}, 1, True, None),
        ({}, 1, False, "no instruments"),
        ({"rounds": 2}, 1, True, "2 rounds"),
        ({"calls": 11}, 1, True, "11 of 12 calls"),
        ({"calls": 10}, 3, True, "10 of 12 calls"),
        ({"tokens": 1000}, 1, True, "1000 tokens"),
        ({"time_is_up": True}, 1, True, "600 seconds"),
    ],
)
def test_each_limit_ends_the_rounds(change: dict[str, int], judge_calls: int, can_test: bool, why: str | None) -> None:
    found = why_settle(FRESH._replace(**change), LIMITS, judge_calls, can_test)
    assert found == why if why is None else why in str(found)


@pytest.mark.parametrize(
    ("votes", "n", "relevant", "agreement", "confidence"),
    [
        (["yes"], 1, "yes", 1.0, 0.8),
        (["yes", "yes", "no"], 3, "yes", 0.6667, 0.5333),
        (["yes", "no"], 2, "undecided", 0.0, 0.4),
        (["yes", "undecided"], 2, "undecided", 0.5, 0.4),
        (["yes", "no", "undecided"], 3, "undecided", 0.3333, 0.2667),
        (["no", "no", "no"], 3, "no", 1.0, 0.8),
        (["yes", "yes"], 3, "yes", 0.6667, 0.5333),
        (["yes", "no"], 3, "undecided", 0.0, 0.2667),
        (["undecided"] * 2, 2, "undecided", 1.0, 0.8),
    ],
)
def test_repeats_become_one_verdict_by_strict_majority(
    votes: list[str], n: int, relevant: str, agreement: float, confidence: float
) -> None:
    found = aggregate([make_judgement(relevant=vote) for vote in votes], n)
    assert (found.relevant, found.self_agreement, found.confidence) == (relevant, agreement, confidence)


def test_label_and_reasons_come_from_the_surest_of_the_majority() -> None:
    replies = [
        make_judgement(relevant="no", label="sure of no", confidence=1.0),
        make_judgement(relevant="yes", label="fairly sure", confidence=0.7, reasons=("a",), interpretable=4),
        make_judgement(relevant="yes", label="not so sure", confidence=0.6, interpretable=1),
    ]
    found = aggregate(replies, 3)
    assert (found.label, found.reasons, found.interpretable) == ("fairly sure", ("a",), 3)


def test_the_better_hypothesis_and_the_opinion_on_steering_need_a_majority() -> None:
    replies = [
        make_judgement(better_hypothesis=b, steering=s) for b, s in ((1, "passes"), (2, "passes"), (None, "fails"))
    ]
    found = aggregate(replies, 3)
    assert (found.better_hypothesis, found.steering) == (None, "passes")
    assert aggregate(replies[:2], 3).steering == "passes"
    assert aggregate(replies[:1], 2).steering == "undecided"


@pytest.mark.parametrize(
    ("identified", "shown", "word"),
    [
        (10, 10, "passes"),
        (9, 10, "passes"),
        (8, 10, "undecided"),
        (5, 10, "fails"),
        (0, 0, "undecided"),
        (4, 4, "undecided"),
    ],
)
def test_blind_choices_are_held_against_chance(identified: int, shown: int, word: str) -> None:
    assert judge_blind_choices(identified, shown) == word


def test_steering_passes_only_if_nothing_speaks_against_it() -> None:
    for words in itertools.product(("passes", "fails", "undecided"), repeat=3):
        found = combine_steering(*words)
        assert (found == "passes") == ("passes" in words and "fails" not in words)
        assert (found == "fails") == ("fails" in words and "passes" not in words)


def test_a_spent_budget_leaves_an_earlier_verdict_standing() -> None:
    budget, refusal = (Failure(type=t, message="", attempts=0) for t in ("budget", "refusal"))
    assert not failure_stands(None, True)
    assert not failure_stands(budget, True)
    assert failure_stands(budget, False)
    assert failure_stands(refusal, True)


def test_separation_is_the_share_of_ordered_pairs() -> None:
    assert separation([2, 3], [0, 1]) == 1
    assert separation([0, 0], [0, 0]) == 0.5
    assert separation([0, 2], [1]) == 0.5
    assert separation([], [1]) is None


def test_tokens_are_a_quarter_of_the_characters() -> None:
    assert estimate_tokens([{"role": "user", "content": "a" * 400}]) in range(100, 112)
