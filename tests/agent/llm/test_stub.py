"""The stand-in endpoint: what a client gets from it, whole and streamed, and what a person wrote."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from agent.llm.stub.__main__ import main
from agent.llm.stub.replies import Reply, instance_of, obey, reading

ROOT = Path(__file__).parents[3]
MESSAGES = [{"role": "user", "content": "Say it."}]
SCHEMA = {"type": "object", "properties": {"word": {"enum": ["yes", "no"]}, "share": {"type": "number"}}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}
FORM = {"type": "json_schema", "json_schema": {"name": "form", "schema": SCHEMA}}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of the command, on a free one."""
    command = [sys.executable, "-m", "agent.llm.stub", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stderr is not None
        yield int(server.stdout.readline().strip().removesuffix("/v1").rsplit(":", 1)[1])
        server.send_signal(signal.SIGINT)
        assert (server.wait(timeout=20), server.stderr.read()) == (0, "")


def post(port: int, body: Any, path: str = "/v1/chat/completions") -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("POST", path, body if isinstance(body, bytes) else json.dumps(body))
        reply = connection.getresponse()
        return reply.status, reply.read()


def chosen(port: int, **body: Any) -> dict[str, Any]:
    status, data = post(port, {"model": "any", "messages": MESSAGES, **body})
    assert status == 200
    return json.loads(data)["choices"][0]


def test_it_fills_the_form_it_is_given_and_calls_the_tool_it_is_offered(port: int) -> None:
    assert chosen(port)["message"]["content"] == "stub"
    filled = chosen(port, response_format=FORM)
    assert json.loads(filled["message"]["content"]) == {"word": "yes", "share": 0.5}
    called = chosen(port, tools=[TOOL])
    assert called["finish_reason"] == "tool_calls"
    assert called["message"]["tool_calls"][0]["function"]["name"] == "look"


@pytest.mark.parametrize("more", [{}, {"response_format": FORM}, {"tools": [TOOL]}])
def test_a_stream_brings_what_the_whole_reply_says(port: int, more: dict[str, Any]) -> None:
    whole = chosen(port, **more)
    body = {"model": "any", "messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}, **more}
    status, data = post(port, body)
    *events, last = [line.removeprefix(b"data: ") for line in data.split(b"\n\n")[:-1]]
    *choices, end = [json.loads(event) for event in events]
    deltas = [event["choices"][0]["delta"] for event in choices]
    calls = [call["function"]["arguments"] for delta in deltas for call in delta.get("tool_calls", ())]
    assert (status, last) == (200, b"[DONE]")
    assert end["usage"]["total_tokens"] == end["usage"]["prompt_tokens"] + end["usage"]["completion_tokens"]
    assert "".join(delta.get("content", "") for delta in deltas) == (whole["message"]["content"] or "")
    assert "".join(calls) == "".join(c["function"]["arguments"] for c in whole["message"].get("tool_calls", ()))


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"[" * 100_000, {"model": "m"}, {"messages": MESSAGES}, {"model": 1, "messages": [1]},
     {"model": "m", "messages": MESSAGES, "tools": [1]}, {"model": "m", "messages": MESSAGES, "response_format": 7},
     {"model": "m", "messages": MESSAGES, "response_format": {"type": "json_schema"}}],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_the_next_one_served(port: int, body: Any) -> None:
    status, data = post(port, body)
    assert status == 400 and json.loads(data)["error"]["message"]
    assert chosen(port)["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "sent", [b"hello\r\n\r\n", b"POST /v1 HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"x" * 200_000 + b"\r\n\r\n"]
)
def test_what_is_no_http_ends_its_connection_alone(port: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    assert post(port, {}, "/v1/nothing")[0] == 404
    assert chosen(port)["finish_reason"] == "stop"


def test_replies_that_a_person_wrote_come_one_to_each_new_body(tmp_path: Path) -> None:
    file = tmp_path / "replies.jsonl"
    file.write_text('{"content": "one\u2028line"}\n\n{"content": {"a": 1}}', encoding="utf-8")
    reply = reading(file)
    first, second, third = ({"model": "m", "messages": [{"role": "user", "content": text}]} for text in "123")
    assert [reply(first), reply(second), reply(first)] == [
        Reply("one\u2028line"), Reply('{"a": 1}'), Reply("one\u2028line"),
    ]  # fmt: skip
    assert (reply(third).status, reply(third).error) == (
        503, {"message": "reply 3 is not written yet", "type": "invalid_request_error", "param": None, "code": None},
    )  # fmt: skip
    with file.open("a") as opened:
        opened.write('\n{"calls": [["look", {"word": "yes"}]]}\n')
    assert reply(third) == Reply(calls=(("look", '{"word": "yes"}'),))
    with file.open("a") as opened:
        opened.write("{\n")
    error = reply(third).error
    assert error and error["message"].startswith(f"{file}:5: ")


@pytest.mark.parametrize(
    "line", ["[1]", '{"contents": 1}', '{"calls": [["look"]]}', '{"calls": [["look", "text"]]}', "\x00"]
)
def test_a_file_that_holds_no_replies_is_refused_before_anything_is_served(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "replies.jsonl"
    file.write_text(line + "\n")
    assert main(["--port", "0", "--replies", str(file)]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith(f"error: {file}:1: ")


def test_a_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 2
    assert capsys.readouterr().err.startswith(f"error: cannot serve on 127.0.0.1:{port}: ")


def test_a_form_is_filled_with_the_first_that_fits() -> None:
    schema = {
        "$defs": {"part": {"const": "c"}},
        "type": "object",
        "properties": {
            "part": {"$ref": "#/$defs/part"},
            "maybe": {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 3}]},
            "many": {"type": "array", "items": {"type": "boolean"}, "minItems": 3},
        },
    }
    assert instance_of(schema) == {"part": "c", "maybe": 3, "many": [True] * 3}
    asked = {"messages": [{"role": "user", "content": f"Reply in JSON.\n{json.dumps(schema)}"}]}
    assert json.loads(obey(asked).content or "") == instance_of(schema)
