"""The rater: one feature's evidence, rated 0 to 4 for each concept of the study, several times over if asked.

The form in which the two human raters of `canrager/sae_eval` judged: one reading of the evidence, a number for every
concept. Nothing is hypothesized or measured, so that machine and people see the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median_low
from typing import NamedTuple

from agent.briefing.evidence import brief_rater
from agent.briefing.forms import RatingReply, rating_reply_for
from agent.folder.records import ConceptRating
from agent.judges.judge import GUIDELINE
from agent.judges.judgement import Judgement
from agent.judges.repeats import ask_repeats
from agent.llm.requests import Message
from agent.transcript import Llm, Notes
from prompts.fence import clip
from prompts.loader import Prompt
from tools.proof.floors import NOTHING_DEAD, Dead
from tools.records import Evidence
from tools.study.definition import Rating


class Rated(NamedTuple):
    """The outcome of all repeats."""

    judgement: Judgement
    self_agreement: float
    """Mean over the concepts of the share of repeats that gave the recorded rating; one that failed agrees with none."""


class Rater(NamedTuple):
    """A model with the prompt, the concepts and the guideline it rates by."""

    llm: Llm
    prompt: Prompt
    rating: Rating
    guideline: str
    repeats: int = 1

    async def rate(self, evidence: Evidence, notes: Notes, dead: Dead = NOTHING_DEAD) -> Rated:
        """Put the evidence to the model as often as asked, all at once.

        Raises:
            Abandoned: half of the repeats or more gave no usable reply; it carries the first failure.
        """
        messages = word_rating(self.prompt, self.rating, self.guideline, evidence, dead)
        schema = rating_reply_for(tuple(self.rating.concepts))
        replies = await ask_repeats(self.llm, [messages] * self.repeats, "rate", schema, notes)
        return aggregate_ratings([reply for _, reply in replies], self.repeats)


def word_rating(
    prompt: Prompt, rating: Rating, guideline: str, evidence: Evidence, dead: Dead = NOTHING_DEAD
) -> list[Message]:
    """What every repeat is shown."""
    listed = [f"- {name}: {meaning}" if meaning else f"- {name}" for name, meaning in rating.concepts.items()]
    system, user = prompt.render(
        concepts="\n".join(listed), guideline=clip(guideline.strip(), GUIDELINE), evidence=brief_rater(evidence, dead)
    )
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def aggregate_ratings(replies: Sequence[RatingReply], n_repeats: int) -> Rated:
    """The lower median of each concept's ratings; confidence is the mean of the repeats', times their agreement.

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
    return Rated(judgement, agreement)
