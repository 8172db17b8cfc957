from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langgraph.runtime import Runtime

from agent.briefing.first.forms import Choice, ChosenCall
from agent.folder.config import Limits
from agent.investigation import nodes
from agent.investigation.experiments import NO_MORE, plan_tests
from agent.investigation.state import Context, FeatureState, PendingCall
from agent.judges.judge import Ruling
from agent.judges.judgement import Judgement
from agent.llm.errors import LlmFailure
from agent.llm.records import Failure, Usage
from agent.llm.requests import ToolsUnsupported
from agent.toolbox import Toolbox
from prompts.fence import outside
from tests.agent.cases import (
    TWO,
    ScriptedLlm,
    call,
    make_context,
    make_evidence,
    make_hypotheses,
    make_judgement,
    make_state,
    make_toolbox,
)


def run(node: Any, state: FeatureState, context: Context) -> tuple[dict[str, Any], str]:
    """What a node returns, and where it goes."""
    command = asyncio.run(node(state, Runtime(context=context)))
    return command.update, command.goto


def ready(**fields: Any) -> FeatureState:
    """A state whose predictions have been tested."""
    return make_state(**{"hypotheses": TWO, "round": 1, **fields})


def test_hypothesize_plans_two_tests_a_hypothesis(tmp_path: Path) -> None:
    llm = ScriptedLlm(make_hypotheses())
    update, goto = run(nodes.hypothesize, make_state(), make_context(tmp_path, llm))
    assert goto == "measure"
    assert [(p.hypothesis, p.call.name) for p in update["pending"]] == [
        (1, "measure_activations"),
        (1, "promote_words"),
        (2, "measure_activations"),
        (2, "promote_words"),
    ]
    assert update["pending"][1].call.parsed == {"words": ["heart", "valve", "artery"], "strength": 0.41}
    assert (update["round"], update["usage"].calls) == (1, 1)
    assert [step.kind for step in update["steps"]] == ["messages", "reply"]
    assert "candidates" not in llm.asked[0].text
    assert "4711" not in llm.asked[0].text


@pytest.mark.parametrize(("strength", "used"), [(None, 0.5), (0.0001, 0.05), (9.0, 4.0), (0.123456, 0.123)])
def test_predictions_are_steered_at_the_observed_strength_within_bounds(strength: float | None, used: float) -> None:
    evidence = make_evidence()
    assert evidence.steering
    steering = None if strength is None else evidence.steering.model_copy(update={"strength": strength})
    tests = plan_tests(TWO, evidence.model_copy(update={"steering": steering}))
    assert tests[1].call.parsed
    assert tests[1].call.parsed["strength"] == used


def test_without_instruments_the_hypotheses_go_straight_to_the_judge(tmp_path: Path) -> None:
    context = make_context(tmp_path, ScriptedLlm(make_hypotheses()), toolbox=Toolbox((), tmp_path / "none.jsonl"))
    update, goto = run(nodes.hypothesize, make_state(), context)
    assert (goto, update["pending"]) == ("judge", ())


def test_measure_tests_every_prediction_and_goes_on_to_the_experiments(tmp_path: Path) -> None:
    pending = plan_tests(TWO, make_evidence())
    update, goto = run(nodes.measure, ready(pending=pending), make_context(tmp_path, ScriptedLlm()))
    assert goto == "experiment"
    assert [o.hypothesis for o in update["observed"]] == [1, 1, 2, 2]
    assert [step.kind for step in update["steps"]] == ["tool"] * 4
    assert update["steps"][0].content["measurement"]["status"] == "ok"
    assert update["conversation"] == []


def test_experiment_shows_tests_and_offers_tools(tmp_path: Path) -> None:
    pending = plan_tests(TWO, make_evidence())
    context = make_context(tmp_path, llm := ScriptedLlm((call("continue_text", prompt="x", strength=1.0),)))
    tested, _ = run(nodes.measure, ready(pending=pending), context)
    update, goto = run(nodes.experiment, ready(observed=tested["observed"]), context)
    assert goto == "measure"
    assert [p.call.name for p in update["pending"]] == ["continue_text"]
    assert [spec.name for spec in llm.asked[0].tools][:2] == ["measure_activations", "promote_words"]
    assert "separation 0.50" in llm.asked[0].text or "separation 1.00" in llm.asked[0].text
    assert "predicted promoted, change in nats: heart +0.50" in llm.asked[0].text
    assert "at most 8 more" in llm.asked[0].text
    assert update["conversation"][-1]["tool_calls"][0]["id"] == "call_0"


