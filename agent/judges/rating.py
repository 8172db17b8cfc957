"""The rater: one feature's evidence, rated 0 to 4 for each concept of the study, several times over if asked.

The form in which the two human raters of `canrager/sae_eval` judged: one reading of the evidence, a number for every
concept. Nothing is hypothesized or measured, so that machine and people see the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median_low
from typing import NamedTuple

from agent.briefing.first.forms import RatingReply, rating_reply_for
from agent.briefing.generations import Briefing
from agent.folder.records import ConceptRating, JudgeRef
from agent.judges.judge import GUIDELINE, Case, Model, Ruling
from agent.judges.judgement import Judgement
from agent.llm.requests import Message
from agent.transcript import Notes
from prompts.fence import clip
from tools.study.definition import Question, Rating


class Rater(NamedTuple):
    """A model with its briefing, the concepts and the guideline it rates by."""

    name = "rate"
    needs_hypotheses = False
    model: Model
    briefing: Briefing
    rating: Rating
    guideline: str

    @classmethod
    def of(cls, question: Question, model: Model | None, briefing: Briefing) -> Rater | None:
        """For a question that asks for ratings."""
        if model is None or question.rating is None:
            return None
        return cls(model, briefing, question.rating, question.read_guideline())

    @property
    def ref(self) -> JudgeRef:
        """The model, its prompt and its repeats."""
        return self.model.sign(self.briefing.prompt(self.name))

    def requests(self, case: Case) -> list[list[Message]]:
        """The same for every repeat."""
        means = {
            name: f": {given}" if given else self.briefing.unexplained for name, given in self.rating.concepts.items()
        }
        messages = self.briefing.render(
            self.name,
            concepts="\n".join(f"- {name}{meaning}" for name, meaning in means.items()),
            guideline=clip(self.guideline.strip(), GUIDELINE),
            evidence=self.briefing.rater(case.evidence, case.dead),
        )
        return [messages] * self.model.repeats

    async def judge(self, case: Case, notes: Notes) -> Ruling:
        """Put the evidence to the model as often as asked, all at once.

        Raises:
            Abandoned: half of the repeats or more gave no usable reply; it carries the first failure.
        """
        schema = rating_reply_for(tuple(self.rating.concepts))
        replies = await self.model.ask(self.requests(case), self.name, schema, notes)
        return aggregate_ratings([reply for _, reply in replies], self.model.repeats)


def aggregate_ratings(replies: Sequence[RatingReply], n_repeats: int) -> Ruling:
    """The lower median of each concept's ratings; confidence is the mean of the repeats', times their agreement.

    Agreement is the mean over the concepts of the share of repeats that gave the recorded rating; one that failed agrees
    with none.

    Args:
        replies: at least one, each with the same concepts in the same order.
        n_repeats: how many were asked for.
    """
    ratings, shares = list[ConceptRating](), list[float]()
    for column in zip(*(reply.ratings.given() for reply in replies), strict=True):
        given = [rating.rating for rating in column]
        chosen = median_low(given)
        ratings.append(ConceptRating(concept=column[0].concept, rating=chosen))
        shares.append(given.count(chosen) / n_repeats)
    agreement = round(fmean(shares), 4)
    spokesman = max(replies, key=lambda reply: reply.confidence)
    reasons = list(spokesman.reasons)
    if n_repeats > 1:
        reasons.append(f"{len(replies)} of {n_repeats} ratings came; they agree on {agreement:.0%} of the concepts")
    judgement = Judgement(
        label=spokesman.label,
        relevant=None,
        confidence=round(fmean(reply.confidence for reply in replies) * agreement, 4),
        interpretable=median_low([reply.interpretable for reply in replies]),
        steering=None,
        reasons=tuple(reasons),
        ratings=tuple(ratings),
    )
    return Ruling(judgement, agreement)
