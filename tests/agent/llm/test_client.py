"""The client against a real HTTP server on loopback that misbehaves in every way known."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from pathlib import Path
from typing import Any, Literal, TypeVar

import openai
import pytest
from pydantic import BaseModel, Field, ValidationError

from agent.llm.calls import CallStore
from agent.llm.client import LlmClient
from agent.llm.errors import LlmFailure
from agent.llm.http.pacing import RateWindow
from agent.llm.http.troubles import retry_after, trouble_of
from agent.llm.prices import PriceTable
from agent.llm.records import Usage
from agent.llm.replies import Reply
from agent.llm.requests import ToolSpec, ToolsUnsupported
from agent.llm.settings import LlmSettings
from tests.servers.openai_stub import (
    SCRIPTS,
    JsonDict,
    Policy,
    Scripted,
    StubServer,
    answer,
    at_first,
    failing,
    happy,
    refusing,
    saying,
    serve,
)

T = TypeVar("T")
KEY = "sk-planted-0123456789abcdef"
REPAIR = "Your last reply could not be used"
TOOL = ToolSpec(
    name="activate",
    description="Activation on a text.",
    parameters={
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    },
)


class Verdict(BaseModel):
    reasons: str
    relevant: Literal["yes", "no", "undecided"]
    confidence: float = Field(ge=0, le=1)


def user(text: str) -> list[JsonDict]:
    return [{"role": "user", "content": text}]


def settings(server: StubServer, **rest: Any) -> LlmSettings:
    given: dict[str, Any] = {"backoff_s": 0.001, "max_attempts": 3, "timeout_seconds": 5, "api_key": KEY, **rest}
    return LlmSettings(model="stub", base_url=server.base_url, **given)


def with_client(server: StubServer, path: Path, work: Callable[[LlmClient], Coroutine[Any, Any, T]], **rest: Any) -> T:
    replay_only = rest.pop("replay_only", False)

    async def run() -> T:
        async with LlmClient(settings(server, **rest), CallStore(path, replay_only=replay_only)) as client:
            return await work(client)

    return asyncio.run(run())


async def ask(client: LlmClient, text: str = "Is it?", **rest: Any) -> Reply[Verdict]:
    return await client.complete(user(text), purpose="test", schema=Verdict, **rest)


def outcome(policy: Policy, path: Path, **rest: Any) -> Reply[Verdict] | LlmFailure:
    """What one question meets."""
    with serve(policy) as server:
        try:
            return with_client(server, path, ask, **rest)
        except LlmFailure as failure:
            return failure


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return tmp_path / "llm_calls.jsonl"


def is_repair(body: JsonDict) -> bool:
    return REPAIR in str(body["messages"][-1]["content"])


# --- replies and failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", ["happy", "fenced", "prose", "no_json_schema", "no_response_format", "no_usage"])
def test_reply_is_parsed_whatever_is_around_the_json(script: str, calls: Path) -> None:
    reply = outcome(SCRIPTS[script], calls)
    assert isinstance(reply, Reply)
    assert reply.parsed == Verdict(reasons="stub", relevant="yes", confidence=0.5)
    assert (reply.repaired, reply.cached, reply.attempts) == (False, False, 1)
    assert reply.usage.calls == 1 and reply.usage.input_tokens > 0
    assert reply.usage_estimated == (script == "no_usage")


ENDS = {
    "rate_limited": ("rate_limited", 3),
    "insufficient_quota": ("insufficient_credit", 1),
    "server_error": ("server_error", 3),
    "unavailable": ("server_error", 3),
    "gateway_page": ("server_error", 3),
    "error_in_200": ("server_error", 3),
    "no_choice": ("server_error", 3),
    "reset": ("connection", 3),
    "truncated_body": ("connection", 3),
    "hang": ("timeout", 3),
    "bad_request": ("bad_request", 1),
    "unprocessable": ("bad_request", 4),  # without a reason: asked again in plainer ways
    "key_echo": ("bad_request", 4),
    "context_length": ("context_length", 1),
    "authentication": ("authentication", 1),
    "forbidden": ("authentication", 1),
    "not_found": ("not_found", 1),
    "refusal": ("refusal", 1),
    "content_filter": ("content_filter", 1),
    "length": ("length", 1),
    "empty": ("empty", 1),
    "no_json": ("unparseable", 2),
    "two_objects": ("unparseable", 2),
    "cut_json": ("unparseable", 2),
    "wrong_schema": ("wrong_schema", 2),
    "extra_field": ("wrong_schema", 2),
    "unknown_word": ("wrong_schema", 2),
    "tool_loop": ("empty", 1),  # a call of a tool nobody offered
}


@pytest.mark.parametrize(("script", "end"), ENDS.items(), ids=ENDS)
def test_misbehaviour_ends_as_its_own_failure(script: str, end: tuple[str, int], calls: Path) -> None:
    failure = outcome(SCRIPTS[script], calls, timeout_seconds=0.15 if script == "hang" else 5)
    assert isinstance(failure, LlmFailure)
    assert (failure.type, failure.attempts) == end
    calls_made = {"unparseable": 2, "wrong_schema": 2}.get(end[0], end[1] if end[0] == "bad_request" else 1)
    assert failure.usage is not None and failure.usage.calls == calls_made


@pytest.mark.parametrize("script", [name for name, end in ENDS.items() if end[1] == 3 and name != "hang"])
def test_what_passes_is_tried_again(script: str, calls: Path) -> None:
    reply = outcome(at_first(SCRIPTS[script], times=2), calls)
    assert isinstance(reply, Reply) and reply.parsed and reply.attempts == 3


def test_a_timeout_that_passes_is_tried_again(calls: Path) -> None:
    # The limit is generous for the second attempt's sake: it must hold on a busy machine.
    reply = outcome(at_first(SCRIPTS["hang"]), calls, timeout_seconds=2)
    assert isinstance(reply, Reply) and reply.parsed and reply.attempts == 2


@pytest.mark.parametrize("script", [name for name, end in ENDS.items() if end[0] in ("unparseable", "wrong_schema")])
def test_a_reply_that_does_not_fit_is_repaired_once(script: str, calls: Path) -> None:
    def policy(body: JsonDict, attempt: int) -> Scripted:
        return happy(body, attempt) if is_repair(body) else SCRIPTS[script](body, attempt)

    with serve(policy) as server:
        reply = with_client(server, calls, ask)
    assert reply.parsed and reply.repaired and reply.usage.calls == reply.attempts == 2
    question, own, complaint = server.requests[1].body["messages"]
    assert question["content"] == "Is it?"
    assert own == {"role": "assistant", "content": SCRIPTS[script](server.requests[0].body, 1).content}
    assert complaint["role"] == "user" and '"relevant"' in complaint["content"]


def test_failure_in_the_repair_round_counts_both_calls(calls: Path) -> None:
    def policy(body: JsonDict, attempt: int) -> Scripted:
        return SCRIPTS["refusal" if is_repair(body) else "no_json"](body, attempt)

    failure = outcome(policy, calls)
    assert isinstance(failure, LlmFailure)
    assert (failure.type, failure.attempts, failure.usage and failure.usage.calls) == ("refusal", 2, 2)


def test_refused_connection_is_a_connection_failure(calls: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server = StubServer(happy)
        server.port = unused.getsockname()[1]
        with pytest.raises(LlmFailure) as caught:
            with_client(server, calls, ask)
    assert (caught.value.type, caught.value.attempts) == ("connection", 3)


def test_half_a_surrogate_pair_does_not_stop_the_store(calls: Path) -> None:
    raw = b'{"choices": [{"message": {"role": "assistant", "content": "a\\ud800b"}, "finish_reason": "stop"}]}'
    with serve(saying(raw=raw)) as server:
        reply = with_client(server, calls, lambda client: client.complete(user("?"), purpose="test"))
    assert reply.text == "a?b" and reply.parsed is None


@pytest.mark.parametrize(
    ("status", "body", "type", "words"),
    [
        (400, '{"error": "prompt is too long"}', "context_length", "HTTP 400: prompt is too long"),
        (
            400,
            '{"object": "error", "message": "maximum context length is 4096", "code": 400}',
            "context_length",
            "4096",
        ),
        (422, '{"detail": [{"loc": ["body", "seed"], "msg": "forbidden"}]}', "bad_request", '"seed"'),
        (400, '{"error": {"message": "filtered", "code": "content_filter"}}', "content_filter", "filtered"),
        (404, "<h1>\n  nothing here </h1>", "not_found", "<h1> nothing here </h1>"),
        (403, "", "authentication", "no text"),
        (400, '{"error": {"message": "half a pair: \\ud800"}}', "bad_request", "half a pair: ?"),
        (400, "[1]", "bad_request", "[1]"),
    ],
)
def test_error_bodies_of_other_servers_are_read(status: int, body: str, type: str, words: str) -> None:
    trouble = trouble_of(status, body, {})
    assert trouble.type == type and words in trouble.message and not trouble.again


def test_odd_forms_of_replies_are_read(calls: Path) -> None:
    function = {"name": "activate", "arguments": {"text": "a"}}
    message: JsonDict = {"content": [{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}]}
    message["tool_calls"] = [{"function": function}, {"id": "x", "function": {"name": "activate", "arguments": ""}}]
    raw = json.dumps({"choices": [{"message": message}]}).encode()
    with serve(saying(raw=raw)) as server:
        reply = with_client(server, calls, lambda client: client.complete(user("?"), purpose="test", tools=[TOOL]))
    assert reply.text == "in parts" and reply.usage_estimated and reply.finish_reason is None
    assert [(call.id, call.parsed) for call in reply.tool_calls] == [("call_0", {"text": "a"}), ("x", {})]


# --- waiting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "0.3"}, 0.3, 5),
        ({"Retry-After-Ms": "300"}, 0.3, 5),
        ({"Retry-After": "3600"}, 0.4, 5),
        ({"Retry-After": formatdate(0, usegmt=True)}, 0, 5),
        ({"Retry-After": "soon"}, 0, 5),
    ],
    ids=["seconds", "milliseconds", "capped", "past date", "not understood"],
)
def test_retry_after_is_honoured_up_to_the_cap(headers: dict[str, str], least: float, most: float, calls: Path) -> None:
    with serve(at_first(failing(429, headers=headers))) as server:
        reply = with_client(server, calls, ask, max_wait_s=0.4)
    assert reply.attempts == 2
    assert least <= server.requests[1].at - server.requests[0].at < most


def test_retry_after_as_a_date_is_seconds_from_now() -> None:
    assert retry_after({"retry-after": formatdate(time.time() + 30, usegmt=True)}) == pytest.approx(30, abs=1.5)
    assert retry_after({"retry-after": "Thu, 99 Nov 2026 12:00:00 GMT"}) is None
    assert retry_after({}) is None


def test_waits_double_up_to_the_longest_and_are_spread() -> None:
    chosen = LlmSettings(model="stub")
    longest = [chosen.wait_s(attempt, None, 1.0) for attempt in range(1, 9)]
    assert longest == [1, 2, 4, 8, 16, 32, 60, 60]
    assert [chosen.wait_s(attempt, None, 0.0) for attempt in range(1, 9)] == [wait / 2 for wait in longest]
    assert chosen.wait_s(1, 3600, 0.0) == 60


def test_rate_window_never_lets_more_through_in_any_stretch() -> None:
    async def run() -> list[float]:
        window = RateWindow(4, seconds=0.3)
        times: list[float] = []

        async def one() -> None:
            await window.turn()
            times.append(time.monotonic())

        await asyncio.gather(*(one() for _ in range(14)))
        return times

    times = asyncio.run(run())
    assert all(later - earlier > 0.2 for earlier, later in zip(times, times[4:], strict=False))


def test_requests_per_minute_holds_back_the_next_request(calls: Path) -> None:
    async def work(client: LlmClient) -> None:
        await ask(client, "first")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await ask(client, "second")

    with serve(happy) as server:
        with_client(server, calls, work, requests_per_minute=1)
    assert len(server.requests) == 1


def test_no_more_than_the_concurrency_are_on_their_way(calls: Path) -> None:
    with serve(happy, delay=0.02) as server:
        with_client(
            server,
            calls,
            lambda client: asyncio.gather(*(ask(client, f"question {number}") for number in range(40))),
            concurrency=7,
        )
    assert 1 < server.peak_in_flight <= 7 and len(server.requests) == 40


class SlowDisk(CallStore):
    """A store whose every write lasts until it is let go on."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.going = threading.Event()

    def _append(self, lines: bytes) -> None:
        assert self.going.wait(10)
        super()._append(lines)


