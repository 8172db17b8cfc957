"""The steps of one feature's investigation, as verbs. Each reads top to bottom and returns only what is new."""

from __future__ import annotations

import time
from typing import Literal

from langgraph.runtime import Runtime
from langgraph.types import Command

from agent.briefing.forms import Hypotheses
from agent.briefing.predictions import brief_earlier
from agent.folder.measurements import Observed
from agent.folder.records import Decision, JudgeRef
from agent.folder.store import sha256_of
from agent.investigation.experiments import (
    choose,
    count_chosen,
    open_conversation,
    plan_tests,
    show_results,
    word_proposal,
)
from agent.investigation.guard import guarded
from agent.investigation.limits import Spent, estimate_tokens, failure_stands, why_settle, why_stop_experiments
from agent.investigation.state import Context, FeatureState, FeatureUpdate, Investigator, PendingCall
from agent.judges.judge import Case, Judge
from agent.judges.rating import Rater
from agent.judges.rules import judge_by_rules
from agent.llm.records import Usage
from agent.transcript import Notes, parsed
from tools.proof.floors import Dead, reasons_for, reasons_in
from tools.records import Evidence
from tools.study.definition import Domain


@guarded
async def apply_rules(state: FeatureState, runtime: Runtime[Context]) -> Command[Literal["record"]]:
    """Judge by the study's own procedure, without an LLM."""
    notes = Notes(len(state.steps), "apply_rules")
    evidence, context = _evidence(state, runtime), runtime.context
    judgement = judge_by_rules(evidence, context.question.survey, reasons_for(context.floors, evidence))
    reasons = list(judgement.reasons)
    notes.add("rule", {"relevant": judgement.relevant, "confidence": judgement.confidence, "reasons": [*reasons]})
    return Command(update=FeatureUpdate(judgement=judgement, steps=notes.steps), goto="record")


@guarded
async def hypothesize(state: FeatureState, runtime: Runtime[Context]) -> Command[Literal["measure", "judge", "record"]]:
    """Propose competing hypotheses and plan the tests of everything they predict."""
    path, evidence, notes = _path(runtime), _evidence(state, runtime), Notes(len(state.steps), "hypothesize")
    earlier = ""
    if state.verdict is not None:
        earlier = brief_earlier(state.hypotheses, state.observed, state.round, state.verdict)
    messages = word_proposal(path.prompts["hypothesize"], _domain(runtime), evidence, earlier, _dead(state, runtime))
    reply = await notes.ask(path.llm, messages, purpose="hypothesize", schema=Hypotheses)
    hypotheses = parsed(reply).hypotheses
    tests = plan_tests(hypotheses, evidence) if path.toolbox.specs else ()
    update = FeatureUpdate(
        steps=notes.steps,
        usage=notes.usage,
        round=state.round + 1,
        began=time.monotonic() if state.began is None else state.began,
        hypotheses=hypotheses,
        pending=tests,
        conversation=[],
    )
    return Command(update=update, goto="measure" if tests else "judge")


@guarded
async def measure(state: FeatureState, runtime: Runtime[Context]) -> Command[Literal["experiment", "record"]]:
    """Make the measurements that are pending, one after the other."""
    path, evidence, notes = _path(runtime), _evidence(state, runtime), Notes(len(state.steps), "measure")
    left = path.limits.tool_calls_per_feature - count_chosen(state)
    results, observed = [], list[Observed]()
    for place, (call, hypothesis) in enumerate((p.call, p.hypothesis) for p in state.pending):
        if hypothesis is None and place >= left:
            results.append((call, None))
            continue
        found = await path.toolbox.measure(evidence, call.name, call.arguments)
        results.append((call, found))
        observed.append(Observed(round=state.round, call_id=call.id, hypothesis=hypothesis, measurement=found))
        notes.add("tool", observed[-1].model_dump(mode="json"))
    conversation = state.conversation
    if conversation:
        conversation = [*conversation, *show_results(results, state.plain)]
    update = FeatureUpdate(steps=notes.steps, observed=observed, pending=(), conversation=conversation)
    return Command(update=update, goto="experiment")


@guarded
async def experiment(
    state: FeatureState, runtime: Runtime[Context]
) -> Command[Literal["measure", "experiment", "judge", "record"]]:
    """Let the LLM choose further measurements, until it has seen enough or a limit is reached."""
    from agent.llm.requests import ToolsUnsupported

    path, evidence, notes = _path(runtime), _evidence(state, runtime), Notes(len(state.steps), "experiment")
    domain = _domain(runtime)
    conversation = state.conversation or open_conversation(state, path, evidence, domain, _dead(state, runtime))
    stop = why_stop_experiments(
        _spent(state, path, evidence), path.limits, path.judge_repeats, estimate_tokens(conversation)
    )
    if stop is not None:
        notes.add("rule", {"experiments end": stop})
        return Command(update=FeatureUpdate(steps=notes.steps), goto="judge")
    try:
        chosen = await choose(path, conversation, len(state.conversation), state.plain, notes)
    except ToolsUnsupported:
        return Command(update=FeatureUpdate(plain=True, conversation=[]), goto="experiment")
    update = FeatureUpdate(
        steps=notes.steps,
        usage=notes.usage,
        pending=tuple(PendingCall(call=call) for call in chosen.calls),
        conversation=[*conversation, chosen.said],
    )
    return Command(update=update, goto="measure" if chosen.calls else "judge")


