"""What an HTTP answer means: a reply, a failure worth another try, or a failure for good."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from pydantic import JsonValue

from agent.llm.http.streams import ReplyStream
from agent.llm.http.troubles import Trouble, status_in, trouble_of

_BROKEN_ENDS = ("error", "network_error", "abort", "insufficient_system_resource", "malformed_function_call", "load")
"""Finish reasons of a server that gave up in the middle."""


def answer_in(text: str) -> dict[str, JsonValue] | Trouble:
    """What the body of a 200 holds, in whatever form it was sent: see `answer_of`."""
    stream = ReplyStream()
    stream.feed(text.encode("utf-8", "surrogatepass"))
    stream.close()
    return answer_of(stream)


def answer_of(stream: ReplyStream, redacted: Callable[[str], str] = str) -> dict[str, JsonValue] | Trouble:
    """What came of a 200, once the stream is closed: the first choice's message, finish reason, model and usage.

    Otherwise trouble: the transfer broke off, the body is an error or holds one beside the choice, or there is no
    choice in it.

    Args:
        stream: fed with the whole answer, and closed.
        redacted: takes secrets out of a text; they may have been cut between two pieces, so it sees the whole.
    """
    body = cast("dict[str, Any]", json.loads(redacted(json.dumps(stream.body()))))
    choices = cast("list[dict[str, Any]]", body.get("choices", []))
    choice = choices[0] if choices else {}
    error = body.get("error")
    if error:
        return trouble_of(status_in({**body, "error": error}), json.dumps({"error": error}), {})
    if not stream.finished:
        return Trouble("connection", "the reply's body is not whole: it broke off in transfer", again=True)
    if not choices:
        return _without_choice(redacted(stream.beginning))
    if str(choice.get("finish_reason")).lower() in _BROKEN_ENDS:
        return Trouble("server_error", f"the server gave up within the reply: {choice['finish_reason']}", again=True)
    return _encodable(
        {
            "message": choice["message"],
            "finish_reason": choice.get("finish_reason"),
            "model": body.get("model"),
            "usage": body.get("usage"),
        }
    )


def _without_choice(text: str) -> Trouble:
    """A 200 that is an error in a form of its own, or nothing at all."""
    try:
        body: object = json.loads(text)
    except (ValueError, RecursionError):
        body = {}
    if isinstance(body, list) and len(cast("list[object]", body)) == 1:
        body = body[0]
    fields = cast("Mapping[str, Any]", body if isinstance(body, dict) else {})
    if any(name in fields for name in ("message", "detail", "msg", "error_msg", "errors")):
        return trouble_of(status_in(fields), text, {})
    return Trouble("server_error", f"HTTP 200 without a choice: {text[:200]}", again=True)


def _encodable(reply: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The reply with half surrogate pairs, which no UTF-8 file can hold, replaced by question marks."""
    spelt = json.dumps(reply, ensure_ascii=False)
    try:
        spelt.encode()
    except UnicodeEncodeError:
        return json.loads(spelt.encode("utf-8", "replace"))
    return reply