def test_no_more_replies_than_the_concurrency_wait_for_a_slow_disk(calls: Path) -> None:
    async def work(server: StubServer) -> int:
        store = SlowDisk(calls)
        async with LlmClient(settings(server, concurrency=3), store) as client:
            asking = asyncio.gather(*(ask(client, f"question {number}") for number in range(30)))
            while len(server.requests) < 3 or server.in_flight:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            asked = len(server.requests)
            store.going.set()
            await asking
            return asked

    with serve(happy) as server:
        assert 3 <= asyncio.run(work(server)) <= 2 * 3 - 1, "beside those under way: a kill would cost them all"
        assert len(server.requests) == 30


# --- what a server does not understand --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "formats"),
    [
        ("no_json_schema", ["json_schema", "json_object", "json_object"]),
        ("no_response_format", ["json_schema", "json_object", None, None]),
    ],
)
def test_descent_is_remembered_by_client_and_store(script: str, formats: list[str | None], calls: Path) -> None:
    async def twice(client: LlmClient) -> list[Verdict | None]:
        return [(await ask(client, text)).parsed for text in ("first", "second")]

    with serve(SCRIPTS[script]) as server:
        live = with_client(server, calls, twice)
        sent = len(server.requests)
        resumed = with_client(server, calls, twice)
        assert len(server.requests) == sent
        with_client(server, calls, lambda client: ask(client, "third"))
        assert len(server.requests) == sent + 1
    assert [request.body.get("response_format", {}).get("type") for request in server.requests[:sent]] == formats
    assert live == resumed == [Verdict(reasons="stub", relevant="yes", confidence=0.5)] * 2
    instruction = server.requests[-1].body["messages"]
    assert len(instruction) == 1 and instruction[0]["content"].startswith("third\n\nReply with exactly one JSON")


