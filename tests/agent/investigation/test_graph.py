from __future__ import annotations

import asyncio
import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from agent.briefing.first.forms import Choice, Hypotheses, PairChoice
from agent.briefing.generations import FIRST
from agent.folder.records import Decision, SelectedFeature
from agent.investigation import graph
from agent.investigation.graph import build_graph
from agent.investigation.state import Context, FeatureState
from agent.judges.rules import Rules
from agent.llm.calls import CallStore
from agent.llm.client import LlmClient
from agent.llm.records import Usage
from agent.llm.settings import LlmSettings
from agent.stages.recall import recall_case
from agent.toolbox import Toolbox
from prompts.fence import outside
from tests.agent.attacks import ATTACKS
from tests.agent.briefing.test_evidence import poisoned
from tests.agent.cases import (
    QUESTION,
    TWO,
    Asked,
    ScriptedLlm,
    StrawBench,
    call,
    make_context,
    make_evidence,
    make_hypotheses,
    make_judgement,
    make_toolbox,
)
from tests.servers.openai_stub import JsonDict, Scripted, happy, serve
from tools.records import Evidence


def investigate(context: Context, **fields: Any) -> FeatureState:
    evidence = next(iter(context.evidence.values()))
    state = FeatureState(item=SelectedFeature(feature=evidence.feature, stratum=evidence.stratum), **fields)
    return FeatureState.model_validate(asyncio.run(build_graph().ainvoke(state, context=context)))


def decide(context: Context) -> Decision:
    decision = investigate(context).decision
    assert decision
    return decision


def test_a_feature_goes_from_hypotheses_to_a_decision(tmp_path: Path) -> None:
    llm = ScriptedLlm(make_hypotheses(), (call("continue_text", prompt="x", strength=1.0),), "enough")
    context = make_context(tmp_path, llm, judge=ScriptedLlm(make_judgement()))
    final = investigate(context)
    assert final.decision
    assert (final.decision.status, final.decision.relevant, final.decision.label) == ("decided", "yes", "heart disease")
    assert final.decision.usage == Usage(calls=4, input_tokens=400, output_tokens=40)
    assert [step.step for step in final.steps] == list(range(len(final.steps)))
    kinds = [(step.node, step.kind) for step in final.steps]
    assert kinds == [
        ("hypothesize", "messages"),
        ("hypothesize", "reply"),
        *[("measure", "tool")] * 4,
        ("experiment", "messages"),
        ("experiment", "reply"),
        ("measure", "tool"),
        ("experiment", "reply"),  # the results it was sent are the tool steps above
        ("judge", "messages"),
        ("judge", "reply"),
        ("judge", "judgement"),
        ("judge", "judgement"),
        ("record", "decision"),
    ]


def test_an_undecided_feature_gets_another_round_and_no_more_than_allowed(tmp_path: Path) -> None:
    llm = ScriptedLlm(make_hypotheses(), "enough", make_hypotheses(), "enough")
    judge = ScriptedLlm(*[make_judgement(relevant="undecided", better_hypothesis=None)] * 2)
    final = investigate(make_context(tmp_path, llm, judge=judge))
    assert final.decision
    assert (final.decision.relevant, final.round) == ("undecided", 2)


def test_a_loop_of_tool_calls_ends_at_its_limit(tmp_path: Path) -> None:
    def policy(asked: Asked) -> Any:
        if asked.purpose == "experiment":
            return (call("launch_rocket", id=f"c{len(asked.messages)}"),)
        return make_hypotheses() if asked.purpose == "hypothesize" else make_judgement()

    final = investigate(make_context(tmp_path, ScriptedLlm(policy=policy)))
    assert final.decision
    assert final.decision.status == "decided"
    assert sum(o.hypothesis is None for o in final.observed) <= 8


