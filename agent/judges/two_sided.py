"""The judge by LLM of the second generation: each side of a feature has its verdict, and the study's rule makes one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import JsonValue

from agent.briefing.generations import Briefing
from agent.briefing.second.forms import SidedReply, sided_reply_for
from agent.briefing.second.predictions import brief_hypotheses, brief_tests_for_judge, count_silent
from agent.folder.records import JudgeRef
from agent.judges.blind import MOST_PAIRS, Blind, count_identified, named_steered, order_hypotheses, order_pairs
from agent.judges.counting import choose_label
from agent.judges.judge import GUIDELINE, Case, Model, Ruling
from agent.judges.judgement import Judgement, combine_steering, judge_blind_choices, steering_verdict
from agent.judges.panel import Panel, aggregate
from agent.llm.requests import Message
from agent.transcript import Notes
from prompts.fence import clip
from tools.proof.floors import keep_alive, say_dead
from tools.records import SteeredPair, SteeringEvidence
from tools.study.definition import Counts, Domain, Question


class TwoSided(NamedTuple):
    """A model with its briefing and the guideline it judges by. It weighs the hypotheses of an investigation, if there was one."""

    name = "judge"
    needs_hypotheses = True
    model: Model
    briefing: Briefing
    domain: Domain
    guideline: str

    @classmethod
    def of(cls, question: Question, model: Model | None, briefing: Briefing) -> TwoSided | None:
        """For a question about a domain."""
        if model is None or question.domain is None or briefing.generation < 2:
            return None
        return cls(model, briefing, question.domain, question.read_guideline())

    @property
    def ref(self) -> JudgeRef:
        """The model, its prompt and its repeats."""
        return self.model.sign(self.briefing.prompt(self.name))

    def requests(self, case: Case) -> list[list[Message]]:
        """The case as often as it is judged, each time in another order; all of them begin alike."""
        return [self._word(case, blind(case, repeat)) for repeat in range(self.model.repeats)]

    async def judge(self, case: Case, notes: Notes) -> Ruling:
        """Put the case to the model as often as asked, all at once.

        Raises:
            Abandoned: half of the repeats or more gave no usable reply; it carries the first failure.
        """
        schema = sided_reply_for(tuple(hypothesis.name for hypothesis in case.hypotheses))
        replies: list[SidedReply] = []
        named: list[tuple[bool, ...]] = []
        for repeat, reply in await self.model.ask(self.requests(case), self.name, schema, notes):
            order = blind(case, repeat)
            replies.append(reply)
            named.append(named_steered(reply.steered_choices, order.steered_is_a))
            shown: JsonValue = [case.hypotheses[place].name for place in order.hypotheses]
            notes.add("judgement", {"repeat": repeat, **order.record(), "hypotheses_shown": shown})
        return conclude(case, replies, named, self.model.repeats, self.domain.counts)

    def _word(self, case: Case, order: Blind) -> list[Message]:
        pairs = self.briefing.pairs(order.pairs, order.steered_is_a) if order.pairs else explain_no_pairs(case)
        return self.briefing.render(
            self.name,
            domain=self.domain.name,
            definition=self.domain.definition,
            guideline=clip(self.guideline.strip(), GUIDELINE),
            evidence=self.briefing.judge(case.evidence, case.dead),
            hypotheses=brief_hypotheses(case.hypotheses, order.hypotheses),
            tests=brief_tests_for_judge(case.hypotheses, order.hypotheses, case.observed, case.round),
            pairs=pairs,
        )


def blind(case: Case, repeat: int) -> Blind:
    """The orders of one repeat."""
    key, pairs = case.evidence.feature.key, choose_pairs(keep_alive(case.evidence, case.dead).steering)
    return Blind(pairs, order_pairs(key, len(pairs), repeat), order_hypotheses(key, len(case.hypotheses), repeat))


def choose_pairs(steering: SteeringEvidence | None) -> tuple[SteeredPair, ...]:
    """The pairs a judge is shown: those whose texts differ and have not collapsed, spread over the prompts.

    Equal texts show nothing and can only be guessed at; a collapsed one gives itself away without showing anything.
    """
    usable = [
        pair
        for pair in (steering.pairs if steering else ())
        if not pair.collapsed and pair.steered.split() != pair.unsteered.split()
    ]
    if len(usable) <= MOST_PAIRS:
        return tuple(usable)
    return tuple(usable[place * len(usable) // MOST_PAIRS] for place in range(MOST_PAIRS))


def explain_no_pairs(case: Case) -> str:
    """Why a judge is shown no pair."""
    if "steering" in case.dead:
        return "There are no pairs: steering measured nothing in this run."
    if case.evidence.steering is None or not case.evidence.steering.pairs:
        return "There are no pairs: no text was written with this feature added."
    pairs = case.evidence.steering.pairs
    collapsed = sum(pair.collapsed for pair in pairs)
    return (
        f"There are no pairs: of {len(pairs)} texts with the feature added {collapsed} fell apart, and "
        f"{len(pairs) - collapsed} read as without it."
    )


def conclude(
    case: Case, replies: Sequence[SidedReply], named: Sequence[Sequence[bool]], repeats: int, counts: Counts
) -> Ruling:
    """One ruling from the replies. Steering passes only by the judge's eyes and the measure together.

    Args:
        case: what was judged.
        replies: at least one.
        named: for each reply and pair, whether the steered text was named.
        repeats: how many were asked for.
        counts: the study's rule.
    """
    panel = aggregate(replies, repeats, counts, look_at_sides(case))
    identified, shown = count_identified(named), len(named[0])
    steering = steering_verdict(keep_alive(case.evidence, case.dead).steering)
    if steering is not None:
        verdict = combine_steering(steering.verdict, judge_blind_choices(identified, shown), panel.steering)
        steering = steering.model_copy(update={"verdict": verdict})
    judgement = Judgement(
        label=choose_label(panel.sides) or "unnamed",
        relevant=panel.relevant,
        confidence=panel.confidence,
        interpretable=panel.interpretable,
        steering=steering,
        reasons=(*panel.reasons, *_explain(case, panel, replies, repeats, identified, shown)),
        sides=panel.sides,
    )
    note: dict[str, JsonValue] = {
        "round": case.round,
        "panel": panel.record(),
        "identified": identified,
        "shown": shown,
    }
    closed = why_closed(case, panel)
    doubt = None if closed else describe_doubt(panel)
    return Ruling(judgement, panel.self_agreement, doubt, note, closed or "settled")


def _explain(
    case: Case, panel: Panel, replies: Sequence[SidedReply], repeats: int, identified: int, shown: int
) -> list[str]:
    sides = {"input": panel.sides.input, "output": panel.sides.output}
    said = ", ".join(f"{name} {side.relevant if side else 'not seen'}" for name, side in sides.items())
    reasons = [f"{said}; by the study's rule ({panel.sides.counts} counts) that makes {panel.relevant}"]
    if shown:
        reasons.append(f"the judge named the steered text in {identified} of {shown} blind pairs")
    reasons += [say_dead(instrument, why) for instrument, why in case.dead.items()]
    if len(replies) < repeats or panel.self_agreement < 1:
        agreeing = round(panel.self_agreement * repeats)
        reasons.append(f"{repeats} judgements: {agreeing} come to that verdict, {repeats - len(replies)} failed")
    return reasons


def look_at_sides(case: Case) -> tuple[bool, bool]:
    """Whether there is evidence of where the feature is active, and of what it promotes; where there is none, of both.

    Verdicts on evidence that is not there would otherwise count like others, and a judge is asked for them all the same.
    """
    alive = keep_alive(case.evidence, case.dead)
    tried = {one.measurement.instrument for one in case.observed if one.measurement.status == "ok"}
    input = alive.activations is not None or "measure_activations" in tried
    output = any((alive.projection, alive.steering, alive.causal)) or "promote_words" in tried
    return (input, output) if input or output else (True, True)


def why_closed(case: Case, panel: Panel) -> str | None:
    """Why no other hypotheses are asked for; None if they might settle what is open.

    Open is what is undecided, and a yes under a meaning that nobody proposed and nothing has tested.
    """
    if panel.relevant == "no" or (panel.relevant == "yes" and panel.better_hypothesis is not None):
        return "settled"
    if (silent := count_silent(case.observed, case.round)) is not None:
        return f"none of the round's {silent} sentences activates the feature"
    if panel.left_open == "the guideline prescribes undecided":
        return "the guideline itself prescribes undecided"
    if panel.left_open == "nothing":
        return "the judge sees nothing that a test could settle"
    return None


def describe_doubt(panel: Panel) -> str:
    """What is left open, in words for the investigator."""
    sides = {"input": panel.sides.input, "output": panel.sides.output}
    said = [f"{name}: {side.relevant} ({side.label})" for name, side in sides.items() if side is not None]
    return f"{'; '.join(said)}; best hypothesis: {panel.better_hypothesis or 'none'}; {' '.join(panel.reasons)}"