def test_calls_in_flight_during_the_descent_all_succeed_and_replay_in_any_order(calls: Path) -> None:
    texts = [f"question {number}" for number in range(30)]

    async def all_at_once(client: LlmClient) -> list[Verdict | None]:
        return [reply.parsed for reply in await asyncio.gather(*(ask(client, text) for text in texts))]

    async def backwards(client: LlmClient) -> list[Verdict | None]:
        return [(await ask(client, text)).parsed for text in reversed(texts)][::-1]

    with serve(SCRIPTS["no_response_format"]) as server:
        live = with_client(server, calls, all_at_once, concurrency=30)
        assert max(server.counts.values()) == 1
    assert with_client(server, calls, backwards, replay_only=True) == live
    assert None not in live


def test_replies_from_before_the_descent_are_still_found(calls: Path) -> None:
    def policy(body: JsonDict, attempt: int) -> Scripted:
        second = body["messages"][0]["content"].startswith("second")
        return SCRIPTS["no_json_schema" if second else "happy"](body, attempt)

    async def work(client: LlmClient) -> list[Reply[Verdict]]:
        return [await ask(client, text) for text in ("first", "second", "first")]

    with serve(policy) as server:
        live = with_client(server, calls, work)
        assert len(server.requests) == 3 and live[2] == live[0].model_copy(update={"cached": True})
        replayed = with_client(server, calls, work, replay_only=True)
    assert [reply.request_sha256 for reply in replayed] == [reply.request_sha256 for reply in live]