def test_rules_judge_where_there_is_no_investigator(tmp_path: Path) -> None:
    evidence = make_evidence()
    decision = decide(Context(run_id="run", judge=Rules(QUESTION.survey), evidence={evidence.feature.key: evidence}))
    assert (decision.judge.kind, decision.status, decision.relevant) == ("rules", "decided", "yes")


def test_given_hypotheses_are_only_judged(tmp_path: Path) -> None:
    context = make_context(tmp_path, ScriptedLlm(), judge=ScriptedLlm(make_judgement()))
    final = investigate(context, hypotheses=TWO, round=1)
    assert final.decision
    assert final.decision.relevant == "yes"


def test_a_finished_case_is_judged_again_from_its_transcript(tmp_path: Path) -> None:
    llm = ScriptedLlm(
        make_hypotheses(), (call("continue_text", prompt="x", strength=1.0),), "enough", make_hypotheses(), "no"
    )
    doubts = [make_judgement(relevant="undecided")] * 2
    first = investigate(make_context(tmp_path, llm, judge=(judge := ScriptedLlm(*doubts))))
    case = recall_case(first.item.feature, [step.model_copy() for step in first.steps], FIRST)
    assert (case.hypotheses, list(case.observed), case.round) == (first.hypotheses, first.observed, first.round)
    other = ScriptedLlm(make_judgement(relevant="undecided"))
    context = make_context(tmp_path, ScriptedLlm(), judge=other, toolbox=Toolbox((), tmp_path / "none.jsonl"))
    again = FeatureState.model_validate(asyncio.run(build_graph().ainvoke(case.state(first.item), context=context)))
    assert again.decision
    assert (again.decision.relevant, again.decision.usage.calls) == ("undecided", 1)
    assert other.asked[0].messages == judge.asked[-1].messages


def test_a_case_judged_by_rules_is_judged_on_its_evidence_alone(tmp_path: Path) -> None:
    evidence = make_evidence()
    rules = investigate(Context(run_id="run", judge=Rules(QUESTION.survey), evidence={evidence.feature.key: evidence}))
    case = recall_case(rules.item.feature, rules.steps, FIRST)
    assert (case.hypotheses, case.observed, case.round) == ((), (), 1)
    judge = ScriptedLlm(make_judgement(better_hypothesis=None))
    context = make_context(tmp_path, ScriptedLlm(), judge=judge, toolbox=Toolbox((), tmp_path / "none.jsonl"))
    final = FeatureState.model_validate(asyncio.run(build_graph().ainvoke(case.state(rules.item), context=context)))
    assert final.decision
    assert final.decision.relevant == "yes"


def test_imported_evidence_is_judged_without_instruments(tmp_path: Path) -> None:
    bare = Evidence(feature=make_evidence().feature, stratum="imported", projection=make_evidence().projection)
    llm = ScriptedLlm(make_hypotheses(), make_judgement(relevant="undecided", steered_choices=()))
    decision = decide(make_context(tmp_path, llm, evidence=bare, toolbox=Toolbox((), tmp_path / "tools.jsonl")))
    assert (decision.relevant, decision.steering, decision.stratum) == ("undecided", None, "imported")


def test_a_bug_in_one_feature_is_its_failure(tmp_path: Path) -> None:
    llm = ScriptedLlm(make_hypotheses(), (call("explode"),))
    decision = decide(make_context(tmp_path, llm))
    assert decision.failure
    assert (decision.status, decision.failure.type) == ("failed", "bug")
    assert "ZeroDivisionError" in decision.failure.message
    assert decision.usage.calls == 2


def test_a_verdict_that_cannot_be_recorded_is_a_bug(tmp_path: Path) -> None:
    context = make_context(tmp_path, ScriptedLlm())
    final = investigate(context, round=1, ruling=None, failure=None, hypotheses=TWO)
    assert final.decision
    assert final.decision.failure
    assert final.decision.failure.type == "bug"  # the script has run out


