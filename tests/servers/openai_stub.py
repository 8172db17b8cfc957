"""The shipped stand-in endpoint, told to misbehave: a server on loopback whose every reply a *policy* decides.

A policy is a function of the request body and of how often that body has come, from 1. `serve` runs a server in a thread
of its own for a test; by hand it is

    python -m tests.servers.openai_stub --port 8000 --script rate_limited
    OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=any python -m agent.run

Beside what `agent.llm.stub` does it scripts errors, headers and broken bodies, refuses what the real server refuses, and
keeps every request for assertions.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import itertools
import json
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any, Literal, NamedTuple

from agent.llm.stub.replies import JsonDict, Reply, answer, instance_of, obey, refuse
from agent.llm.stub.server import Request, StandIn, chunk, completion, head_of, list_models, parse_body, pieces_of


@dataclass(frozen=True)
class Scripted(Reply):
    """One reply, and its damage. `{key}` in `content` and in the error's message becomes the bearer token the request carried."""

    finish_reason: str | None = None
    """None for what the rest implies."""
    refusal: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    delay: float = 0.0
    """Seconds before anything is sent."""
    raw: bytes | None = None
    """Sent as the body, whatever the other fields say."""
    reset_after: int | None = None
    """The connection is reset after this many bytes of the body."""
    hang: bool = False
    """No answer ever comes."""
    usage: bool = True
    pace: float = 0.0
    """Seconds between the pieces of a streamed reply."""
    silent_after: int | None = None
    """Nothing comes after so many pieces."""
    thoughts: int = 0
    """Tokens that the usage tells of as thoughts."""
    pieces: tuple[bytes, ...] | None = None
    """Set by the server: the body as it is streamed."""
    scripted_raw: bool = False
    """Set by the server: the body was given, and is sent as it is."""


Policy = Callable[[JsonDict, int], Scripted]


class Recorded(NamedTuple):
    """One request as it came."""

    sha256: str
    """Of the body as it came."""
    body: JsonDict
    attempt: int
    key: str
    at: float
    """Monotonic seconds."""
    headers: Mapping[str, str] = {}
    """By name in lower case."""
    streamed: bool = False
    """Whether a stream was asked for."""


# --- policies ---------------------------------------------------------------------------------------------------------


def happy(body: JsonDict, attempt: int) -> Scripted:
    """Does what it is asked: one call of the first tool, then the answer."""
    return Scripted(**vars(obey(body)))


