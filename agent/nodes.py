"""The steps of one feature's investigation, as verbs. Each reads top to bottom and returns only what is new."""

from __future__ import annotations

from langgraph.runtime import Runtime

from agent.records import Decision, JudgeRef, TranscriptStep
from agent.rules import judge_by_rules
from agent.state import Context, FeatureState, FeatureUpdate
from agent.store import sha256_of


async def apply_rules(state: FeatureState, runtime: Runtime[Context]) -> FeatureUpdate:
    """Judge by the study's own procedure, without an LLM."""
    context = runtime.context
    judgement = judge_by_rules(context.evidence[state.item.feature.key], context.study)
    step = TranscriptStep(
        step=len(state.steps),
        kind="rule",
        node="apply_rules",
        content={
            "relevant": judgement.relevant,
            "confidence": judgement.confidence,
            "reasons": list(judgement.reasons),
        },
    )
    return {"judgement": judgement, "steps": [step]}


async def record(state: FeatureState, runtime: Runtime[Context]) -> FeatureUpdate:
    """Turn the verdict, or the failure, into the decision that is stored."""
    context = runtime.context
    evidence_sha256 = sha256_of(context.evidence[state.item.feature.key])
    common = {
        "run_id": context.run_id,
        "feature": state.item.feature,
        "stratum": state.item.stratum,
        "evidence_sha256": evidence_sha256,
        "judge": JudgeRef(kind="rules"),
        "usage": state.usage,
    }
    if state.judgement is None:
        return {"decision": Decision(status="failed", failure=state.failure, **common)}
    decision = Decision(
        status="decided",
        label=state.judgement.label,
        relevant=state.judgement.relevant,
        confidence=state.judgement.confidence,
        interpretable=state.judgement.interpretable,
        steering=state.judgement.steering,
        reasons=state.judgement.reasons,
        **common,
    )
    step = TranscriptStep(
        step=len(state.steps), kind="decision", node="record", content=decision.model_dump(mode="json")
    )
    return {"decision": decision, "steps": [step]}
