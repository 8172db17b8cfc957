"""The Inspect log, read back with Inspect: samples, targets, scores, messages and events are the run's."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agent.folder.records import Decision, TranscriptStep
from agent.folder.store import RunFolder
from agent.lines import read_lines
from agent.llm.records import Failure, LlmCall, Usage
from evals.export import main
from evals.manual.own import write_own
from tests.agent.briefing.test_evidence import poisoned
from tests.evals.exports.runs import (
    HOSTILE,
    judge_over_http,
    judged_by_llm,
    make_call,
    usual_decisions,
    write_finished,
)
from tests.evals.worlds import decide, label
from tests.servers.openai_stub import SCRIPTS, at_first, failing, happy

inspect_log = pytest.importorskip("inspect_ai.log", reason="inspect-ai is not installed: pip install -e '.[inspect]'")
Steps = list[TranscriptStep]


def export(run: Path, *more: str) -> Any:
    """The log as Inspect reads it."""
    assert main([str(run), "--to", "inspect", *more]) == 0
    return inspect_log.read_eval_log(str(run / "exports" / f"{run.name}.eval"), resolve_attachments=True)


def events(sample: Any, kind: str) -> list[Any]:
    return [event for event in sample.events if event.event == kind]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_finished(tmp_path / "run", usual_decisions())


def test_there_is_one_sample_a_feature_with_its_verdict(run: Path) -> None:
    log = export(run)
    assert [sample.id for sample in log.samples] == ["base-000001", "base-000002", "base-000003", "base-r000000"]
    verdicts = [sample.scores["verdict"] for sample in log.samples]
    assert [score.value for score in verdicts if score.reason is None] == ["yes", "no", "no"]
    assert verdicts[0].metadata["confidence"] == 0.9
    assert verdicts[0].answer == "label 1"
    assert [sample.metadata["stratum"] for sample in log.samples][-1] == "random directions"
    assert '" heart" 1' in log.samples[0].input
    assert log.status == "success"
    assert log.eval.model == "rules"


def test_a_failure_is_an_error_without_a_value(run: Path) -> None:
    log = export(run)
    failed = log.samples[2]
    score = failed.scores["verdict"]
    assert isinstance(score.value, float)
    assert math.isnan(score.value)
    assert (score.reason, score.explanation) == ("timeout", "no reply")
    assert score.metadata["failure"] == {"type": "timeout", "message": "no reply", "attempts": 6}
    assert failed.error.message == "timeout: no reply (6 attempts)"
    assert events(failed, "error")[0].error.message == failed.error.message
    (counted,) = log.results.scores
    assert (counted.scored_samples, counted.unscored_samples) == (3, 1)
    assert {name: metric.value for name, metric in counted.metrics.items()} == {"yes": 1, "no": 2, "failed": 1}


def test_targets_are_what_people_answered(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    given = [
        label(1, "yes"),
        label(1, "no", "ben"),
        label(2, "no"),
        label(2, "no", "ben"),
        label(2, "birds", question="annotation"),
    ]
    write_own(file, [*given, label(3, "yes", "program", machine=True)])
    samples = export(run, "--labels", str(file)).samples
    assert [sample.target for sample in samples] == [["yes", "no"], "no", "", ""]
    people = [(one["annotator"], one["value"]) for one in samples[1].metadata["people"]]
    assert people == [("ana", "no"), ("ben", "no"), ("ana", "birds")]
    (run / "exports" / "run.eval").unlink()
    samples = export(run, "--labels", str(file), "--programs").samples
    assert samples[2].target == "yes"


def test_rules_show_their_evidence_and_reasons(run: Path) -> None:
    sample = export(run).samples[0]
    assert [message.role for message in sample.messages] == ["user", "assistant"]
    assert sample.messages[0].text == sample.input
    assert "relevant: yes" in sample.messages[1].text
    assert [(event.source, event.data["relevant"]) for event in events(sample, "info")] == [
        ("rule", "yes"),
        ("decision", "yes"),
    ]


def test_a_run_over_http_reads_back_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = judge_over_http(tmp_path, monkeypatch, happy)
    folder = RunFolder.open(run)
    log = export(run)
    assert log.eval.model == "stub"
    assert [sample.id for sample in log.samples] == [decision.feature.key for decision in folder.decisions()]
    prompts = {ref.name: ref.sha256 for ref in folder.manifest().provenance.prompts}
    stored = {call.request_sha256: call for call in read_lines(run / "llm_calls.jsonl", LlmCall)}
    for sample, decision in zip(log.samples, folder.decisions(), strict=True):
        assert sample.scores["verdict"].value == decision.relevant
        steps = list(read_lines(run / "transcripts" / f"{sample.id}.jsonl", TranscriptStep))
        said = [
            (message["role"], message["content"])
            for step in steps
            for message in (step.content if step.kind == "messages" else [])  # type: ignore[union-attr]
        ]
        assert [(m.role, m.text) for m in sample.messages if m.role != "assistant"] == said
        replies = [step.content["text"] for step in steps if step.kind == "reply"]  # type: ignore[index, call-overload]
        assert [m.text for m in sample.messages if m.role == "assistant"] == replies
        asked = events(sample, "model")
        assert [event.role for event in asked] == ["judge"]
        for event in asked:
            assert event.metadata["prompt_sha256"] == prompts[event.metadata["prompt"]]
            call = stored[event.metadata["request_sha256"]]
            assert event.call.request == call.request
            assert [m.text for m in event.input] == [m["content"] for m in call.request["messages"]]  # type: ignore[union-attr]
            assert event.output.completion == call.reply["message"]["content"]  # type: ignore[index]
            assert event.output.usage.input_tokens == call.usage.input_tokens
        assert sample.model_usage["stub"].input_tokens == decision.usage.input_tokens
        assert sample.model_usage["stub"].output_tokens == decision.usage.output_tokens
    spent = sum(decision.usage.input_tokens for decision in folder.decisions())
    assert log.stats.model_usage["stub"].input_tokens == spent
    assert "sk-planted" not in json.dumps(log.model_dump(mode="json"))
    assert str(tmp_path) not in json.dumps(log.model_dump(mode="json"))


def test_ratings_are_scores_and_targets_by_concept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = judge_over_http(tmp_path, monkeypatch, happy, rating=True)
    file = tmp_path / "labels.jsonl"
    item = {"study": None, "sae": "base", "index": 7}
    write_own(file, [label(7, 3, question="dentist", item=item), label(7, 0, question="nurse", item=item)])
    sample = export(run, "--labels", str(file)).samples[0]
    assert set(sample.scores["verdict"].value) == {"dentist", "nurse"}
    assert json.loads(sample.target) == {"dentist": 3, "nurse": 0}


def test_a_failed_rating_keeps_its_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decisions = [decide(1, None), decide(2, None, ratings={"dentist": 4, "nurse": 0})]
    file = tmp_path / "labels.jsonl"
    write_own(file, [label(1, 2, question="dentist"), label(2, "birds", question="annotation")])
    samples = export(write_finished(tmp_path / "run", decisions), "--labels", str(file)).samples
    assert [sample.target for sample in samples] == ['{"dentist": 2}', ""]
    assert samples[1].scores["verdict"].value == {"dentist": 4, "nurse": 0}
    assert "2 samples, 1 of them failed, 1 with a target" in capsys.readouterr().out


def test_refused_requests_are_visible_as_failed_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = export(judge_over_http(tmp_path, monkeypatch, failing(400, "no such luck")))
    for sample in log.samples:
        (event,) = events(sample, "model")
        assert event.error.startswith("bad_request")
        assert "no such luck" in event.error
        assert event.call.error is True
        assert event.output.choices == []
        assert sample.error is not None
        assert math.isnan(sample.scores["verdict"].value)


def test_retries_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = at_first(failing(503, "busy", headers={"Retry-After": "0"}), 1)
    log = export(judge_over_http(tmp_path, monkeypatch, policy))
    asked = [event for sample in log.samples for event in events(sample, "model")]
    assert {event.retries for event in asked} == {1}
    assert {event.metadata["attempts"] for event in asked} == {2}


@pytest.mark.parametrize("script", ["wrong_schema", "refusal"])
def test_an_unfit_reply_is_shown_beside_its_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    sample = export(judge_over_http(tmp_path, monkeypatch, SCRIPTS[script])).samples[0]
    asked = events(sample, "model")
    assert [bool(event.error) for event in asked] == ([False, True] if script == "wrong_schema" else [True])
    assert all(event.output.completion for event in asked)
    assert sample.scores["verdict"].reason == {"wrong_schema": "invalid_response_format"}.get(script, script)


def test_a_repaired_reply_is_shown_after_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(body: Any, attempt: int) -> Any:
        return (happy if len(body["messages"]) > 2 else SCRIPTS["wrong_schema"])(body, attempt)

    sample = export(judge_over_http(tmp_path, monkeypatch, careless)).samples[0]
    asked = events(sample, "model")
    assert [event.metadata["purpose"] for event in asked] == ["judge", "judge (repair)"]
    assert [len(event.input) for event in asked] == [2, 4]
    assert sum(event.output.usage.input_tokens for event in asked) == sample.model_usage["stub"].input_tokens


def conversation(decision: Decision) -> Steps:
    """A choice of measurements with results, an error of one, and a bug at last."""
    asked = [{"role": "system", "content": "choose"}, {"role": "user", "content": "evidence"}]
    calls = [{"name": "measure", "arguments": '{"words": ["a"]}'}, {"name": "no_tool", "arguments": "{broken"}]

    def measured(call_id: str, name: str, given: Any, status: str, result: Any, hypothesis: int | None = None) -> Any:
        found = {"sha256": "f" * 64, "instrument": name, "feature": decision.feature.key, "arguments": given}
        measurement = {**found, "status": status, "result": result}
        return {"round": 1, "call_id": call_id, "hypothesis": hypothesis, "measurement": measurement}

    bug = {"type": "bug", "message": "ZeroDivisionError in judge", "attempts": 0, "traceback": ["line 1"]}
    said = {"text": "", "finish_reason": "tool_calls", "tool_calls": calls}
    parts: list[tuple[Any, str, Any, str | None]] = [
        ("tool", "measure", measured("prediction_1", "measure", {"words": ["b"]}, "ok", {"change": 1.5}, 1), None),
        ("messages", "experiment", asked, None),
        ("reply", "experiment", said, "a" * 64),
        ("tool", "measure", measured("id_1", "measure", {"words": ["a"]}, "ok", {"change": 0.5}), None),
        ("tool", "measure", measured("id_2", "no_tool", "{broken", "error", "there is no such instrument"), None),
        ("reply", "experiment", {"text": "enough", "finish_reason": "stop"}, "b" * 64),
        ("failure", "judge", bug, None),
        ("decision", "record", decision.model_dump(mode="json"), None),
    ]
    usage = Usage(calls=1, input_tokens=10, output_tokens=2, usd=0.25)
    return [
        TranscriptStep(
            step=n, kind=kind, node=node, content=content, request_sha256=sha, usage=usage if kind == "reply" else None
        )
        for n, (kind, node, content, sha) in enumerate(parts)
    ]


@pytest.fixture
def failed() -> Decision:
    failure = Failure(type="bug", message="ZeroDivisionError in judge", attempts=0)
    return judged_by_llm(decide(1, None)).model_copy(update={"failure": failure})


def test_measurements_are_tool_events_with_arguments_results_and_errors(tmp_path: Path, failed: Decision) -> None:
    messages = [{"role": "system", "content": "choose"}, {"role": "user", "content": "evidence"}]
    tool = {"type": "function", "function": {"name": "measure", "description": "d", "parameters": {"type": "object"}}}
    call = make_call("a" * 64, messages, purpose="experiment", tools=[tool])
    protocol = [
        {"id": "id_1", "type": "function", "function": {"name": "measure", "arguments": '{"words": ["a"]}'}},
        {"id": "id_2", "type": "function", "function": {"name": "no_tool", "arguments": "{broken"}},
    ]
    reply = {"message": {"role": "assistant", "content": None, "tool_calls": protocol}, "finish_reason": "tool_calls"}
    call = call.model_copy(update={"reply": reply})
    sample = export(write_finished(tmp_path / "run", [failed], steps=conversation, calls=[call])).samples[0]
    found = [(e.id, e.function, e.arguments, e.result, e.error and e.error.message) for e in events(sample, "tool")]
    complaint = "there is no such instrument"
    assert found == [
        ("prediction_1", "measure", {"words": ["b"]}, '{"change": 1.5}', None),
        ("id_1", "measure", {"words": ["a"]}, '{"change": 0.5}', None),
        ("id_2", "no_tool", {"unparseable": "{broken"}, complaint, complaint),
    ]
    assert [event.metadata["tests_hypothesis"] for event in events(sample, "tool")] == [1, None, None]
    assert [message.role for message in sample.messages] == ["system", "user", "assistant", "tool", "tool", "assistant"]
    assert [one.id for one in sample.messages[2].tool_calls] == ["id_1", "id_2"]
    assert [message.tool_call_id for message in sample.messages[3:5]] == ["id_1", "id_2"]
    chosen, ended = events(sample, "model")
    assert [tool.name for tool in chosen.tools] == ["measure"]
    assert ended.call is None  # it is not in the run's file of calls: what was asked is told from the transcript
    assert [message.role for message in ended.input] == ["system", "user", "assistant", "tool", "tool"]
    assert sample.model_usage["m"].total_cost == 0.5
    (bug,) = [event for event in events(sample, "info") if event.source == "failure"]
    assert bug.data["traceback"] == ["line 1"]


def test_steps_of_a_node_stand_in_one_span(tmp_path: Path, failed: Decision) -> None:
    run = write_finished(tmp_path / "run", [failed], steps=conversation, calls=[make_call("c" * 64, [])])
    sample = export(run).samples[0]
    names = [event.name for event in events(sample, "span_begin")]
    assert names == ["measure", "experiment", "measure", "experiment", "judge", "record"]
    # Inspect hides model calls outside an agent's span that come under another prompt than the first one's.
    assert {event.name for event in events(sample, "span_begin") if event.type == "agent"} == {"experiment", "judge"}
    assert Counter(event.id for event in events(sample, "span_begin")) == Counter(
        event.id for event in events(sample, "span_end")
    )
    assert len({event.uuid for event in sample.events}) == len(sample.events)
    assert len({message.id for message in sample.messages}) == len(sample.messages)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("llm_calls.jsonl", "{}\n", "llm_calls.jsonl:1"),
        ("transcripts/base-000001.jsonl", "nonsense\n", "base-000001.jsonl:1"),
        ("transcripts/base-000001.jsonl", None, "is missing"),
        ("summary.json", "{}", "summary.json is damaged"),
    ],
)
def test_damage_is_one_line_and_leaves_no_log(
    run: Path, name: str, text: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is None:
        (run / name).unlink()
    else:
        (run / name).write_text(text)
    assert main([str(run), "--to", "inspect"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list((run / "exports").iterdir())


def test_a_log_that_is_there_stays(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export(run)
    before = (run / "exports" / "run.eval").read_bytes()
    assert main([str(run), "--to", "inspect"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert (run / "exports" / "run.eval").read_bytes() == before


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_survives_as_text(tmp_path: Path, text: str) -> None:
    decision = decide(1, "yes").model_copy(update={"label": text, "reasons": (text,)})
    evidence = poisoned(text)[0].model_copy(update={"feature": decision.feature})
    run = write_finished(tmp_path / "run", [decision], [evidence])
    file = tmp_path / "labels.jsonl"
    write_own(file, [label(1, "yes", note=text), label(1, text, question="annotation")])
    sample = export(run, "--labels", str(file)).samples[0]
    score = sample.scores["verdict"]
    assert (score.answer, score.explanation) == (text, text)
    assert [one["note"] for one in sample.metadata["people"]] == [text, None]
    assert text.replace("\n", "⏎") in sample.input
    assert text in sample.messages[1].text
    assert events(sample, "info")[1].data["label"] == text