def failing(
    status: int,
    message: str = "scripted failure",
    code: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Policy:
    """Always that status, with the real server's error body."""
    reply = Scripted(**vars(refuse(status, message, code, param)), headers=headers or {})
    return lambda body, attempt: reply


def saying(content: str | None = None, **rest: Any) -> Policy:
    """Always that reply."""
    return lambda body, attempt: Scripted(content=content, **rest)


def wrapping(before: str, after: str) -> Policy:
    """The right answer with text around it."""
    return lambda body, attempt: Scripted(content=before + answer(body) + after)


def broken(**damage: Any) -> Policy:
    """The right answer, with `reset_after`, `hang` or another field damaged."""
    return lambda body, attempt: replace(happy(body, attempt), **damage)


def at_first(bad: Policy, times: int = 1, then: Policy = happy) -> Policy:
    """`bad` for the first `times` of each body, then another policy."""
    return lambda body, attempt: bad(body, attempt) if attempt <= times else then(body, attempt)


def refusing(*words: str, then: Policy = happy) -> Policy:
    """400 for a body that has one of these fields, or a response_format of one of these types."""

    def policy(body: JsonDict, attempt: int) -> Scripted:
        kind = body.get("response_format", {}).get("type")
        found = [word for word in words if body.get(word) is not None or kind == word]
        if not found:
            return then(body, attempt)
        param = "response_format" if found[0] == kind else found[0]
        return failing(400, f"'{param}' of this kind ({found[0]}) is not supported", param=param)(body, attempt)

    return policy


def _date_soon(body: JsonDict, attempt: int) -> Scripted:
    return failing(429, headers={"Retry-After": formatdate(time.time() + 1, usegmt=True)})(body, attempt)


def _extra_field(body: JsonDict, attempt: int) -> Scripted:
    return Scripted(content=json.dumps({**json.loads(answer(body)), "surprise": 1}))


def _missing_field(body: JsonDict, attempt: int) -> Scripted:
    whole = json.loads(answer(body))
    return Scripted(content=json.dumps(dict(itertools.islice(whole.items(), 1, None))))


def _calling(name: str | None, arguments: str | None) -> Policy:
    """Always a tool call; None takes what the request offers."""

    def policy(body: JsonDict, attempt: int) -> Scripted:
        function = body["tools"][0]["function"] if body.get("tools") else {"name": "none", "parameters": {}}
        fitting = json.dumps(instance_of(function["parameters"]))
        return Scripted(calls=((name or function["name"], fitting if arguments is None else arguments),))

    return policy


SCRIPTS: dict[str, Policy] = {
    "happy": happy,
    "rate_limited": failing(429, "Rate limit reached", "rate_limit_exceeded"),
    "rate_limited_seconds": failing(429, "Rate limit reached", headers={"Retry-After": "1"}),
    "rate_limited_date": _date_soon,
    "insufficient_quota": failing(429, "You exceeded your current quota", "insufficient_quota"),
    "server_error": failing(500, "The server had an error"),
    "unavailable": failing(503, "Overloaded", headers={"Retry-After": "0"}),
    "gateway_page": saying(status=502, raw=b"<html><body>Bad Gateway</body></html>"),
    "hang": broken(hang=True),
    "reset": broken(reset_after=20),
    "truncated_body": saying(raw=b'{"id": "chatcmpl-1", "object": "chat.completion", "choices": [{"mess'),
    "error_in_200": saying(raw=b'{"error": {"message": "provider is overloaded", "code": 503}}'),
    "fenced": wrapping("```json\n", "\n```"),
    "prose": wrapping("Here is my answer:\n", "\nI hope this helps."),
    "two_objects": wrapping('{"draft": true}\n', ""),
    "cut_json": lambda body, attempt: Scripted(content=answer(body)[:-2]),
    "wrong_schema": _missing_field,
    "extra_field": _extra_field,
    "unknown_word": lambda body, attempt: Scripted(content=answer(body, word="perhaps")),
    "no_json": saying("I would rather not say it in JSON."),
    "empty": saying(""),
    "no_choice": saying(raw=b'{"id": "chatcmpl-1", "object": "chat.completion", "choices": []}'),
    "refusal": saying(refusal="I can't help with that."),
    "content_filter": saying("I", finish_reason="content_filter"),
    "length": lambda body, attempt: Scripted(content=answer(body)[:10], finish_reason="length"),
    "context_length": failing(400, "This model's maximum context length is 8192 tokens.", "context_length_exceeded"),
    "bad_request": failing(400, "Invalid value: 'wizard'. Supported roles are 'user'.", "invalid_value", "messages[0]"),
    "authentication": failing(401, "Incorrect API key provided: {key}", "invalid_api_key"),
    "forbidden": failing(403, "Project may not use this model"),
    "not_found": failing(404, "The model does not exist", "model_not_found"),
    "unprocessable": failing(422, "Unprocessable"),
    "unknown_tool": _calling("launch_rocket", "{}"),
    "invalid_arguments": _calling(None, '{"text": '),
    "tool_loop": _calling(None, None),
    "no_json_schema": refusing("json_schema"),
    "no_response_format": refusing("json_schema", "json_object"),
    "no_tools": refusing("tools"),
    "no_sampling": refusing("max_tokens", "temperature"),
    "key_echo": failing(400, "Bad header 'Authorization: Bearer {key}'"),
    "no_usage": broken(usage=False),
}
"""Replies and misbehaviours by name; each is for ever, `at_first` makes it pass."""


def mixed(body: JsonDict, attempt: int) -> Scripted:
    """Half of all bodies are served, each of the others meets one misbehaviour, chosen by its content."""
    number = int.from_bytes(hashlib.sha256(json.dumps(body["messages"]).encode()).digest()[:4], "big")
    names = sorted(SCRIPTS.keys() - {"happy", "hang", "mixed"})
    return happy(body, attempt) if number % 2 else SCRIPTS[names[number // 2 % len(names)]](body, attempt)


SCRIPTS["mixed"] = mixed


# --- the server -------------------------------------------------------------------------------------------------------


class StubServer(StandIn):
    """The server; `requests` and `counts` grow as it works.

    Args:
        policy: what to reply.
        delay: seconds added to every reply.
        keep: keep the requests' bodies; without it only `counts` grows, for measurements of memory.
        models: names that it lists.
        probing: what it replies to a client that only looks whether it is there; such requests stand in `probes` alone.
        streaming: whether it streams when asked to, ignores it, or refuses it, with the usage or altogether.
        root: where it is served; a base URL ends in it.
    """

    def __init__(
        self,
        policy: Policy,
        delay: float = 0.0,
        keep: bool = True,
        models: Sequence[str] = (),
        probing: Policy | None = None,
        streaming: Literal["yes", "ignored", "no usage", "no"] = "yes",
        root: str = "/v1",
    ) -> None:
        super().__init__(obey, delay, root, models)
        self.policy = policy
        self.keep = keep
        self.probing = probing or saying("OK")
        self.streaming = streaming
        self.probes: list[Recorded] = []
        self.listed = 0
        """Times the models were asked for."""
        self.requests: list[Recorded] = []
        self.counts: Counter[str] = Counter()
        self.in_flight = 0
        self.peak_in_flight = 0

    async def serve(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One reply; False when the connection is gone."""
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            reply = self._reply(request.method, request.path, request.data, request.headers)
            await asyncio.sleep(self.delay + reply.delay)
            if reply.hang:
                await reader.read()
                return False
            if reply.pieces is not None:
                return await _stream(writer, reader, reply)
            return await _write(writer, reply)
        finally:
            self.in_flight -= 1

    def _reply(self, method: str, path: str, data: bytes, headers: Mapping[str, str]) -> Scripted:
        if (method, path) == ("GET", f"{self.root}/models"):
            self.listed += 1
            return Scripted(raw=list_models(self.models))
        if (method, path) != ("POST", f"{self.root}/chat/completions"):
            return _sealed(failing(404, f"Invalid URL ({method} {path})")({}, 1), {}, "")
        body = parse_body(data)
        if body is None:
            return _sealed(failing(400, "We could not parse the JSON body of your request.")({}, 1), {}, "")
        stream, options = body.pop("stream", False), body.pop("stream_options", None)
        if stream and (self.streaming == "no" or (options and self.streaming == "no usage")):
            field = "stream" if self.streaming == "no" else "stream_options"
            return _sealed(failing(400, f"Unknown field: {field}", param=field)(body, 1), body, "")
        # What is hashed and counted is the request as content: how its reply is sent is no part of it.
        sha256 = hashlib.sha256(json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()
        key = headers.get("authorization", "").removeprefix("Bearer ")
        probe = is_probe(body)
        self.counts[sha256] += not probe
        seen = Recorded(sha256, body, self.counts[sha256], key, time.monotonic(), headers, bool(stream))
        if self.keep:
            (self.probes if probe else self.requests).append(seen)
        wrong = _objection(body)
        policy = self.probing if probe else self.policy
        reply = failing(400, wrong)(body, 1) if wrong else policy(body, self.counts[sha256])
        reply = _sealed(reply, body, key)
        streamed = stream and self.streaming != "ignored" and reply.status == 200 and not reply.scripted_raw
        return replace(reply, pieces=pieces_of(reply.raw or b"", bool(options))) if streamed else reply


def is_probe(body: JsonDict) -> bool:
    """Whether a client only looks whether somebody is there."""
    messages = body.get("messages") or [{}]
    return len(messages) == 1 and messages[0].get("content") == "Reply with OK."


def _sealed(reply: Scripted, body: JsonDict, key: str) -> Scripted:
    """The reply with its body."""
    return replace(reply, scripted_raw=reply.raw is not None, raw=_body(body, reply, key))


def _objection(body: JsonDict) -> str | None:
    """What the real server would not accept, whatever the policy."""
    messages = body.get("messages")
    if not body.get("model") or not messages:
        return "you must provide a model parameter and messages"
    offered: set[str] = set()
    for message in messages:
        offered |= {call["id"] for call in message.get("tool_calls") or ()}
        if message["role"] == "tool" and message.get("tool_call_id") not in offered:
            return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
    response_format = body.get("response_format", {"type": "text"})
    if response_format["type"] == "json_object" and "json" not in json.dumps(messages).lower():
        return "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
    if response_format["type"] == "json_schema" and response_format["json_schema"].get("strict"):
        return _schema_objection(response_format["json_schema"]["schema"])
    return None


def _schema_objection(part: Any) -> str | None:
    """What strict mode does not accept in a schema."""
    if isinstance(part, list):
        return next(filter(None, map(_schema_objection, part)), None)
    if not isinstance(part, dict):
        return None
    if isinstance(part.get("properties"), dict):
        if part.get("additionalProperties") is not False:
            return "Invalid schema for response_format: 'additionalProperties' is required to be supplied and false."
        if list(part["properties"]) != part.get("required"):
            return "Invalid schema for response_format: 'required' must include every key in properties."
    return next(filter(None, map(_schema_objection, part.values())), None)


def _body(request: JsonDict, reply: Scripted, key: str) -> bytes:
    if reply.raw is not None:
        return reply.raw
    if reply.error is not None:
        return json.dumps({"error": {**reply.error, "message": reply.error["message"].replace("{key}", key)}}).encode()
    body = completion(request, reply.content.replace("{key}", key) if reply.content is not None else None, reply.calls)
    (choice,), usage = body["choices"], body["usage"]
    choice["message"]["refusal"] = reply.refusal
    choice["finish_reason"] = reply.finish_reason or choice["finish_reason"]
    if reply.thoughts:
        usage["completion_tokens"] += reply.thoughts
        usage["completion_tokens_details"] = {"reasoning_tokens": reply.thoughts}
    if not reply.usage:
        del body["usage"]
    return json.dumps(body).encode()


async def _write(writer: asyncio.StreamWriter, reply: Scripted) -> bool:
    body = reply.raw or b""
    usual = {"Content-Type": "application/json", "Content-Length": str(len(body)), "x-request-id": "req_stub"}
    head = head_of(reply.status, usual | dict(reply.headers))
    writer.write(head + (body if reply.reset_after is None else body[: reply.reset_after]))
    await writer.drain()
    return True if reply.reset_after is None else await _reset(writer)


async def _stream(writer: asyncio.StreamWriter, reader: asyncio.StreamReader, reply: Scripted) -> bool:
    """Server-sent events, each a chunk of its own."""
    usual = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}
    writer.write(head_of(200, usual | dict(reply.headers)))
    sent = 0
    for number, piece in enumerate(reply.pieces or ()):
        if number == reply.silent_after:
            await reader.read()
            return False
        if reply.reset_after is not None and sent + len(piece) > reply.reset_after:
            writer.write(chunk(piece[: reply.reset_after - sent]))
            return await _reset(writer)
        writer.write(chunk(piece))
        sent += len(piece)
        if reply.pace:
            await writer.drain()
            await asyncio.sleep(reply.pace)
    writer.write(chunk(b""))
    await writer.drain()
    return True


async def _reset(writer: asyncio.StreamWriter) -> bool:
    await writer.drain()
    await asyncio.sleep(0.01)  # so that the client has read the head before the reset
    # Linger 0 turns the close into a reset.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


@contextlib.contextmanager
def serve(
    policy: Policy, delay: float = 0.0, keep: bool = True, kind: type[StubServer] = StubServer, **more: Any
) -> Iterator[StubServer]:
    """A running server, in a thread with a loop of its own, stopped at the end."""
    stub = kind(policy, delay, keep, **more)
    started: Future[Callable[[], object]] = Future()

    async def run() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        server = await stub.start()
        started.set_result(lambda: loop.call_soon_threadsafe(ended.set))
        await ended.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    stop = started.result(timeout=10)
    try:
        yield stub
    finally:
        stop()
        thread.join(timeout=10)


def main() -> None:
    """Serve by hand until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers.openai_stub", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--script", choices=sorted(SCRIPTS), default="happy")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each reply")
    arguments = parser.parse_args()
    stub = StubServer(SCRIPTS[arguments.script], arguments.delay, keep=False)

    async def run() -> None:
        server = await stub.start(arguments.port)
        sys.stdout.write(f"{stub.base_url} answers by {arguments.script}; stop it with Ctrl-C\n")
        sys.stdout.flush()
        await server.serve_forever()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


if __name__ == "__main__":
    main()
