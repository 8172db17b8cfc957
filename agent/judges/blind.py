"""The judge by LLM of the first generation, and how any judge is kept blind.

One case, put to a model several times, each time in another order, and the answers as one judgement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import JsonValue

from agent.briefing.first.forms import JudgeReply, PairChoice, judge_reply_for
from agent.briefing.first.predictions import brief_hypotheses, brief_tests_for_judge
from agent.briefing.generations import Briefing
from agent.folder.records import JudgeRef
from agent.judges.judge import GUIDELINE, Case, Model, Ruling
from agent.judges.judgement import Judgement, Panel, aggregate, combine_steering, judge_blind_choices, steering_verdict
from agent.llm.requests import Message
from agent.transcript import Notes
from prompts.fence import clip
from tools.maths import seed_of
from tools.proof.floors import keep_alive, say_dead
from tools.records import SteeredPair, SteeringEvidence
from tools.study.definition import Domain, Question

MOST_PAIRS = 10


class Blind(NamedTuple):
    """One repeat's orders: derived from the feature's key, and written down all the same."""

    pairs: tuple[SteeredPair, ...]
    steered_is_a: tuple[bool, ...]
    hypotheses: tuple[int, ...]

    def record(self) -> dict[str, JsonValue]:
        """For the transcript."""
        return {
            "pairs": [{"prompt": pair.prompt, "seed": pair.seed} for pair in self.pairs],
            "steered_is": ["A" if is_a else "B" for is_a in self.steered_is_a],
            "hypotheses_shown": [place + 1 for place in self.hypotheses],
        }


class BlindJudge(NamedTuple):
    """A model with its briefing and the guideline it judges by, for the one question.

    It comes after an investigation, whose hypotheses it weighs.
    """

    name = "judge"
    needs_hypotheses = True
    model: Model
    briefing: Briefing
    domain: Domain
    guideline: str

    @classmethod
    def of(cls, question: Question, model: Model | None, briefing: Briefing) -> BlindJudge | None:
        """For a question about a domain."""
        if model is None or question.domain is None or briefing.generation > 1:
            return None
        return cls(model, briefing, question.domain, question.read_guideline())

    @property
    def ref(self) -> JudgeRef:
        """The model, its prompt and its repeats."""
        return self.model.sign(self.briefing.prompt(self.name))

    def requests(self, case: Case) -> list[list[Message]]:
        """The case as often as it is judged, each time in another order."""
        return [self._word(case, blind(case, repeat)) for repeat in range(self.model.repeats)]

    async def judge(self, case: Case, notes: Notes) -> Ruling:
        """Put the case to the model as often as asked, all at once.

        Raises:
            Abandoned: half of the repeats or more gave no usable reply; it carries the first failure.
        """
        schema = judge_reply_for(len(case.hypotheses))
        replies: list[JudgeReply] = []
        named: list[tuple[bool, ...]] = []
        for repeat, shown in await self.model.ask(self.requests(case), self.name, schema, notes):
            order = blind(case, repeat)
            reply = _in_investigators_order(shown, order.hypotheses)
            replies.append(reply)
            named.append(named_steered(reply.steered_choices, order.steered_is_a))
            notes.add("judgement", {"repeat": repeat, **order.record(), "reply": reply.model_dump(mode="json")})
        return conclude(case, replies, named, self.model.repeats)

    def _word(self, case: Case, order: Blind) -> list[Message]:
        return self.briefing.render(
            self.name,
            domain=self.domain.name,
            definition=self.domain.definition,
            guideline=clip(self.guideline.strip(), GUIDELINE),
            evidence=self.briefing.judge(case.evidence, case.dead),
            hypotheses=brief_hypotheses(case.hypotheses, order.hypotheses),
            tests=brief_tests_for_judge(case.hypotheses, order.hypotheses, case.observed, case.round),
            pairs=self.briefing.pairs(order.pairs, order.steered_is_a),
        )


def blind(case: Case, repeat: int) -> Blind:
    """The orders of one repeat."""
    key, pairs = case.evidence.feature.key, choose_pairs(keep_alive(case.evidence, case.dead).steering)
    return Blind(pairs, order_pairs(key, len(pairs), repeat), order_hypotheses(key, len(case.hypotheses), repeat))


def conclude(case: Case, replies: Sequence[JudgeReply], named: Sequence[Sequence[bool]], repeats: int) -> Ruling:
    """One ruling from the replies. Steering passes only by the judge's eyes and the measure together.

    Args:
        case: what was judged.
        replies: at least one, `better_hypothesis` in the investigator's order.
        named: for each reply and pair, whether the steered text was named.
        repeats: how many were asked for.
    """
    panel = aggregate(replies, repeats)
    identified, shown = count_identified(named), len(named[0])
    steering = steering_verdict(keep_alive(case.evidence, case.dead).steering)
    if steering is not None:
        verdict = combine_steering(steering.verdict, judge_blind_choices(identified, shown), panel.steering)
        steering = steering.model_copy(update={"verdict": verdict})
    reasons = list(panel.reasons)
    if shown:
        reasons.append(f"the judge named the steered text in {identified} of {shown} blind pairs")
    reasons += [say_dead(instrument, why) for instrument, why in case.dead.items()]
    if len(replies) < repeats or panel.self_agreement < 1:
        counts = Counter(reply.relevant for reply in replies)
        listed = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        reasons.append(f"{repeats} judgements: {listed}, {repeats - len(replies)} failed")
    judgement = Judgement(
        label=panel.label,
        relevant=panel.relevant,
        confidence=panel.confidence,
        interpretable=panel.interpretable,
        steering=steering,
        reasons=tuple(reasons),
    )
    shortly: JsonValue = {**panel._asdict(), "reasons": list(panel.reasons)}
    note: dict[str, JsonValue] = {"round": case.round, "panel": shortly, "identified": identified, "shown": shown}
    return Ruling(judgement, panel.self_agreement, find_doubt(panel), note)


def find_doubt(panel: Panel) -> str | None:
    """What is left open, in words for the investigator; None if nothing is.

    Another round is for a feature on which the judge is undecided, or which it calls relevant under a meaning that
    nobody proposed and nothing has tested.
    """
    if panel.relevant == "no" or (panel.relevant == "yes" and panel.better_hypothesis is not None):
        return None
    return f"relevant: {panel.relevant}; better hypothesis: {panel.better_hypothesis}; {' '.join(panel.reasons)}"


def _in_investigators_order(reply: JudgeReply, shown: Sequence[int]) -> JudgeReply:
    if reply.better_hypothesis is None:
        return reply
    return reply.model_copy(update={"better_hypothesis": shown[reply.better_hypothesis - 1] + 1})


def choose_pairs(steering: SteeringEvidence | None) -> tuple[SteeredPair, ...]:
    """The pairs a judge is shown: those whose steered text has not collapsed, spread over the prompts.

    A collapsed text gives itself away without showing anything, and cannot win by the measure either.
    """
    usable = [pair for pair in steering.pairs if not pair.collapsed] if steering else []
    if len(usable) <= MOST_PAIRS:
        return tuple(usable)
    return tuple(usable[place * len(usable) // MOST_PAIRS] for place in range(MOST_PAIRS))


def order_pairs(key: str, n: int, repeat: int) -> tuple[bool, ...]:
    """For each pair, whether the steered text is A; repeats 0 and 1, 2 and 3, … are each other's opposites.

    Args:
        key: of the feature.
        n: number of pairs.
        repeat: number of the judge's repeat, from 0.
    """
    drawn = [seed_of(key, "pairs", repeat // 2, place) % 2 == 0 for place in range(n)]
    return tuple(is_a != bool(repeat % 2) for is_a in drawn)


def order_hypotheses(key: str, n: int, repeat: int) -> tuple[int, ...]:
    """The order in which hypotheses are shown: numbers from 0 in the investigator's order."""
    return tuple(sorted(range(n), key=lambda place: seed_of(key, "hypotheses", repeat, place)))


def named_steered(choices: Sequence[PairChoice], steered_is_a: Sequence[bool]) -> tuple[bool, ...]:
    """For each pair, whether the choices name the steered text; not if nothing is said of the pair, or two things."""
    said: dict[int, set[str]] = {}
    for choice in choices:
        said.setdefault(choice.pair, set()).add(choice.steered)
    return tuple(said.get(number) == {"A" if is_a else "B"} for number, is_a in enumerate(steered_is_a, 1))


def count_identified(named: Sequence[Sequence[bool]]) -> int:
    """Pairs whose steered text more than half of the repeats named.

    Args:
        named: for each repeat, what `named_steered` says.
    """
    return sum(2 * sum(column) > len(named) for column in zip(*named, strict=True))
