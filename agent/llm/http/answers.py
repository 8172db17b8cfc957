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
_MESSAGE = frozenset(
    {"role", "content", "refusal", "reasoning_content", "reasoning", "thinking", "tool_calls", "function_call"}
)
_COUNTS = (
    "prompt_tokens", "completion_tokens", "total_tokens", "cache_read_input_tokens", "prompt_cache_hit_tokens",
)  # fmt: skip
_DETAILS = {"prompt_tokens_details": ("cached_tokens",), "completion_tokens_details": ("reasoning_tokens",)}
"""Fields that are read by anyone, here or when a run is shown; no others are stored."""
_LONGEST_NAME = 200
"""Of the model that says it answered."""


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
    body = cast("dict[str, Any]", _without_secrets(stream.body(), redacted))
    choices = cast("list[dict[str, Any]]", body.get("choices", []))
    choice = choices[0] if choices else {}
    error = body.get("error")
    if error:
        return trouble_of(status_in({**body, "error": error}), json.dumps({"error": error}), {}, redacted)
    if not stream.finished:
        return Trouble("connection", "the reply's body is not whole: it broke off in transfer", again=True)
    if not choices:
        return _without_choice(stream.beginning, redacted)
    if str(choice.get("finish_reason")).lower() in _BROKEN_ENDS:
        return Trouble("server_error", f"the server gave up within the reply: {choice['finish_reason']}", again=True)
    return _encodable(
        {
            "message": {name: value for name, value in choice["message"].items() if name in _MESSAGE},
            "finish_reason": choice.get("finish_reason"),
            "model": model[:_LONGEST_NAME] if isinstance(model := body.get("model"), str) else None,
            "usage": _counts(body.get("usage")),
        }
    )


def _without_secrets(value: JsonValue, redacted: Callable[[str], str]) -> JsonValue:
    """The value with secrets taken out of its texts.

    They are looked for in what was read: JSON spells a text in many ways, and a secret of digits may stand in an escape.
    """
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, list):
        return [_without_secrets(inner, redacted) for inner in value]
    if isinstance(value, dict):
        return {redacted(key): _without_secrets(inner, redacted) for key, inner in value.items()}
    return value


def _counts(usage: object) -> JsonValue:
    """What is counted of the tokens; figures of other kinds are the server's own."""
    if not isinstance(usage, dict):
        return None
    fields = cast("dict[str, Any]", usage)
    parts = {name: fields[name] for name in _DETAILS if isinstance(fields.get(name), dict)}
    kept: dict[str, JsonValue] = {name: fields[name] for name in _COUNTS if isinstance(fields.get(name), int)}
    for name, part in parts.items():
        kept[name] = {one: part[one] for one in _DETAILS[name] if isinstance(part.get(one), int)}
    return kept


def _without_choice(text: str, redacted: Callable[[str], str]) -> Trouble:
    """A 200 that is an error in a form of its own, or nothing at all."""
    try:
        body: object = json.loads(text)
    except (ValueError, RecursionError):
        body = {}
    if isinstance(body, list) and len(cast("list[object]", body)) == 1:
        body = body[0]
    fields = cast("Mapping[str, Any]", body if isinstance(body, dict) else {})
    if any(name in fields for name in ("message", "detail", "msg", "error_msg", "errors")):
        return trouble_of(status_in(fields), text, {}, redacted)
    return Trouble("server_error", f"HTTP 200 without a choice: {redacted(text)[:200]}", again=True)


def _encodable(reply: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The reply with half surrogate pairs, which no UTF-8 file can hold, replaced by question marks."""
    spelt = json.dumps(reply, ensure_ascii=False)
    try:
        spelt.encode()
    except UnicodeEncodeError:
        return json.loads(spelt.encode("utf-8", "replace"))
    return reply
