"""Several judgements of two sides as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean, median_low
from typing import NamedTuple

from pydantic import JsonValue

from agent.briefing.second.forms import LeftOpen, SidedReply
from agent.folder.sides import Side, SideClass, Sides, Verdict
from agent.judges.counting import count_sides
from agent.judges.judgement import majority
from tools.records import SteeringWord
from tools.study.definition import Counts

Get = Callable[[SidedReply], Side]


class Panel(NamedTuple):
    """What the judge's repeats say together."""

    sides: Sides
    relevant: Verdict
    confidence: float
    interpretable: int
    better_hypothesis: str | None
    """Its name; None without a majority for one."""
    steering: SteeringWord
    left_open: LeftOpen
    reasons: tuple[str, ...]
    self_agreement: float

    def record(self) -> dict[str, JsonValue]:
        """For the transcript."""
        return {**self._asdict(), "sides": self.sides.model_dump(mode="json"), "reasons": list(self.reasons)}


def aggregate(replies: Sequence[SidedReply], n_repeats: int, counts: Counts, seen: tuple[bool, bool]) -> Panel:
    """The repeats as one: each side by strict majority of all that were asked for, undecided if it has none.

    Args:
        replies: at least one.
        n_repeats: how many were asked for; one that failed agrees with none.
        counts: the study's rule.
        seen: whether there was evidence of the input and of the output; a verdict on what nobody saw is dropped.
    """
    gets: tuple[Get, Get] = (lambda reply: reply.input, lambda reply: reply.output)
    input, output = (_one_side(replies, get, n_repeats) if s else None for get, s in zip(gets, seen, strict=True))
    kinds: list[SideClass | None] = [reply.sides for reply in replies]
    sides = Sides(
        input=input, output=output, kind=majority(kinds, None, n_repeats) if all(seen) else None, counts=counts
    )
    whole = count_sides(counts, input, output)
    agreeing = [r for r in replies if _verdict_of(r, counts, seen) == whole.relevant]
    spokesman = max(agreeing or replies, key=lambda r: r.input_confidence + r.output_confidence)
    opinions: list[SteeringWord] = [reply.steering for reply in replies]
    open_ends: list[LeftOpen] = [reply.left_open for reply in replies]
    return Panel(
        sides=sides,
        relevant=whole.relevant,
        confidence=round(whole.confidence, 4),
        interpretable=median_low([reply.interpretable for reply in replies]),
        better_hypothesis=majority([reply.better_hypothesis for reply in replies], None, n_repeats),
        steering=majority(opinions, "undecided", n_repeats),
        left_open=majority(open_ends, "tests could settle it", n_repeats),
        reasons=spokesman.reasons,
        self_agreement=round(len(agreeing) / n_repeats, 4),
    )


def _one_side(replies: Sequence[SidedReply], get: Get, n_repeats: int) -> Side:
    """Its confidence is the mean of the repeats that gave the verdict, times their share, as disagreement lowers it."""
    given = [get(reply) for reply in replies]
    votes: Counter[Verdict] = Counter(side.relevant for side in given)
    verdict, count = votes.most_common(1)[0]
    agreeing = [side for side in given if side.relevant == verdict]
    share = count / n_repeats
    relevant: Verdict = verdict if share > 0.5 else "undecided"
    return Side(
        relevant=relevant,
        confidence=round(fmean(side.confidence for side in agreeing) * share, 4),
        label=max(agreeing, key=lambda side: side.confidence).label,
    )


def _verdict_of(reply: SidedReply, counts: Counts, seen: tuple[bool, bool]) -> Verdict:
    return count_sides(counts, reply.input if seen[0] else None, reply.output if seen[1] else None).relevant
