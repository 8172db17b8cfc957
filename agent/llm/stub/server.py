"""The stand-in endpoint as a server: `POST /v1/chat/completions`, whole or streamed, and `GET /v1/models`, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from http.client import responses
from typing import Any, NamedTuple

from agent.llm.stub.replies import Answering, JsonDict, Reply, refuse

HOST = "127.0.0.1"
_LONGEST = 64 * 2**20
"""Most bytes of a request."""
_PIECE = 12
"""Letters of an event in a streamed reply."""


class Request(NamedTuple):
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    """By name in lower case."""
    data: bytes


class StandIn:
    """The server.

    Args:
        answering: what it answers.
        delay: seconds before every reply.
        root: where it is served; a base URL ends in it.
        models: names that it lists.
    """

    def __init__(
        self, answering: Answering, delay: float = 0.0, root: str = "/v1", models: Sequence[str] = ("stub",)
    ) -> None:
        self._answering = answering
        self.delay = delay
        self.root = root
        self.models = models
        self.port = 0

    @property
    def base_url(self) -> str:
        """What a client is given."""
        return f"http://{HOST}:{self.port}{self.root}"

    async def start(self, port: int = 0) -> asyncio.Server:
        """Listen on loopback; port 0 takes a free one."""
        server = await asyncio.start_server(self._connection, HOST, port, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone = (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError)
        with contextlib.suppress(*gone):
            while (request := await read_request(reader)) and await self.serve(request, reader, writer):
                pass
        writer.close()

    async def serve(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False when the connection is of no more use."""
        status, body, pieces = self.answer(request)
        await asyncio.sleep(self.delay)
        if pieces:
            writer.write(head_of(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}))
            writer.write(b"".join(map(chunk, (*pieces, b""))))
        else:
            writer.write(head_of(status, {"Content-Type": "application/json", "Content-Length": str(len(body))}) + body)
        await writer.drain()
        return True

    def answer(self, request: Request) -> tuple[int, bytes, tuple[bytes, ...]]:
        """Status, body, and the same body as events where a stream was asked for."""
        if (request.method, request.path) == ("GET", f"{self.root}/models"):
            return 200, list_models(self.models), ()
        if (request.method, request.path) != ("POST", f"{self.root}/chat/completions"):
            return self._sealed(refuse(404, f"Invalid URL ({request.method} {request.path})"), {})
        body = parse_body(request.data)
        if body is None or not body.get("model") or not body.get("messages"):
            return self._sealed(refuse(400, "you must provide JSON with a model parameter and messages"), {})
        stream, options = body.pop("stream", False), body.pop("stream_options", None)
        try:
            status, whole, _ = self._sealed(self._answering(body), body)
        except Exception as error:  # whatever a stranger asks for, the server is there for the next one
            return self._sealed(refuse(400, f"this request cannot be answered: {type(error).__name__}: {error}"), {})
        return status, whole, pieces_of(whole, bool(options)) if stream and status == 200 else ()

    @staticmethod
    def _sealed(reply: Reply, body: JsonDict) -> tuple[int, bytes, tuple[bytes, ...]]:
        said = {"error": reply.error} if reply.error else completion(body, reply.content, reply.calls)
        return reply.status, json.dumps(said).encode(), ()


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection; None for what is none.

    Raises:
        asyncio.IncompleteReadError: the client has gone.
    """
    head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    length, words = headers.get("content-length", "0"), head.split(" ")
    if not length.isascii() or not length.isdigit() or len(words) != 3 or int(length[:12]) > _LONGEST:
        return None
    return Request(words[0], words[1], headers, await reader.readexactly(int(length)))


def parse_body(data: bytes) -> JsonDict | None:
    """The JSON object that was sent, if it was one."""
    try:
        body: Any = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def head_of(status: int, headers: Mapping[str, str]) -> bytes:
    """The beginning of an answer, up to its empty line."""
    lines = [
        f"HTTP/1.1 {status} {responses.get(status, 'Status')}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """A piece of a body whose length nobody told beforehand; an empty one is its end."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def list_models(names: Sequence[str]) -> bytes:
    """What `GET /v1/models` says."""
    models = [{"id": name, "object": "model", "created": 0, "owned_by": "stub"} for name in names]
    return json.dumps({"object": "list", "data": models}).encode()


def completion(request: JsonDict, content: str | None, calls: Sequence[tuple[str, str]] = ()) -> JsonDict:
    """A reply as the API wraps it. A token is taken to be four letters.

    Args:
        request: the body it answers.
        content: its text.
        calls: its tool calls: name and arguments as JSON.
    """
    message: JsonDict = {"role": "assistant", "content": content, "refusal": None}
    if calls:
        message["tool_calls"] = [
            {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for number, (name, arguments) in enumerate(calls)
        ]
    finish_reason = "tool_calls" if calls else "stop"
    tokens_in = sum(len(str(message.get("content") or "")) for message in request["messages"]) // 4
    tokens_out = (len(content or "") + sum(len(arguments) for _, arguments in calls)) // 4
    total = tokens_in + tokens_out
    return {
        "id": "chatcmpl-stub",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": request["model"],
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": total},
    }


def pieces_of(whole: bytes, usage: bool) -> tuple[bytes, ...]:
    """A reply as the events in which it is streamed.

    Args:
        whole: its body.
        usage: whether the last event tells of tokens.
    """
    body = json.loads(whole)
    (choice,) = body["choices"]
    message, head = choice["message"], {"id": body["id"], "object": "chat.completion.chunk", "model": body["model"]}
    content, calls = message["content"] or "", message.get("tool_calls", ())
    deltas: list[JsonDict] = [{"role": "assistant", "content": content[:0]}]
    deltas += [{"content": content[start : start + _PIECE]} for start in range(0, len(content), _PIECE)]
    deltas += [{"refusal": message["refusal"]}] if message["refusal"] else []
    for index, call in enumerate(calls):
        function = call["function"]
        begun = {**call, "index": index, "function": {"name": function["name"], "arguments": ""}}
        deltas += [{"tool_calls": [begun]}]
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": function["arguments"]}}]}]
    events = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    if usage and "usage" in body:
        events.append({**head, "choices": [], "usage": body["usage"]})
    return (*(f"data: {json.dumps(event)}\n\n".encode() for event in events), b"data: [DONE]\n\n")