@guarded
async def judge(state: FeatureState, runtime: Runtime[Context]) -> Command[Literal["hypothesize", "record"]]:
    """Have the case judged blind, by another prompt and perhaps another model; then record it, or try again."""
    path, evidence, notes = _path(runtime), _evidence(state, runtime), Notes(len(state.steps), "judge")
    case = Case(evidence, state.hypotheses, tuple(state.observed), state.round, _dead(state, runtime))
    who = Judge(path.judge, path.prompts["judge"], _domain(runtime), path.guideline, path.judge_repeats)
    verdicts = await who.judge(case, notes)
    panel = verdicts.panel
    spent = _spent(state, path, evidence, notes.usage)
    settled = why_settle(panel, spent, path.limits, path.judge_repeats, can_test=bool(path.toolbox.specs))
    notes.add(
        "judgement",
        {
            "round": state.round,
            "panel": {**panel._asdict(), "reasons": list(panel.reasons)},
            "identified": verdicts.identified,
            "shown": verdicts.shown,
            "recorded because": settled,
        },
    )
    update = FeatureUpdate(
        steps=notes.steps,
        usage=notes.usage,
        judgement=verdicts.judgement,
        judge=_judge_ref(path, "judge", panel.self_agreement),
        verdict=f"relevant: {panel.relevant}; better hypothesis: {panel.better_hypothesis}; {' '.join(panel.reasons)}",
    )
    return Command(update=update, goto="hypothesize" if settled is None else "record")


@guarded
async def rate(state: FeatureState, runtime: Runtime[Context]) -> Command[Literal["record"]]:
    """Have the evidence rated for each concept of the study; nothing else is asked or measured."""
    path, notes = _path(runtime), Notes(len(state.steps), "rate")
    rating = runtime.context.question.rating
    if rating is None:
        raise TypeError("the question is about a domain, which is judged and not rated")
    who = Rater(path.judge, path.prompts["rate"], rating, path.guideline, path.judge_repeats)
    rated = await who.rate(_evidence(state, runtime), notes, _dead(state, runtime))
    update = FeatureUpdate(
        steps=notes.steps,
        usage=notes.usage,
        judgement=rated.judgement,
        judge=_judge_ref(path, "rate", rated.self_agreement),
    )
    return Command(update=update, goto="record")


@guarded
async def record(state: FeatureState, runtime: Runtime[Context]) -> FeatureUpdate:
    """Turn the verdict, or the failure, into the decision that is stored."""
    context, notes = runtime.context, Notes(len(state.steps), "record")
    path = context.investigator
    fields: dict[str, object] = {
        "run_id": context.run_id,
        "feature": state.item.feature,
        "stratum": state.item.stratum,
        "evidence_sha256": sha256_of(_evidence(state, runtime)),
        "judge": state.judge or _would_be_judge(path, runtime),
        "usage": state.usage,
    }
    judgement = state.judgement
    if judgement is None or failure_stands(state.failure, has_judgement=True):
        fields |= {"status": "failed", "failure": state.failure}
    else:
        fields |= {"status": "decided", **judgement._asdict()}
    decision = Decision.model_validate(fields)
    notes.add("decision", decision.model_dump(mode="json"))
    return {"decision": decision, "steps": notes.steps}


def _evidence(state: FeatureState, runtime: Runtime[Context]) -> Evidence:
    return runtime.context.evidence[state.item.feature.key]


def _dead(state: FeatureState, runtime: Runtime[Context]) -> Dead:
    """What a model is not shown the numbers of. Nothing depends on the feature itself, but its stratum."""
    return reasons_in(runtime.context.floors, state.item.stratum)


def _path(runtime: Runtime[Context]) -> Investigator:
    if runtime.context.investigator is None:
        raise TypeError("the context has no investigator, which every node but the rules' needs")
    return runtime.context.investigator


def _spent(state: FeatureState, path: Investigator, evidence: Evidence, more: Usage | None = None) -> Spent:
    usage = state.usage + (more or Usage())
    seconds = 0.0 if state.began is None else time.monotonic() - state.began
    return Spent(
        rounds=state.round,
        calls=usage.calls,
        tool_calls=count_chosen(state),
        tokens=usage.input_tokens + usage.output_tokens,
        time_is_up=path.toolbox.time_is_up(evidence, len(state.steps), seconds > path.limits.seconds_per_feature),
    )


def _domain(runtime: Runtime[Context]) -> Domain:
    if runtime.context.question.domain is None:
        raise TypeError("the question is for ratings, which have a node of their own")
    return runtime.context.question.domain


def _would_be_judge(path: Investigator | None, runtime: Runtime[Context]) -> JudgeRef:
    """Who would have judged a feature that failed before it came to the judge."""
    if path is None:
        return JudgeRef(kind="rules")
    return _judge_ref(path, "rate" if runtime.context.question.rating else "judge", None)


def _judge_ref(path: Investigator, purpose: str, self_agreement: float | None) -> JudgeRef:
    prompt = path.prompts[purpose]
    return JudgeRef(
        kind="llm",
        model=path.models.judge_model,
        prompt=prompt.name,
        prompt_sha256=prompt.sha256,
        repeats=path.judge_repeats,
        self_agreement=self_agreement if path.judge_repeats > 1 else None,
    )