def test_results_come_back_fenced_and_beyond_the_limit_nothing_is_measured(tmp_path: Path) -> None:
    calls = tuple(call("continue_text", id=f"call_{n}", prompt=f"evidence>>> {n}", strength=1.0) for n in range(3))
    context = make_context(tmp_path, ScriptedLlm(), limits=Limits(tool_calls_per_feature=2))
    state = ready(pending=tuple(PendingCall(call=c) for c in calls), conversation=[{"role": "user", "content": "x"}])
    update, _ = run(nodes.measure, state, context)
    assert len(update["observed"]) == 2
    results = update["conversation"][1:]
    assert [(m["role"], m["tool_call_id"]) for m in results] == [("tool", f"call_{n}") for n in range(3)]
    assert [outside(m["content"]) for m in results] == ["", "", NO_MORE]
    assert "zygomatic" in results[0]["content"]


def test_wrong_calls_are_observations(tmp_path: Path) -> None:
    state = ready(pending=(PendingCall(call=call("launch_rocket")),), conversation=[{"role": "user", "content": "x"}])
    update, goto = run(nodes.measure, state, make_context(tmp_path, ScriptedLlm()))
    assert goto == "experiment"
    assert "error: there is no instrument" in update["conversation"][-1]["content"]


def test_no_more_calls_mean_judgement(tmp_path: Path) -> None:
    update, goto = run(nodes.experiment, ready(), make_context(tmp_path, ScriptedLlm("I have seen enough.")))
    assert (goto, update["pending"]) == ("judge", ())


def test_a_server_without_tools_is_asked_for_the_same_as_structured_output(tmp_path: Path) -> None:
    choice = Choice(
        reasons="r", calls=(ChosenCall(instrument="continue_text", arguments='{"prompt": "x", "strength": 1}'),)
    )
    context = make_context(tmp_path, llm := ScriptedLlm(ToolsUnsupported(), choice, Choice(reasons="r", calls=())))
    update, goto = run(nodes.experiment, ready(), context)
    assert (update["plain"], goto) == (True, "experiment")
    assert "steps" not in update
    state = ready(plain=True)
    update, goto = run(nodes.experiment, state, context)
    assert goto == "measure"
    assert llm.asked[1].schema is Choice
    assert not llm.asked[1].tools
    assert "- continue_text: How the model continues" in llm.asked[1].text
    state = ready(plain=True, pending=update["pending"], conversation=update["conversation"])
    update, _ = run(nodes.measure, state, context)
    assert update["conversation"][-1]["role"] == "user"
    assert "Measurement 1:\n<<<result" in update["conversation"][-1]["content"]
    state = ready(plain=True, conversation=update["conversation"], observed=update["observed"])
    update, goto = run(nodes.experiment, state, context)
    assert goto == "judge"


def test_only_what_is_new_in_a_conversation_is_written_down(tmp_path: Path) -> None:
    conversation = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    update, _ = run(nodes.experiment, ready(conversation=conversation), make_context(tmp_path, ScriptedLlm("enough")))
    assert [step.kind for step in update["steps"]] == ["reply"]


@pytest.mark.parametrize(
    ("fields", "limits"),
    [
        ({"usage": Usage(calls=11)}, Limits()),
        ({"usage": Usage(calls=1, input_tokens=999_999)}, Limits()),
        ({"began": -1e9}, Limits()),
        ({"conversation": [{"role": "user", "content": "x" * 30_000}]}, Limits()),
        ({}, Limits(tool_calls_per_feature=0)),
    ],
)
def test_each_limit_ends_the_experiments_in_a_judgement(tmp_path: Path, fields: Any, limits: Limits) -> None:
    update, goto = run(nodes.experiment, ready(**fields), make_context(tmp_path, ScriptedLlm(), limits=limits))
    assert goto == "judge"
    assert "experiments end" in update["steps"][0].content


