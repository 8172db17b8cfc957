"""The steps of one feature's investigation, as verbs. Each reads top to bottom and returns only what is new."""

from __future__ import annotations

import time
from typing import Literal

from langgraph.runtime import Runtime
from langgraph.types import Command

from agent.briefing.hypotheses import names_of
from agent.folder.measurements import Observed
from agent.folder.records import Decision
from agent.folder.store import sha256_of
from agent.investigation.experiments import (
    Result,
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
from agent.judges.judge import Case
from agent.llm.records import Usage
from agent.transcript import Notes, parsed
from tools.records import Evidence


@guarded
async def hypothesize(state: FeatureState, runtime: Runtime[Context]) -> Command[Literal["measure", "judge", "record"]]:
    """Propose competing hypotheses and plan the tests of everything they predict."""
    path, case, notes = _path(runtime), _case(state, runtime), Notes(len(state.steps), "hypothesize")
    earlier = ""
    if state.ruling is not None and state.ruling.doubt is not None:
        earlier = path.briefing.earlier(case.hypotheses, case.observed, case.round, state.ruling.doubt)
    messages = word_proposal(path.briefing, path.domain, case.evidence, earlier, case.dead)
    reply = await notes.ask(path.llm, messages, purpose="hypothesize", schema=path.briefing.proposals)
    hypotheses = path.briefing.read_proposals(parsed(reply), state.names, case.evidence.feature.key, state.round + 1)
    if names := names_of(hypotheses):
        notes.add("rule", {"hypotheses": {name: label for label, name in names.items()}})
    tests = plan_tests(hypotheses, case.evidence) if path.toolbox.specs else ()
    update = FeatureUpdate(
        steps=notes.steps,
        usage=notes.usage,
        round=state.round + 1,
        began=time.monotonic() if state.began is None else state.began,
        hypotheses=hypotheses,
        names={**state.names, **names},
        pending=tests,
        conversation=[],
    )
    return Command(update=update, goto="measure" if tests else "judge")


@guarded
async def measure(state: FeatureState, runtime: Runtime[Context]) -> Command[Literal["experiment", "record"]]:
    """Make the measurements that are pending, one after the other."""
    path, evidence, notes = _path(runtime), _case(state, runtime).evidence, Notes(len(state.steps), "measure")
    left = path.limits.tool_calls_per_feature - count_chosen(state)
    results, observed = list[Result](), list[Observed]()
    for place, (call, hypothesis) in enumerate((p.call, p.hypothesis) for p in state.pending):
        if hypothesis is None and place >= left:
            results.append(Result(call, None, 0))
            continue
        found = await path.toolbox.measure(evidence, call.name, call.arguments)
        results.append(Result(call, found, left - place - 1))
        observed.append(Observed(round=state.round, call_id=call.id, hypothesis=hypothesis, measurement=found))
        notes.add("tool", observed[-1].model_dump(mode="json"))
    conversation = state.conversation
    if conversation:
        conversation = [*conversation, *show_results(path.briefing, results, state.plain)]
    update = FeatureUpdate(steps=notes.steps, observed=observed, pending=(), conversation=conversation)
    return Command(update=update, goto="experiment")


@guarded
async def experiment(
    state: FeatureState, runtime: Runtime[Context]
) -> Command[Literal["measure", "experiment", "judge", "record"]]:
    """Let the LLM choose further measurements, until it has seen enough or a limit is reached."""
    from agent.llm.requests import ToolsUnsupported

    path, case, notes = _path(runtime), _case(state, runtime), Notes(len(state.steps), "experiment")
    conversation = state.conversation or open_conversation(state, path, case.evidence, case.dead)
    spent, kept_back = _spent(state, path, case.evidence), runtime.context.judge.ref.repeats
    stop = why_stop_experiments(spent, path.limits, kept_back, estimate_tokens(conversation))
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
    """Have the run's judge rule on the case; then record it, or have other hypotheses tested."""
    path, who = runtime.context.investigator, runtime.context.judge
    case, notes = _case(state, runtime), Notes(len(state.steps), who.name)
    ruling = await who.judge(case, notes)
    settled: str | None = ruling.settled
    if ruling.doubt is not None and path is not None:
        spent = _spent(state, path, case.evidence, notes.usage)
        settled = why_settle(spent, path.limits, who.ref.repeats, can_test=bool(path.toolbox.specs))
    if ruling.note is not None:
        notes.add("judgement", {**ruling.note, "recorded because": settled})
    update = FeatureUpdate(steps=notes.steps, usage=notes.usage, ruling=ruling)
    return Command(update=update, goto="hypothesize" if settled is None else "record")


@guarded
async def record(state: FeatureState, runtime: Runtime[Context]) -> FeatureUpdate:
    """Turn the verdict, or the failure, into the decision that is stored."""
    context, ruling, notes = runtime.context, state.ruling, Notes(len(state.steps), "record")
    signed = context.judge.ref
    if ruling is not None and signed.repeats > 1:
        signed = signed.model_copy(update={"self_agreement": ruling.self_agreement})
    fields: dict[str, object] = {
        "run_id": context.run_id,
        "feature": state.item.feature,
        "stratum": state.item.stratum,
        "evidence_sha256": sha256_of(_case(state, runtime).evidence),
        "judge": signed,
        "usage": state.usage,
    }
    if ruling is None or failure_stands(state.failure, has_judgement=True):
        fields |= {"status": "failed", "failure": state.failure}
    else:
        fields |= {"status": "decided", **ruling.judgement._asdict()}
    decision = Decision.model_validate(fields)
    notes.add("decision", decision.model_dump(mode="json"))
    return {"decision": decision, "steps": notes.steps}


def _case(state: FeatureState, runtime: Runtime[Context]) -> Case:
    evidence = runtime.context.evidence[state.item.feature.key]
    return Case(evidence, state.hypotheses, tuple(state.observed), state.round, runtime.context.floors)


def _path(runtime: Runtime[Context]) -> Investigator:
    if runtime.context.investigator is None:
        raise TypeError("the context has no investigator, which an investigation needs")
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
