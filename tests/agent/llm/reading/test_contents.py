"""What a message says, in the forms servers send it in, through the client."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from agent.llm.errors import LlmFailure
from agent.llm.reading.contents import tool_calls_in
from agent.llm.replies import Reply, find_circle
from tests.agent.llm.test_client import Verdict, ask, outcome, with_client
from tests.servers.openai_stub import JsonDict, Policy, Scripted, answer, serve

FITS = Verdict(reasons="stub", relevant="yes", confidence=0.5)


def sending(form: Any, finish_reason: str | None = "stop", **fields: Any) -> Policy:
    """A message made of the right answer."""

    def policy(body: JsonDict, attempt: int) -> Scripted:
        message = {"role": "assistant", **form(answer(body))}
        choice = {"index": 0, "message": message, "finish_reason": finish_reason}
        return Scripted(raw=json.dumps({"choices": [choice], **fields}).encode())

    return policy


def text(words: str) -> JsonDict:
    return {"type": "text", "text": words}


THINKING = {"type": "thinking", "thinking": [text('hm {"relevant": "no"')]}
FORMS: dict[str, Any] = {
    "text": lambda a: {"content": a},
    "parts": lambda a: {"content": [text(a[:9]), text(a[9:])]},
    "a thought and a text": lambda a: {"content": [THINKING, text(a)]},
    "a part alone": lambda a: {"content": text(a)},
    "texts in a list": lambda a: {"content": [a]},
    "JSON that was read already": lambda a: {"content": json.loads(a)},
    "thoughts beside": lambda a: {"content": a, "reasoning_content": 'no: {"relevant": "no"}', "refusal": None},
    "the answer as a thought": lambda a: {"content": None, "reasoning_content": a},
    "the answer as a thought, in a fence of space": lambda a: {
        "content": "",
        "reasoning": f"\n{a}\n",
        "tool_calls": [],
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_an_answer_is_read_in_every_form_of_content(form: str, tmp_path: Path) -> None:
    reply = outcome(sending(FORMS[form]), tmp_path / "calls")
    assert isinstance(reply, Reply) and reply.parsed == FITS and not reply.repaired


NO_ANSWERS: dict[str, tuple[Any, str | None, str]] = {
    "a picture": (lambda a: {"content": [text(a), {"type": "image_url", "image_url": {}}]}, "stop", "unparseable"),
    "sound": (lambda a: {"content": [{"type": "audio", "data": ""}, text(a)]}, "stop", "unparseable"),
    "a refusal in a part": (lambda a: {"content": [{"type": "refusal", "refusal": "I cannot."}]}, "stop", "refusal"),
    "thoughts alone": (lambda a: {"content": None, "reasoning_content": f"Perhaps {a}?"}, "stop", "empty"),
    "a draft in thoughts, cut": (lambda a: {"content": "", "reasoning_content": a}, "length", "length"),
    "a draft in thoughts, without an end": (lambda a: {"content": "", "reasoning_content": a}, None, "empty"),
    "parts of thought alone": (lambda a: {"content": [THINKING]}, "stop", "empty"),
    "cut, as Gemini says it": (lambda a: {"content": a}, "MAX_TOKENS", "length"),
    "cut, as Anthropic says it": (lambda a: {"content": a}, "max_tokens", "length"),
    "filtered, as Gemini says it": (lambda a: {"content": a}, "SAFETY", "content_filter"),
    "given up": (lambda a: {"content": a}, "error", "server_error"),
}


@pytest.mark.parametrize("form", NO_ANSWERS)
def test_what_is_no_answer_fails_as_what_it_is(form: str, tmp_path: Path) -> None:
    made, finish_reason, type = NO_ANSWERS[form]
    failure = outcome(sending(made, finish_reason), tmp_path / "calls")
    assert isinstance(failure, LlmFailure) and failure.type == type


def in_events(body: JsonDict, attempt: int) -> Scripted:
    pieces = [{"choices": [{"index": 0, "delta": {"content": sign}}]} for sign in answer(body)]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    events = "".join(f"data: {json.dumps(each)}\n\n" for each in [*pieces, end])
    return Scripted(raw=f": OPENROUTER PROCESSING\n\n{events}data: [DONE]\n\n".encode())


def after_signs_of_life(body: JsonDict, attempt: int) -> Scripted:
    whole = sending(FORMS["text"])(body, attempt).raw or b""
    return Scripted(raw=b"\n\n: keep-alive\n\n\n" + whole)


def packed(body: JsonDict, attempt: int) -> Scripted:
    whole = sending(FORMS["text"])(body, attempt).raw or b""
    return Scripted(raw=gzip.compress(whole), headers={"Content-Encoding": "gzip"})


def as_completion(body: JsonDict, attempt: int) -> Scripted:
    return Scripted(raw=json.dumps({"choices": [{"text": answer(body), "finish_reason": "stop"}]}).encode())


def as_ollama(body: JsonDict, attempt: int) -> Scripted:
    fields = {"message": {"role": "assistant", "content": answer(body)}, "done": True, "done_reason": "stop"}
    return Scripted(raw=json.dumps({**fields, "prompt_eval_count": 30, "eval_count": 9}).encode())


@pytest.mark.parametrize("policy", [in_events, after_signs_of_life, packed, as_completion, as_ollama])
def test_an_answer_is_read_however_its_body_is_sent(policy: Policy, tmp_path: Path) -> None:
    with serve(policy) as server:
        reply = with_client(server, tmp_path / "calls", ask)
    assert reply.parsed == FITS and reply.attempts == 1


def arguments(given: Any) -> tuple[str, Any]:
    (call,) = tool_calls_in({"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": given}}]}, strict=False)
    return call.arguments, call.parsed


@pytest.mark.parametrize(
    ("given", "raw", "parsed"),
    [
        ('{"text": "a"}', '{"text": "a"}', {"text": "a"}),
        ({"text": "a"}, '{"text":"a"}', {"text": "a"}),
        ('"{\\"text\\": \\"a\\"}"', '{"text":"a"}', {"text": "a"}),
        ("{'text': 'a',}", '{"text":"a"}', {"text": "a"}),
        ("", "", {}),
        (None, "{}", {}),
        ("null", "{}", {}),
        ('""', "{}", {}),
        ('{"text": ', '{"text": ', None),
        ("[1]", "[1]", None),
        ('"\\"{}\\""', '"\\"{}\\""', None),
    ],
)
def test_tool_arguments_are_read_in_every_spelling(given: Any, raw: str, parsed: Any) -> None:
    assert arguments(given) == (raw, parsed)


def test_a_call_in_the_older_form_is_one_too() -> None:
    (call,) = tool_calls_in({"function_call": {"name": "f", "arguments": "{}"}}, strict=False)
    assert (call.id, call.name, call.parsed) == ("call_0", "f", {})


@pytest.mark.parametrize(
    "said",
    [
        '<tool_call>\n{"name": "f", "arguments": {"text": "a"}}\n</tool_call>',
        '<think>{"name": "g"}</think>Let me see.\n<tool_call>{"name": "f", "arguments": {"text": "a"}}',
        '[TOOL_CALLS][{"name": "f", "arguments": {"text": "a"}}]',
        '[TOOL_CALLS]f[ARGS]{"text": "a"}',
        '<|python_tag|>{"name": "f", "parameters": {"text": "a"}}',
        '<function=f>{"text": "a"}</function>',
        '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"text": "a"}<|call|>',
        '{"name": "f", "arguments": "{\\"text\\": \\"a\\"}"}',
    ],
)
def test_a_call_written_as_text_is_one_if_the_tool_was_offered(said: str) -> None:
    (call,) = tool_calls_in({"content": said}, strict=False, text=said, offered=["f"])
    assert (call.name, call.parsed) == ("f", {"text": "a"})
    assert not tool_calls_in({"content": said}, strict=False, text=said, offered=["other"])
    assert not tool_calls_in({"content": said}, strict=True, text=said, offered=["f"])


@pytest.mark.parametrize(
    "said", ['I would call {"name": "f", "arguments": {}}.', "Enough.", '<tool_call>{"name": "f", "argum']
)
def test_prose_and_a_call_that_broke_off_are_no_call(said: str) -> None:
    assert not tool_calls_in({"content": said}, strict=False, text=said, offered=["f"])


# --- circles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "turn",
    [
        "1.",
        "a",
        "I am sorry. ",
        "the the ",
        '{"a": [1, 2]}, ',
        "x" * 79 + "y",
        "One thing is so. Another is not. " * 9 + "Yes.",
    ],
)
@pytest.mark.parametrize("cut", [0, 1])
def test_a_text_that_runs_in_a_circle_is_found_out(turn: str, cut: int) -> None:
    text = '{"reasons": "' + turn * (2000 // len(turn) + 1)
    found = find_circle(text[: len(text) - cut])
    assert found is not None
    assert len(found) <= len(turn)
    assert found in turn * 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.1.1.1.",
        " ".join(f"Sentence {n} says something else than the one before." for n in range(40)),
        "ab" * 300 + "a quite different end of the text, " + " ".join(str(n * n) for n in range(120)),
        "".join(f"{n:080d}" for n in range(20)),
    ],
)
def test_a_text_that_goes_somewhere_is_in_no_circle(text: str) -> None:
    assert find_circle(text) is None