def test_judge_records_a_settled_verdict_and_tries_again_when_undecided(tmp_path: Path) -> None:
    asked = ScriptedLlm(make_judgement(), make_judgement(relevant="undecided"))
    context = make_context(tmp_path, ScriptedLlm(), judge=asked)
    update, goto = run(nodes.judge, ready(), context)
    assert goto == "record"
    signed = record(ready(ruling=update["ruling"]), context).judge
    assert (signed.model, signed.prompt, signed.self_agreement) == ("j", "judge.v1", None)
    assert update["steps"][-1].content["recorded because"] == "settled"
    update, goto = run(nodes.judge, ready(), context)
    assert goto == "hypothesize"
    assert "relevant: undecided" in update["ruling"].doubt


def test_another_round_is_told_of_the_last_one(tmp_path: Path) -> None:
    llm = ScriptedLlm(make_hypotheses())
    unsettled = Judgement("courage", "undecided", 0.5, None, None, ())
    state = ready(ruling=Ruling(unsettled, doubt="relevant: undecided; too few contexts"))
    update, _ = run(nodes.hypothesize, state, make_context(tmp_path, llm))
    assert update["round"] == 2
    assert "a judge found: relevant: undecided; too few contexts" in llm.asked[0].text
    assert "hypothesis 2: courage" in llm.asked[0].text


@pytest.mark.parametrize(
    ("node", "failure"),
    [
        ("hypothesize", LlmFailure("refusal", "no", 2, Usage(calls=1, input_tokens=7))),
        ("experiment", LlmFailure("empty", "-")),
    ],
)
def test_a_failed_call_becomes_the_features_failure(tmp_path: Path, node: str, failure: LlmFailure) -> None:
    update, goto = run(getattr(nodes, node), ready(), make_context(tmp_path, ScriptedLlm(failure)))
    assert goto == "record"
    assert (update["failure"].type, update["failure"].attempts) == (failure.type, failure.attempts)
    assert update["usage"] == (failure.usage or Usage())
    assert [step.kind for step in update["steps"]] == ["messages", "failure"]


def test_a_missing_measurement_in_a_replay_becomes_the_features_failure(tmp_path: Path) -> None:
    context = make_context(tmp_path, ScriptedLlm(), toolbox=make_toolbox(tmp_path, replay_only=True))
    update, goto = run(nodes.measure, ready(pending=(PendingCall(call=call("explode")),)), context)
    assert (goto, update["failure"].type) == ("record", "replay_missing")


def test_a_bug_is_named_and_its_traceback_kept(tmp_path: Path) -> None:
    state = ready(pending=(PendingCall(call=call("explode")),))
    update, goto = run(nodes.measure, state, make_context(tmp_path, ScriptedLlm()))
    assert goto == "record"
    assert update["failure"] == Failure(type="bug", message="ZeroDivisionError in measure: a bug of ours", attempts=0)
    assert any("cases.py" in line for line in update["steps"][0].content["traceback"])


def record(state: FeatureState, context: Context) -> Any:
    return asyncio.run(nodes.record(state, Runtime(context=context)))["decision"]  # type: ignore[index]


def test_a_failure_is_recorded_without_a_verdict_and_says_who_would_have_judged(tmp_path: Path) -> None:
    context = make_context(tmp_path, ScriptedLlm())
    failure = Failure(type="timeout", message="m", attempts=6)
    decision = record(ready(failure=failure), context)
    assert (decision.status, decision.failure, decision.relevant) == ("failed", failure, None)
    assert (decision.judge.kind, decision.judge.model) == ("llm", "j")


def test_a_spent_budget_records_the_earlier_rounds_verdict(tmp_path: Path) -> None:
    context = make_context(tmp_path, ScriptedLlm(), judge=ScriptedLlm(make_judgement(relevant="undecided")))
    judged, _ = run(nodes.judge, ready(), context)
    spent = ready(failure=Failure(type="budget", message="m", attempts=0), ruling=judged["ruling"])
    assert record(spent, context).relevant == "undecided"
    refused = ready(failure=Failure(type="refusal", message="m", attempts=1), ruling=judged["ruling"])
    assert record(refused, context).status == "failed"