def test_models_that_refuse_max_tokens_and_temperature_are_asked_without(calls: Path) -> None:
    def policy(body: JsonDict, attempt: int) -> Scripted:
        if "max_tokens" in body:
            words = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return failing(400, words, "unsupported_parameter", "max_tokens")(body, attempt)
        return refusing("temperature")(body, attempt)

    async def twice(client: LlmClient) -> list[Reply[Verdict]]:
        return [await ask(client, text) for text in ("first", "second")]

    with serve(policy) as server:
        assert all(reply.parsed for reply in with_client(server, calls, twice))
    assert len(server.requests) == 4
    last = server.requests[-1].body
    assert last["max_completion_tokens"] == 2000 and not {"max_tokens", "temperature"} & last.keys()


def test_a_bad_schema_of_ours_would_be_noticed_by_the_server(calls: Path) -> None:
    with serve(happy) as server:
        with_client(server, calls, ask)
    sent = server.requests[0].body["response_format"]["json_schema"]
    assert sent["strict"] is True and sent["name"] == "Verdict"
    assert list(sent["schema"]["properties"]) == ["reasons", "relevant", "confidence"]


# --- tools ------------------------------------------------------------------------------------------------------------


async def converse(client: LlmClient) -> tuple[Reply[Verdict], Reply[Verdict]]:
    messages = user("Find out.")
    first = await client.complete(messages, purpose="test", schema=Verdict, tools=[TOOL])
    results = [call.result("0.7") for call in first.tool_calls]
    second = [*messages, first.message(), *results]
    return first, await client.complete(second, purpose="test", schema=Verdict, tools=[TOOL])


