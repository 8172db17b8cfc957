"""How bodies travel: streamed, bounded, slowed down, and with secrets in no other place."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.llm.calls import CallStore
from agent.llm.client import LlmClient
from agent.llm.http.connection import MOST_BYTES
from agent.llm.http.troubles import Trouble
from agent.llm.http.wire import Wire
from agent.llm.records import LlmCall
from agent.llm.settings import LlmSettings, read_headers, without_values
from tests.servers.openai_stub import Policy, StubServer, at_first, broken, failing, happy, saying, serve

WORDS = "The kidneys filter the blood, and the heart moves it around."
BODY = b'{"model":"stub","messages":[{"role":"user","content":"Is it?"}]}'
SECRET = "planted-0123456789"


def settings(server: StubServer, **rest: Any) -> LlmSettings:
    given: dict[str, Any] = {"backoff_s": 0.001, "max_attempts": 3, "timeout_seconds": 5, **rest}
    return LlmSettings(model="stub", base_url=server.base_url, **given)


def send(
    server: StubServer, *bodies: bytes, told: Callable[[str], object] = lambda line: None, **rest: Any
) -> list[Any]:
    """What each body brings, one after the other."""

    async def run() -> list[Any]:
        wire = Wire(settings(server, **rest), told)
        try:
            return [(await wire.send(body))[0] for body in bodies or (BODY,)]
        finally:
            await wire.aclose()

    return asyncio.run(run())


def answer(policy: Policy, **rest: Any) -> Any:
    with serve(policy) as server:
        return send(server, **rest)[0]


# --- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streaming", ["yes", "ignored", "no usage", "no"])
def test_a_reply_is_the_same_however_the_server_sends_it(streaming: str) -> None:
    with serve(saying(WORDS), streaming=streaming) as server:
        reply, again = send(server, BODY, BODY)
    assert reply["message"]["content"] == WORDS
    assert (reply["finish_reason"], reply["model"]) == ("stop", "stub")
    assert (reply["usage"] is None) == (streaming == "no usage")
    assert again == reply


@pytest.mark.parametrize(("streaming", "asked"), [("yes", 2), ("no usage", 2), ("no", 2)])
def test_what_the_server_refuses_of_streaming_is_asked_for_once(streaming: str, asked: int) -> None:
    with serve(happy, streaming=streaming) as server:
        send(server, BODY, BODY)
    assert len(server.requests) == asked
    assert {request.streamed for request in server.requests} == {streaming != "no"}


def test_what_is_stored_and_hashed_does_not_tell_how_the_reply_was_sent(tmp_path: Path) -> None:
    async def ask(server: StubServer, file: Path) -> None:
        async with LlmClient(settings(server), CallStore(file)) as client:
            await client.complete([{"role": "user", "content": "Is it?"}], purpose="test")

    lines: list[LlmCall] = []
    for streaming in ("yes", "ignored"):
        with serve(saying(WORDS), streaming=streaming) as server:
            asyncio.run(ask(server, tmp_path / streaming))
        assert server.requests[0].streamed
        lines.append(LlmCall.model_validate_json((tmp_path / streaming).read_bytes()))
    one, other = lines
    assert "stream" not in one.request and (one.request_sha256, one.request) == (other.request_sha256, other.request)
    assert one.reply and other.reply
    assert {"role": "assistant", **one.reply["message"]}["content"] == WORDS == other.reply["message"]["content"]  # type: ignore[dict-item, index, call-overload]
    assert {k: v for k, v in one.reply.items() if k != "message"} == {
        k: v for k, v in other.reply.items() if k != "message"
    }


def test_a_call_tells_when_it_was_sent_and_how_long_it_took(tmp_path: Path) -> None:
    async def ask(server: StubServer) -> None:
        async with LlmClient(settings(server), CallStore(tmp_path / "calls")) as client:
            await client.complete([{"role": "user", "content": "Is it?"}], purpose="test")

    with serve(happy, delay=0.2) as server:
        asyncio.run(ask(server))
    call = LlmCall.model_validate_json((tmp_path / "calls").read_bytes())
    assert call.sent and call.sent.startswith("20") and call.sent.endswith("+00:00")
    assert call.seconds is not None and 0.2 <= call.seconds < 5


# --- silence ----------------------------------------------------------------------------------------------------------


def test_a_slow_reply_is_no_silence() -> None:
    began = time.monotonic()
    reply = answer(saying(WORDS, pace=0.15), timeout_seconds=0.6)
    assert reply["message"]["content"] == WORDS
    assert time.monotonic() - began > 0.6


def test_a_server_that_falls_silent_in_the_middle_is_given_up() -> None:
    trouble = answer(saying(WORDS, silent_after=3), timeout_seconds=0.2)
    assert (trouble.type, trouble.message) == ("timeout", "no word from the server for 0.2 s")


def test_a_server_that_never_ends_is_given_up_too() -> None:
    trouble = answer(saying(WORDS * 20, pace=0.05), timeout_seconds=5, total_s=0.3, max_attempts=1)
    assert (trouble.type, trouble.message) == ("timeout", "no whole reply within 0.3 s")


def test_a_request_is_given_up_after_three_silences_however_many_attempts_it_has() -> None:
    with serve(broken(hang=True)) as server:
        send(server, timeout_seconds=0.1, max_attempts=9)
    assert len(server.requests) == 3


def test_silence_lowers_how_many_are_asked_at_once_and_says_so_in_a_line() -> None:
    told: list[str] = []

    async def run(server: StubServer) -> None:
        wire = Wire(settings(server, timeout_seconds=0.2, concurrency=8), told.append)
        await asyncio.gather(*(wire.send(BODY[:-1] + b',"seed":%d}' % seed) for seed in range(8)))
        await wire.aclose()

    with serve(at_first(broken(hang=True))) as server:
        asyncio.run(run(server))
    assert told == ["no word from the server for 0.2 s: at most 4 at once from now on"]
    assert len(server.requests) == 16


# --- what is not read -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_its_target_is_named(status: int) -> None:
    with (
        serve(happy) as elsewhere,
        serve(
            saying(
                status=status,
                raw=b"",
                headers={"Location": f"http://user:pw@{elsewhere.base_url[7:]}/chat/completions"},
            )
        ) as server,
    ):
        (trouble,) = send(server)
        assert not elsewhere.requests and not elsewhere.probes
    assert trouble.type == "not_found" and not trouble.again
    assert f"HTTP {status}" in trouble.message and elsewhere.base_url[7:-3] in trouble.message
    assert "pw" not in trouble.message


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("packed", [False, True])
def test_a_body_that_never_ends_is_not_read_to_its_end(status: int, packed: bool) -> None:
    raw = b'{"choices": "' + b"x" * (MOST_BYTES + 10) + b'"}'
    headers = {"Content-Encoding": "gzip"} if packed else {}
    trouble = answer(saying(status=status, raw=gzip.compress(raw) if packed else raw, headers=headers))
    assert (trouble.type, trouble.again) == ("server_error", False)
    assert "8,388,608 bytes" in trouble.message


def test_a_page_for_people_is_no_reply() -> None:
    trouble = answer(saying(raw=b"<!doctype html><title>Log in</title>"))
    assert trouble.type == "server_error" and "page for people" in trouble.message


# --- headers ----------------------------------------------------------------------------------------------------------


def test_a_header_reaches_the_server_and_no_file_message_or_text(tmp_path: Path) -> None:
    seen: list[str] = []

    async def ask(server: StubServer) -> None:
        chosen = settings(server, header_values={"X-Team": SECRET}, headers=("X-Team",))
        seen.extend([repr(chosen), chosen.model_dump_json()])
        async with LlmClient(chosen, CallStore(tmp_path / "calls")) as client:
            seen.append((await client.complete([{"role": "user", "content": "?"}], purpose="test")).text)

    with serve(saying(f"They sent {SECRET}.")) as server:
        asyncio.run(ask(server))
    assert server.requests[0].headers["x-team"] == SECRET
    seen.append((tmp_path / "calls").read_text())
    assert not any(SECRET in text for text in seen)
    assert seen[2] == "They sent [X-Team]."


def test_an_authorization_of_ones_own_goes_instead_of_the_key() -> None:
    with serve(happy) as server:
        send(server, api_key="sk-key", header_values={"authorization": "Basic abc"})
    assert server.requests[0].headers["authorization"] == "Basic abc"


@pytest.mark.parametrize(
    "given", ["X-Team", "=x", "X Team=x", "X-Team=", "X-Team=a\nb", "X-Team=ä", "Host=x", "Content-Length=1"]
)
def test_what_is_no_header_is_refused_without_its_value(given: str) -> None:
    with pytest.raises(ValueError, match=r"header") as caught:
        read_headers([given])
    assert "\n" not in str(caught.value)


def test_a_value_may_have_equals_signs() -> None:
    assert read_headers(["X-A=b=c==", "x-d = e"]) == {"X-A": "b=c==", "x-d": "e"}


def test_a_command_line_is_stored_without_the_values() -> None:
    command = ["--header", f"X-A={SECRET}", f"--header=X-B={SECRET}=", "--sae", "base"]
    stored = without_values(command, [f"X-A={SECRET}", f"X-B={SECRET}="])
    assert stored == ["--header", "X-A=[secret]", "--header=X-B=[secret]", "--sae", "base"]


def test_what_is_sent_is_the_body_and_how_to_reply() -> None:
    with serve(happy) as server:
        send(server, json.dumps({"model": "stub", "messages": [{"role": "user", "content": "a"}], "seed": 1}).encode())
    (request,) = server.requests
    assert request.body == {"model": "stub", "messages": [{"role": "user", "content": "a"}], "seed": 1}


def test_a_refusal_for_another_reason_is_asked_once() -> None:
    with serve(failing(400, "no")) as server:
        (trouble,) = send(server)
    assert isinstance(trouble, Trouble) and len(server.requests) == 1


def test_a_broken_stream_is_tried_again() -> None:
    cut = lambda body, attempt: replace(saying(WORDS)(body, attempt), reset_after=200)  # noqa: E731
    with serve(at_first(cut, then=saying(WORDS))) as server:
        (reply,) = send(server)
    assert reply["message"]["content"] == WORDS and len(server.requests) == 2
