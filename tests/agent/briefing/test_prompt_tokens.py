"""What requests cost, and how much of them a server need not read again."""

from __future__ import annotations

from agent.briefing.generations import briefing_of
from agent.judges.judge import Case, Model
from agent.judges.two_sided import TwoSided
from tests.agent.briefing.prompt_tokens import tabulate, weigh
from tests.agent.cases import make_evidence
from tools.study.reading import load_question

FEWEST = 1024
"""Tokens that a beginning must have for servers to keep it."""
MOST_LETTERS = 6
"""A token, by the vocabulary that is kindest to English."""


def test_what_all_requests_of_the_judge_begin_with_is_long_enough_to_be_kept() -> None:
    question = load_question("pocket")
    assert question.domain
    judge = TwoSided(Model("m", repeats=3), briefing_of(2), question.domain, question.read_guideline())
    cases = (Case(make_evidence()), Case(make_evidence(steering=None, projection=None)))
    (beginning,) = {str(messages[0]["content"]) for case in cases for messages in judge.requests(case)}
    assert len(beginning) >= MOST_LETTERS * FEWEST


def test_the_parts_of_a_request_are_all_of_it() -> None:
    for generation in (1, 2):
        parts = weigh(generation, len)
        assert {part.request for part in parts} == {"hypothesize", "judge"}
        assert all(part.tokens >= 0 for part in parts)
    shared = [sum(part.tokens for part in weigh(generation, len) if part.shared) for generation in (1, 2)]
    assert shared[1] > 1.5 * shared[0]
    assert len(tabulate(len)) == 2 + 7 + 2