def test_tool_call_comes_with_raw_and_parsed_arguments_and_its_result_goes_back(calls: Path) -> None:
    with serve(happy) as server:
        first, second = with_client(server, calls, converse)
    assert first.parsed is None and first.finish_reason == "tool_calls"
    (call,) = first.tool_calls
    assert (call.name, call.parsed) == ("activate", {"text": "stub"}) and json.loads(call.arguments) == call.parsed
    assert second.parsed and not second.tool_calls
    assert server.requests[1].body["messages"][-1] == {"role": "tool", "tool_call_id": call.id, "content": "0.7"}


def test_unknown_tool_and_invalid_arguments_are_shown_to_the_caller_not_failures(calls: Path) -> None:
    with serve(SCRIPTS["unknown_tool"]) as server:
        first, _ = with_client(server, calls, converse)
        assert first.tool_calls[0].name == "launch_rocket"
    with serve(SCRIPTS["invalid_arguments"]) as server:
        first, second = with_client(server, calls.with_name("other.jsonl"), converse)
    assert first.tool_calls[0].parsed is None and first.tool_calls[0].arguments == '{"text": '
    assert second.tool_calls
    echoed = server.requests[1].body["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(echoed) == {"unparseable": '{"text": '}


def test_a_tool_loop_is_the_callers_to_end(calls: Path) -> None:
    async def three(client: LlmClient) -> list[int]:
        messages, counts = user("Find out."), []
        for _ in range(3):
            reply = await client.complete(messages, purpose="test", tools=[TOOL])
            messages = [*messages, reply.message(), *(call.result("0") for call in reply.tool_calls)]
            counts.append(len(reply.tool_calls))
        return counts

    with serve(SCRIPTS["tool_loop"]) as server:
        assert with_client(server, calls, three) == [1, 1, 1]


def test_server_without_tools_is_signalled_once_and_remembered(calls: Path) -> None:
    async def work(client: LlmClient) -> list[str]:
        met: list[str] = []
        for text in ("first", "second"):
            try:
                await ask(client, text, tools=[TOOL])
            except ToolsUnsupported:
                met.append("unsupported")
            met.append((await ask(client, text)).text)
        assert not client.supports_tools
        return met

    with serve(SCRIPTS["no_tools"]) as server:
        live = with_client(server, calls, work)
        assert sum("tools" in request.body for request in server.requests) == 1
        sent = len(server.requests)
        assert with_client(server, calls, work) == live
        assert len(server.requests) == sent
    assert with_client(server, calls, work, replay_only=True) == live
    assert live[0] == live[2] == "unsupported"


def test_refusal_after_tools_were_accepted_is_a_bad_request(calls: Path) -> None:
    def policy(body: JsonDict, attempt: int) -> Scripted:
        bad = failing(400, "tool_calls[0]: invalid", param="messages")
        return bad(body, attempt) if body["messages"][0]["content"] == "second" else happy(body, attempt)

    async def work(client: LlmClient) -> str:
        await ask(client, "first", tools=[TOOL])
        with pytest.raises(LlmFailure) as caught:
            await ask(client, "second", tools=[TOOL])
        assert client.supports_tools
        return str(caught.value)

    with serve(policy) as server:
        live = with_client(server, calls, work)
    assert with_client(server, calls, work, replay_only=True) == live
    assert live.startswith("bad_request: HTTP 400")


# --- the memory of calls ----------------------------------------------------------------------------------------------


def test_the_same_request_is_sent_once_and_counts_the_same_each_time(calls: Path) -> None:
    async def work(client: LlmClient) -> list[Reply[Verdict]]:
        first = await ask(client)
        together = await asyncio.gather(*(ask(client, "together") for _ in range(5)))
        return [first, await ask(client), *together]

    with serve(happy, delay=0.05) as server:
        first, second, *together = with_client(server, calls, work)
        resumed = with_client(server, calls, ask)
    assert len(server.requests) == 2
    assert (first.cached, second.cached, resumed.cached) == (False, True, True)
    assert first.usage == second.usage == resumed.usage
    assert Counter(reply.cached for reply in together) == {False: 1, True: 4}
    assert first.request_sha256 == server.requests[0].sha256


def test_repeats_with_other_seeds_are_other_calls(calls: Path) -> None:
    async def work(client: LlmClient) -> set[str]:
        return {(await ask(client, seed=seed)).request_sha256 for seed in (1, 2, 1)}

    with serve(happy) as server:
        assert len(with_client(server, calls, work)) == 2
    assert [request.body["seed"] for request in server.requests] == [1, 2]


@pytest.mark.parametrize("script", ["happy", *ENDS])
def test_replay_without_network_gives_the_same_reply_or_failure(script: str, calls: Path) -> None:
    live = outcome(SCRIPTS[script], calls, timeout_seconds=0.1 if script == "hang" else 5)
    before = calls.read_bytes()
    nowhere = StubServer(happy)  # not started: any request would fail otherwise than recorded
    nowhere.port = 9
    try:
        again: Reply[Verdict] | LlmFailure = with_client(nowhere, calls, ask, replay_only=True, api_key=None)
    except LlmFailure as failure:
        again = failure
    assert calls.read_bytes() == before
    if isinstance(live, Reply):
        assert again == live.model_copy(update={"cached": True})
    else:
        assert isinstance(again, LlmFailure)
        assert (again.type, again.message, again.attempts, again.usage) == (
            live.type,
            live.message,
            live.attempts,
            live.usage,
        )


def test_replay_of_a_call_never_made_is_its_own_failure(calls: Path) -> None:
    with serve(happy) as server:
        with_client(server, calls, ask)
        with pytest.raises(LlmFailure) as caught:
            with_client(server, calls, lambda client: ask(client, "another"), replay_only=True)
    assert (caught.value.type, caught.value.attempts) == ("replay_missing", 0)
    assert len(server.requests) == 1


def test_resume_tries_stored_failures_again_and_repeats_no_reply(calls: Path) -> None:
    async def work(client: LlmClient) -> list[str]:
        met: list[str] = []
        for text in ("good", "bad"):
            try:
                met.append((await ask(client, text)).text[:1])
            except LlmFailure as failure:
                met.append(failure.type)
        return met

    def policy(body: JsonDict, attempt: int) -> Scripted:
        first_try = attempt <= 3 and body["messages"][0]["content"] == "bad"
        return failing(503)(body, attempt) if first_try else happy(body, attempt)

    with serve(policy) as server:
        assert with_client(server, calls, work) == ["{", "server_error"]
        assert with_client(server, calls, work, replay_only=True) == ["{", "server_error"]
        assert with_client(server, calls, work) == ["{", "{"]
        assert with_client(server, calls, work, replay_only=True) == ["{", "{"]
    assert sorted(server.counts.values()) == [1, 4]


def test_a_caller_that_gives_up_leaves_its_paid_reply_in_the_store(calls: Path) -> None:
    async def work(client: LlmClient) -> Reply[Verdict]:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await ask(client)
        await asyncio.sleep(0.3)
        return await ask(client)

    with serve(happy, delay=0.15) as server:
        assert with_client(server, calls, work).cached
    assert len(server.requests) == 1


def test_closing_drops_what_is_in_flight(calls: Path) -> None:
    async def work(client: LlmClient) -> asyncio.Task[Reply[Verdict]]:
        waiting = asyncio.create_task(ask(client))
        await asyncio.sleep(0.1)
        return waiting

    with serve(SCRIPTS["hang"]) as server:
        start = time.monotonic()
        waiting = with_client(server, calls, work, timeout_seconds=60)
    assert waiting.cancelled() and time.monotonic() - start < 30
    assert not calls.exists()


# --- money ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [{"budget_tokens": 30}, {"budget_usd": 0.00001}])
def test_spent_budget_sends_nothing_more_and_replays_alike(budget: dict[str, float], calls: Path) -> None:
    async def work(client: LlmClient) -> list[str]:
        met: list[str] = []
        for number in range(6):
            try:
                met.append((await client.complete(user("x" * 40 + str(number)), purpose="test")).text)
            except LlmFailure as failure:
                met.append(str(failure))
        return met

    prices = calls.with_name("prices.toml")
    prices.write_text("[models]\nstub = { input = 0.4, output = 0.8 }\n")
    with serve(saying("four")) as server:
        live = with_client(server, calls, work, prices=prices, **budget)
        assert len(server.requests) < 6
        sent = len(server.requests)
        assert with_client(server, calls, work, prices=prices, replay_only=True) == live
        assert live[:sent] == ["four"] * sent and all(text.startswith("budget: ") for text in live[sent:])
        assert with_client(server, calls, work, prices=prices) == ["four"] * 6


def test_a_budget_stops_calls_that_were_begun_together(calls: Path) -> None:
    async def work(client: LlmClient) -> list[str]:
        asked = (client.complete(user("x" * 40 + str(number)), purpose="test") for number in range(60))
        ends = await asyncio.gather(*asked, return_exceptions=True)
        return [end.type if isinstance(end, LlmFailure) else "reply" for end in ends]

    with serve(saying("four"), delay=0.01) as server:
        ends = Counter(with_client(server, calls, work, budget_tokens=30, concurrency=2))
    assert len(server.requests) == ends["reply"] <= 3 + 2 * 2, "three spend the budget, others were under way"
    assert ends["budget"] == 60 - ends["reply"]


def test_costs_follow_the_price_table_and_unknown_models_are_marked(calls: Path) -> None:
    with serve(saying("four" * 4)) as server:

        async def work(client: LlmClient) -> tuple[bool, bool, Usage]:
            other = client.with_model("gpt-4o-mini-2024-07-18")
            reply = await other.complete(user("x" * 400), purpose="test")
            return client.price_known, other.price_known, reply.usage

        unknown, known, usage = with_client(server, calls, work)
    assert (unknown, known) == (False, True)
    assert usage == Usage(calls=1, input_tokens=100, output_tokens=4, usd=(100 * 0.15 + 4 * 0.60) / 1e6)
    assert PriceTable.read().price("no-such-model") is None


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_the_key_reaches_the_server_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    seen: list[str] = []

    async def work(client: LlmClient) -> None:
        seen.extend([repr(client), repr(client.settings), str(client.settings.model_dump())])
        seen.append(client.settings.model_dump_json())
        await ask(client)

    for script in ("key_echo", "authentication", "rate_limited", "reset", "hang", "happy"):
        with serve(SCRIPTS[script]) as server:
            try:
                with_client(server, tmp_path / f"{script}.jsonl", work, timeout_seconds=0.15)
            except LlmFailure as failure:
                seen += [str(failure), repr(failure), failure.message]
                seen.append("".join(traceback.TracebackException.from_exception(failure, capture_locals=True).format()))
                assert failure.__context__ is None or failure.__suppress_context__
            assert {request.key for request in server.requests} == {KEY}
    reply = outcome(saying(f"The key is {KEY}."), tmp_path / "echo.jsonl")
    seen += [str(reply), "".join(file.read_text("utf-8") for file in tmp_path.iterdir())]
    seen += [caplog.text, *capfd.readouterr()]
    assert len(list(tmp_path.iterdir())) == 7
    assert not any(KEY in text or KEY[3:15] in text for text in seen)


def test_settings_reject_a_key_no_header_can_carry_without_showing_it() -> None:
    with pytest.raises(ValidationError) as caught:
        LlmSettings(model="stub", api_key="sk-plänted-secret-0001")  # type: ignore[arg-type]
    assert "secret" not in str(caught.value) + repr(caught.value)
    assert LlmSettings(model="stub", api_key=f" {KEY}\n").key == KEY  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        LlmSettings(model="stub", base_url="http://user:password@host/v1")


# --- everything at once -----------------------------------------------------------------------------------------------


def test_of_hundreds_of_calls_each_ends_as_a_reply_or_as_the_right_failure(calls: Path) -> None:
    """No verdict appears that no reply contained, and every request whose reply is stored was sent once."""
    passing = ("rate_limited", "server_error", "unavailable", "reset", "truncated_body")
    scripts = {**{name: SCRIPTS[name] for name in ("happy", "fenced", "prose", *ENDS) if name != "hang"}}
    scripts |= {f"{name} twice": at_first(SCRIPTS[name], times=2) for name in passing}
    chosen = random.Random(7).choices(sorted(scripts), k=300)
    words = itertools.cycle(["yes", "no", "undecided"])
    verdicts = {f"{number} {name}": next(words) for number, name in enumerate(chosen)}

    def policy(body: JsonDict, attempt: int) -> Scripted:
        case = body["messages"][0]["content"].split("\n")[0]
        reply = scripts[case.split(" ", 1)[1]](body, attempt)
        content = reply.content and reply.content.replace('"yes"', f'"{verdicts[case]}"')
        return Scripted(**{**vars(reply), "content": content})

    async def one(client: LlmClient, case: str) -> str:
        try:
            reply = await ask(client, case)
        except LlmFailure as failure:
            return failure.type
        assert reply.parsed is not None
        return reply.parsed.relevant

    async def every(client: LlmClient) -> dict[str, str]:
        ends = await asyncio.gather(*(one(client, case) for case in verdicts))
        return dict(zip(verdicts, ends, strict=True))

    with serve(policy) as server:
        live = with_client(server, calls, every, concurrency=64)
    for case, end in live.items():
        name = case.split(" ", 1)[1]
        assert end == (ENDS[name][0] if name in ENDS else verdicts[case]), case
    stored = [json.loads(line) for line in calls.read_text("utf-8").splitlines()]
    asked_again = {line["request_sha256"]: line["attempts"] for line in stored}
    assert asked_again == dict(server.counts)
    assert with_client(server, calls, every, replay_only=True) == live


# --- the server itself ------------------------------------------------------------------------------------------------


def test_the_library_itself_understands_the_server() -> None:
    async def work(base_url: str) -> None:
        async with openai.AsyncOpenAI(api_key=KEY, base_url=base_url, max_retries=0) as client:
            assert [model.id async for model in client.models.list()] == ["stub"]
            completion = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
            assert completion.choices[0].message.content == "stub" and completion.usage
            with pytest.raises(openai.BadRequestError):
                await client.chat.completions.create(
                    model="m", messages=[{"role": "tool", "tool_call_id": "x", "content": "?"}]
                )
            with pytest.raises(openai.NotFoundError):
                await client.embeddings.create(model="m", input="?", encoding_format="float")

    with serve(happy, models=["stub"]) as server:
        asyncio.run(work(server.base_url))


def test_the_server_starts_by_hand() -> None:
    command = [sys.executable, "-m", "tests.servers.openai_stub", "--port", "0", "--script", "happy"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[0]
            port = int(url.rsplit(":", 1)[1].split("/")[0])
            with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=5)) as connection:
                connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
                assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")
        finally:
            process.kill()


def test_obedient_replies_fit_the_schema_asked_for() -> None:
    body = {"messages": user('Fit this:\n{"type": "object", "properties": {"a": {"enum": ["x", "y"]}}}')}
    assert json.loads(answer(body)) == {"a": "x"}


def test_the_mixed_script_is_no_part_of_itself() -> None:
    form = {"type": "json_schema", "json_schema": {"schema": Verdict.model_json_schema()}}
    for number in range(300):
        body = {"model": "m", "messages": user(f"question {number}"), "response_format": form}
        assert isinstance(SCRIPTS["mixed"](body, 1), Scripted)