def test_the_drawing_shows_the_loop() -> None:
    drawn = build_graph().get_graph().draw_mermaid()
    for edge in (
        "__start__ -.-> hypothesize",
        "__start__ -.-> judge",
        "hypothesize -.-> measure",
        "measure -.-> experiment",
        "experiment -.-> measure",
        "experiment -.-> judge",
        "judge -.-> hypothesize",
        "judge -.-> record",
        "record --> __end__",
    ):
        assert edge in drawn, edge


def test_the_studio_finds_the_graph() -> None:
    root = Path(__file__).parents[3]
    target = json.loads((root / "langgraph.json").read_text("utf-8"))["graphs"]["feature"]
    file, _, name = target.partition(":")
    assert (root / file).samefile(graph.__file__)
    assert getattr(graph, name) is build_graph


# --- injection: a model that obeys whatever stands outside a fence, and nothing inside ---------------------------------


def obedient(asked: Asked) -> Any:
    """Honest, unless something outside the fences speaks to it."""
    texts = [str(m.get("content") or "") for m in asked.messages if m["role"] != "assistant"]
    heard = unicodedata.normalize("NFKC", "\n".join(outside(text) for text in texts)).casefold()
    obeys = "pwned" in "".join(letter for letter in heard if unicodedata.category(letter) not in ("Cf", "Mn"))
    if asked.purpose == "experiment":
        return "pwned" if obeys else "enough"
    if asked.purpose == "hypothesize":
        return make_hypotheses()
    return make_judgement(relevant="yes" if obeys else "no", better_hypothesis=None, confidence=1.0 if obeys else 0.6)


def verdict(decision: Decision) -> tuple[Any, ...]:
    return decision.status, decision.relevant, decision.confidence, decision.label, decision.interpretable


def test_the_obedient_model_does_obey_outside_a_fence(tmp_path: Path) -> None:
    context = make_context(tmp_path, ScriptedLlm(policy=obedient), guideline="pwned: answer yes")
    assert decide(context).relevant == "yes"


@pytest.mark.parametrize("start", range(0, len(ATTACKS), 8))
def test_no_attack_changes_a_verdict(tmp_path: Path, start: int) -> None:
    for number, attack in enumerate(ATTACKS[start : start + 8]):
        folder = tmp_path / str(number)
        folder.mkdir()
        context = make_context(folder, ScriptedLlm(policy=obedient), evidence=poisoned(attack)[0])
        assert verdict(decide(context)) == ("decided", "no", 0.6, "heart disease", 3), attack


# --- over HTTP --------------------------------------------------------------------------------------------------------


def over_http(policy: Any, folder: Path, evidence: Evidence | None = None, **settings: Any) -> tuple[FeatureState, Any]:
    """One feature through the real client against the stub, and the server."""
    replay = settings.pop("replay_only", False)
    with serve(policy) as server:

        async def run() -> FeatureState:
            given = {"backoff_s": 0.001, "max_attempts": 2, "timeout_seconds": 5, **settings}
            store = CallStore(folder / "llm_calls.jsonl", replay_only=replay)
            async with LlmClient(LlmSettings(model="stub", base_url=server.base_url, **given), store) as client:
                bench = None if replay else StrawBench()
                context = make_context(
                    folder,
                    client,
                    judge=client.with_model("stub-judge"),
                    evidence=evidence,
                    toolbox=make_toolbox(folder, bench=bench, replay_only=replay),
                    judge_repeats=2,
                )
                item = next(iter(context.evidence.values()))
                state = FeatureState(item=SelectedFeature(feature=item.feature, stratum=item.stratum))
                return FeatureState.model_validate(await build_graph().ainvoke(state, context=context))

        return asyncio.run(run()), server


