"""The judges there are, and which of them a run has."""

from __future__ import annotations

from collections.abc import Callable

from agent.briefing.generations import Briefing, briefing_of
from agent.folder.config import RunConfig
from agent.judges.blind import BlindJudge
from agent.judges.judge import Judge, Model
from agent.judges.rating import Rater
from agent.judges.rating_rules import RatingRules
from agent.judges.rules import Rules
from agent.judges.two_sided import TwoSided
from agent.transcript import Llm
from tools.study.definition import Question

JUDGES: list[Callable[[Question, Model | None, Briefing], Judge | None]] = [
    RatingRules.of,
    Rules.of,
    Rater.of,
    BlindJudge.of,
    TwoSided.of,
]
"""Each makes a judge of a question, a model, if there is one, and a briefing, or None if it judges by other means.

The first is taken."""


def appoint(config: RunConfig, question: Question, llm: Llm | None = None) -> Judge:
    """The judge of a run.

    Without the client of its model one learns what a judge would send, and sends nothing.

    Raises:
        StudyError: the guideline is missing, or no text.
    """
    model = Model(config.llm.judge_model, config.judge_repeats, llm) if config.llm else None
    briefing = briefing_of(config.generation)
    return next(judge for make in JUDGES if (judge := make(question, model, briefing)) is not None)
