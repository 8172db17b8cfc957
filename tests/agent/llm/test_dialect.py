"""What servers refuse, as they were reported to: each is learnt, asked again without, and remembered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from agent.llm.client import LlmClient
from agent.llm.errors import LlmFailure
from agent.llm.replies import Reply
from agent.llm.requests import ToolsUnsupported
from tests.agent.llm.test_client import TOOL, with_client
from tests.agent.llm.test_client import Verdict as PlainVerdict
from tests.servers.openai_stub import JsonDict, Policy, Scripted, happy, serve

CONVERSATION: list[JsonDict] = [{"role": "system", "content": "You judge."}, {"role": "user", "content": "Is it?"}]


class Verdict(PlainVerdict):
    best: int | None = Field(ge=1, le=3)


def schema_of(body: JsonDict) -> str:
    return json.dumps(body.get("response_format", {}).get("json_schema", {}))


def is_json(body: JsonDict, *kinds: str) -> bool:
    return body.get("response_format", {}).get("type") in (kinds or ("json_schema", "json_object"))


def has_system(body: JsonDict) -> bool:
    return any(message["role"] == "system" for message in body["messages"])


def has_neighbours(body: JsonDict) -> bool:
    roles = [message["role"] for message in body["messages"]]
    return any(one == other for one, other in zip(roles, roles[1:], strict=False))


def vllm(message: str) -> JsonDict:
    return {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}


def google(message: str) -> list[JsonDict]:
    return [{"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}]


def openai(message: str, param: str | None = None) -> JsonDict:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": None}}


def fastapi(field: str) -> JsonDict:
    detail = [{"type": "extra_forbidden", "loc": ["body", field], "msg": "Extra inputs are not permitted", "input": 0}]
    return {"object": "error", "message": {"detail": detail}, "type": "invalid_request_error", "code": None}


Refused = Callable[[JsonDict], Any]
HAS_LIMITS: Refused = lambda body: '"minimum"' in schema_of(body)  # noqa: E731
REFUSALS: dict[str, tuple[Refused, int, Any, int]] = {
    # What is refused, status and body of the refusal, and how many requests the first question takes.
    "Mistral: seed": (lambda b: "seed" in b, 422, fastapi("seed"), 2),
    "Gemini: seed": (lambda b: "seed" in b, 400, google('Unknown name "seed": Cannot find field.'), 2),
    "a gateway: seed": (
        lambda b: "seed" in b, 400,
        {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": '{"detail":"seed: not permitted"}'}}}, 2,
    ),
    "OpenAI: temperature": (lambda b: b.get("temperature", 1) != 1, 400, openai(
        "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
        "temperature"), 2),
    "Kimi: temperature": (lambda b: "temperature" in b, 400, openai("invalid temperature: only 0.6 is allowed for this model"), 2),
    "TGI: temperature": (lambda b: "temperature" in b, 422,
        {"error": "Input validation error: `temperature` must be strictly positive", "error_type": "validation"}, 2),
    "OpenAI: max_tokens": (lambda b: "max_tokens" in b, 400, openai(
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."), 2),
    "no name for the limit": (lambda b: {"max_tokens", "max_completion_tokens"} & b.keys(), 400,
        openai("Unrecognized request argument supplied: max_tokens or max_completion_tokens"), 3),
    "a limit too high": (lambda b: {"max_tokens", "max_completion_tokens"} & b.keys(), 400,
        openai("`max_tokens` must be less than or equal to `1024`", "max_tokens"), 3),
    "DeepSeek: json_schema": (lambda b: is_json(b, "json_schema"), 400, openai("This response_format type is unavailable now"), 2),
    "LM Studio: json_object": (lambda b: is_json(b, "json_object") or HAS_LIMITS(b) or is_json(b), 400,
        {"error": "'response_format.type' must be 'json_schema' or 'text'"}, 3),
    "vLLM: xgrammar and numbers": (HAS_LIMITS, 400,
        vllm("The provided JSON schema contains features not supported by xgrammar."), 2),
    "vLLM: xgrammar and everything": (lambda b: is_json(b, "json_schema"), 400,
        vllm("The provided JSON schema contains features not supported by xgrammar."), 3),
    "llama.cpp: grammar": (HAS_LIMITS, 400,
        {"error": {"code": 400, "message": "Failed to initialize samplers: failed to parse grammar"}}, 2),
    "Anthropic: minimum": (HAS_LIMITS, 400,
        openai("output_format.schema: For 'integer' type, property 'minimum' is not supported"), 2),
    "Gemini: maxItems": (HAS_LIMITS, 400, google('Unknown name "maxItems" at \'generation_config.response_schema\''), 2),
    "Gemini: additionalProperties": (lambda b: "additionalProperties" in schema_of(b), 400, google(
        "Invalid JSON payload received. Unknown name \"additionalProperties\" at 'generation_config.response_schema'"), 2),
    "strict": (lambda b: '"strict"' in schema_of(b), 400, openai("Unknown parameter: 'response_format.json_schema.strict'."), 2),
    "Ollama: schema": (lambda b: is_json(b, "json_schema"), 500, {"error": "invalid JSON schema in format"}, 3),
    "Gemini: anyOf, without a reason": (lambda b: "anyOf" in schema_of(b), 400,
        google("Request contains an invalid argument."), 2),
    "json_schema, without a reason": (lambda b: is_json(b, "json_schema"), 400, vllm(""), 3),
    "any format, without a reason": (is_json, 422, {"detail": "Unprocessable Entity"}, 4),
    "system and alternation, without a reason": (lambda b: has_system(b), 400, vllm(""), 5),
    "OpenRouter: parameters": (is_json, 404,
        {"error": {"message": "No endpoints found that can handle the requested parameters.", "code": 404}}, 4),
    "vLLM with Gemma: system": (has_system, 400, vllm("System role not supported"), 2),
    "llama.cpp with Gemma: system": (has_system, 500, {"error": {"code": 500, "message": "System role not supported"}}, 2),
    "Gemini with Gemma: system": (has_system, 400, google("Developer instruction is not enabled for models/gemma-3-27b-it"), 2),
    "vLLM with Mistral: system": (has_system, 400,
        vllm("Conversation roles must alternate user/assistant/user/assistant/..."), 2),
    "Mistral: user and assistant only": (has_system, 400, vllm("Only user and assistant roles are supported!"), 2),
    "everything at once, one at a time": (
        lambda b: next((n for n in ("seed", "temperature", "max_tokens", "max_completion_tokens") if n in b), None), 400, None, 5),
}  # fmt: skip


def refusing(refused: Refused, status: int, body: Any, then: Policy = happy) -> Policy:
    def policy(request: JsonDict, attempt: int) -> Scripted:
        found = refused(request)
        if not found:
            return then(request, attempt)
        words = body if body is not None else openai(f"Unrecognized request argument supplied: {found}")
        return Scripted(status=status, raw=json.dumps(words).encode())

    return policy


async def ask(client: LlmClient, text: str = "Is it?", **rest: Any) -> Reply[Verdict]:
    messages = [CONVERSATION[0], {"role": "user", "content": text}]
    return await client.complete(messages, purpose="test", schema=Verdict, seed=3, **rest)


@pytest.mark.parametrize("case", REFUSALS)
def test_what_a_server_refuses_is_left_out_from_then_on(case: str, tmp_path: Path) -> None:
    refused, status, body, needed = REFUSALS[case]
    calls = tmp_path / "llm_calls.jsonl"

    async def twice(client: LlmClient) -> list[Verdict | None]:
        return [(await ask(client, text)).parsed for text in ("first", "second")]

    with serve(refusing(refused, status, body)) as server:
        live = with_client(server, calls, twice)
        assert len(server.requests) == needed + 1, [request.body for request in server.requests]
        assert None not in live
        assert with_client(server, calls, twice) == live and len(server.requests) == needed + 1
        with_client(server, calls, lambda client: ask(client, "third"))
        assert len(server.requests) == needed + 2, "a resumed run knows it"
    assert with_client(server, calls, twice, replay_only=True) == live
    last = server.requests[-1].body
    assert "You judge." in last["messages"][0]["content"] and "third" in last["messages"][-1]["content"]


def test_many_calls_in_flight_learn_each_refusal_once_and_replay(tmp_path: Path) -> None:
    calls = tmp_path / "llm_calls.jsonl"
    refused = refusing(HAS_LIMITS, 400, vllm("failed to parse grammar"))
    refused = refusing(lambda b: "seed" in b, 422, fastapi("seed"), then=refused)

    async def all_at_once(client: LlmClient) -> list[Verdict | None]:
        return [r.parsed for r in await asyncio.gather(*(ask(client, f"question {number}") for number in range(20)))]

    with serve(refused, delay=0.02) as server:
        live = with_client(server, calls, all_at_once)
    assert None not in live and is_json(server.requests[-1].body, "json_schema")
    assert with_client(server, calls, all_at_once, replay_only=True) == live


def test_calls_that_differ_in_a_seed_the_server_refuses_stay_different_calls(tmp_path: Path) -> None:
    calls = tmp_path / "llm_calls.jsonl"

    async def repeats(client: LlmClient) -> list[str]:
        ends = [await client.complete(CONVERSATION, purpose="test", schema=Verdict, seed=seed) for seed in range(3)]
        return [reply.request_sha256 for reply in ends]

    with serve(refusing(lambda b: "seed" in b, 422, fastapi("seed"))) as server:
        live = with_client(server, calls, repeats)
    assert len(set(live)) == 3 and len(server.requests) == 4
    assert with_client(server, calls, repeats, replay_only=True) == live


def test_messages_of_one_role_in_a_row_are_joined_where_the_template_wants_it(tmp_path: Path) -> None:
    messages = [*CONVERSATION, {"role": "user", "content": "And this?"}]
    refused = refusing(has_neighbours, 400, vllm("roles must alternate user/assistant/user/assistant/..."))
    with serve(refused) as server:
        with_client(server, tmp_path / "calls", lambda client: client.complete(messages, purpose="test"))
    assert server.requests[-1].body["messages"] == [CONVERSATION[0], {"role": "user", "content": "Is it?\n\nAnd this?"}]


TOOL_REFUSALS = [
    (400, {"error": {"message": "registry.ollama.ai/library/gemma:latest does not support tools"}}),
    (400, vllm('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set')),
    (500, {"error": {"code": 500, "message": "tools param requires --jinja flag", "type": "server_error"}}),
    (404, {"error": {"message": "No endpoints found that support tool use.", "code": 404}}),
    (400, google("Function calling is not enabled for models/gemma-3-27b-it")),
    (422, fastapi("tool_choice")),
    (400, vllm("")),
]


@pytest.mark.parametrize(("status", "body"), TOOL_REFUSALS)
def test_a_server_without_tools_is_asked_otherwise_whatever_its_words(status: int, body: Any, tmp_path: Path) -> None:
    async def work(client: LlmClient) -> bool:
        with pytest.raises(ToolsUnsupported):
            await client.complete(CONVERSATION, purpose="test", tools=[TOOL])
        return client.supports_tools

    with serve(refusing(lambda b: "tools" in b, status, body)) as server:
        assert with_client(server, tmp_path / "calls", work) is False
        assert with_client(server, tmp_path / "calls", work) is False and len(server.requests) == 1


def test_a_refusal_without_a_reason_that_no_plainer_request_escapes_teaches_nothing(tmp_path: Path) -> None:
    calls = tmp_path / "llm_calls.jsonl"

    async def work(client: LlmClient) -> list[str]:
        ends: list[str] = []
        for text in ("fine before", "bad", "bad too", "fine after"):
            try:
                ends.append(str((await ask(client, text)).parsed))
            except LlmFailure as failure:
                ends.append(f"{failure} ({failure.attempts} attempts)")
        return ends

    with serve(refusing(lambda b: "bad" in b["messages"][-1]["content"], 400, vllm("no"))) as server:
        live = with_client(server, calls, work)
    assert "bad_request: HTTP 400: no" in live[1] and "(5 attempts)" in live[1] and "(1 attempts)" in live[2]
    assert is_json(server.requests[-1].body, "json_schema") and "seed" in server.requests[-1].body
    assert with_client(server, calls, work, replay_only=True) == live


def test_a_refusal_that_names_something_else_is_not_guessed_about(tmp_path: Path) -> None:
    words = openai("Invalid value: 'wizard'.", "messages[0].role")
    with serve(refusing(lambda b: True, 400, words)) as server, pytest.raises(LlmFailure, match="wizard"):
        with_client(server, tmp_path / "calls", ask)
    assert len(server.requests) == 1


def test_what_the_server_would_not_take_is_told_in_sentences(tmp_path: Path) -> None:
    refused = refusing(lambda b: "temperature" in b, 400, openai("no temperature", "temperature"))
    refused = refusing(lambda b: "seed" in b, 422, fastapi("seed"), then=refused)

    async def work(client: LlmClient) -> dict[str, tuple[str, ...]]:
        await ask(client)
        return client.notes

    with serve(refused) as server:
        notes = with_client(server, tmp_path / "calls", work)["stub"]
    assert [note.split(":")[0] for note in notes] == [
        "replies are unseeded",
        "replies are at the server's own temperature",
    ]


def test_a_prompt_cut_in_silence_fails_as_too_long_for_the_context_and_replays(tmp_path: Path) -> None:
    calls = tmp_path / "llm_calls.jsonl"
    usage = {"prompt_tokens": 300, "completion_tokens": 5}

    def cutting(body: JsonDict, attempt: int) -> Scripted:
        message = {"role": "assistant", "content": happy(body, attempt).content}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return Scripted(raw=json.dumps({"choices": [choice], "usage": usage}).encode())

    async def end(client: LlmClient) -> tuple[str, int, int]:
        try:
            await ask(client, "The heart has four chambers. " * 200)
        except LlmFailure as failure:
            return failure.type, failure.attempts, failure.usage.input_tokens if failure.usage else 0
        raise AssertionError("no failure")

    with serve(cutting) as server:
        live = with_client(server, calls, end)
    assert live == ("context_length", 1, 300), "it is paid for all the same"
    assert with_client(server, calls, end, replay_only=True) == live