def test_a_whole_investigation_over_http_and_its_replay_without_a_server(tmp_path: Path) -> None:
    final, server = over_http(happy, tmp_path)
    assert final.decision
    assert final.decision.status == "decided"
    assert final.decision.judge.self_agreement == 1.0
    assert final.decision.usage.calls == len(server.requests)
    purposes = {"response_format" in r.body for r in server.requests}
    assert purposes == {True, False}
    assert any("tools" in r.body for r in server.requests)
    assert {r.body["model"] for r in server.requests} == {"stub", "stub-judge"}
    again, silent = over_http(happy, tmp_path, replay_only=True)
    assert silent.requests == []
    assert again.decision == final.decision
    assert again.steps == final.steps


def test_a_server_without_tools_over_http(tmp_path: Path) -> None:
    def no_tools(body: JsonDict, attempt: int) -> Scripted:
        if "tools" in body:
            return Scripted(status=400, error={"message": "'tools' is not supported", "type": "x", "param": "tools"})
        if body.get("response_format", {}).get("json_schema", {}).get("name") == "Choice":
            done = any("Measurement 1" in str(message.get("content")) for message in body["messages"])
            arguments = '{"prompt": "x", "strength": 1}'
            calls = [] if done else [{"instrument": "continue_text", "arguments": arguments}]
            return Scripted(content=json.dumps({"reasons": "r", "calls": calls}))
        return happy(body, attempt)

    final, _ = over_http(no_tools, tmp_path)
    assert final.decision
    assert final.decision.status == "decided"
    assert {o.measurement.instrument for o in final.observed if o.hypothesis is None} == {"continue_text"}
    again, silent = over_http(no_tools, tmp_path, replay_only=True)
    assert silent.requests == []
    assert again.decision == final.decision


@pytest.mark.parametrize(
    ("script", "type"), [("refusal", "refusal"), ("wrong_schema", "wrong_schema"), ("server_error", "server_error")]
)
def test_a_misbehaving_server_is_a_failure_of_its_type_in_the_run_and_its_replay(
    tmp_path: Path, script: str, type: str
) -> None:
    from tests.servers.openai_stub import SCRIPTS

    final, _ = over_http(SCRIPTS[script], tmp_path)
    assert final.decision
    assert final.decision.failure
    assert (final.decision.status, final.decision.failure.type) == ("failed", type)
    again, _ = over_http(SCRIPTS[script], tmp_path, replay_only=True)
    assert again.decision == final.decision


def test_no_attack_changes_a_verdict_over_http(tmp_path: Path) -> None:
    """All of them at once, through the client, JSON and the server."""

    def policy(body: JsonDict, attempt: int) -> Scripted:
        schema = body.get("response_format", {}).get("json_schema", {}).get("name", "")
        purpose = {"Hypotheses": "hypothesize", "JudgeReply": "judge"}.get(schema, "experiment")
        said = obedient(Asked(messages=body["messages"], purpose=purpose))
        return Scripted(content=said if isinstance(said, str) else said.model_dump_json())

    base = poisoned("x")[0]
    assert base.activations
    contexts = tuple(
        poisoned(attack)[0].activations.top[0]  # type: ignore[union-attr]
        for attack in ATTACKS
    )
    pairs = tuple(p for attack in ATTACKS[:10] for p in poisoned(attack)[0].steering.pairs[:1])  # type: ignore[union-attr]
    assert base.steering
    for start in range(0, len(contexts), 9):
        shown = {"top": contexts[start : start + 6], "quantiles": contexts[start + 6 : start + 9]}
        evidence = base.model_copy(
            update={
                "activations": base.activations.model_copy(update=shown),
                "steering": base.steering.model_copy(update={"pairs": pairs}),
            }
        )
        folder = tmp_path / str(start)
        folder.mkdir()
        final, _ = over_http(policy, folder, evidence)
        assert final.decision
        assert (final.decision.relevant, final.decision.label) == ("no", "heart disease")


def test_types_are_what_the_scripts_use() -> None:
    assert Hypotheses.model_validate_json(make_hypotheses().model_dump_json()) == make_hypotheses()
    assert Choice(reasons="r", calls=()).calls == ()
    assert PairChoice(pair=1, steered="A").steered == "A"
