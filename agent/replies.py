"""A reply as the agent reads it: text, a record, or tool calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Generic, Self, TypeVar, cast

from pydantic import BaseModel, JsonValue
from pydantic_core import from_json

from agent.errors import FailureType, LlmFailure
from agent.prices import estimate_tokens
from agent.records import LlmCall, Usage
from agent.store import canonical_json
from tools.records import Record

S = TypeVar("S", bound=BaseModel)

_MOST_CHARACTERS = 500


class ToolCall(Record):
    """One tool the model wants called."""

    id: str
    name: str
    """As the model wrote it: it may be no tool of ours."""
    arguments: str
    """As the model wrote them."""
    parsed: dict[str, JsonValue] | None
    """None if they are no JSON object."""

    def result(self, text: str) -> dict[str, JsonValue]:
        """The message that gives the model the tool's result."""
        return {"role": "tool", "tool_call_id": self.id, "content": text}


class Reply(Record, Generic[S]):
    """A usable reply: text, an instance of the schema asked for, or tool calls."""

    text: str
    parsed: S | None = None
    """None if no schema was asked for, or if the reply is tool calls."""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None
    usage: Usage
    """Of the repair round too; as of the first time for a call that was not sent again."""
    usage_estimated: bool
    """The server reported none; the tokens are an estimate."""
    request_sha256: str
    """Of the last request if there was a repair round, which holds the first reply."""
    attempts: int
    """HTTP requests made for it, now or when it was first sent."""
    repaired: bool = False
    cached: bool
    """Nothing was sent."""

    def after(self, first: Reply[Any]) -> Self:
        """This reply as the outcome of a repair round, with what the first one took added to it."""
        return self.model_copy(
            update={
                "repaired": True,
                "usage": first.usage + self.usage,
                "usage_estimated": first.usage_estimated or self.usage_estimated,
                "attempts": first.attempts + self.attempts,
                "cached": first.cached and self.cached,
            }
        )

    def message(self) -> dict[str, JsonValue]:
        """The assistant's message, for the next request.

        Arguments that do not parse are wrapped: servers that read them would refuse the whole conversation.
        """
        message: dict[str, JsonValue] = {"role": "assistant", "content": self.text}
        if self.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {
                        "name": call.name,
                        "arguments": call.arguments
                        if call.parsed is not None
                        else json.dumps({"unparseable": call.arguments}),
                    },
                }
                for call in self.tool_calls
            ]
        return message


def read_reply(call: LlmCall, *, cached: bool) -> Reply[Any]:
    """The reply in a stored call.

    Raises:
        LlmFailure: the call failed, or its reply is a refusal, was cut by a filter or at its limit, or is empty.
    """
    if call.failure is not None:
        raise LlmFailure(call.failure.type, call.failure.message, call.failure.attempts, call.usage)
    reply = call.reply or {}
    message = cast("dict[str, JsonValue]", reply["message"])
    finish_reason = reply.get("finish_reason")
    text = _text(message.get("content"))
    tool_calls = _tool_calls(message.get("tool_calls")) if "tools" in call.request else ()

    def failure(type: FailureType, words: str) -> LlmFailure:
        return LlmFailure(type, words, call.attempts, call.usage)

    if message.get("refusal"):
        raise failure("refusal", str(message["refusal"])[:_MOST_CHARACTERS])
    if finish_reason == "content_filter":
        raise failure("content_filter", "the server's content filter cut the reply")
    if finish_reason == "length":
        raise failure("length", f"the reply was cut at its limit after {call.usage.output_tokens} tokens")
    if not text.strip() and not tool_calls:
        raise failure("empty", "the reply has neither text nor a call of a tool on offer")
    return Reply(
        text=text,
        tool_calls=tool_calls,
        finish_reason=finish_reason if isinstance(finish_reason, str) else None,
        usage=call.usage,
        usage_estimated=reported_tokens(reply) is None,
        request_sha256=call.request_sha256,
        attempts=call.attempts,
        cached=cached,
    )


def reported_tokens(reply: Mapping[str, JsonValue]) -> tuple[int, int] | None:
    """Input and output tokens as the server counted them; None if it did not."""
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        return None
    tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if all(type(count) is int and count >= 0 for count in tokens):
        return cast("tuple[int, int]", tokens)
    return None


def estimated_tokens(request: Mapping[str, JsonValue], reply: Mapping[str, JsonValue]) -> tuple[int, int]:
    """Input and output tokens by the length of what was said."""
    return estimate_tokens(canonical_json(dict(request))), estimate_tokens(canonical_json(reply["message"]))


def _text(content: JsonValue) -> str:
    """Content as text; some servers send it in parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _tool_calls(value: JsonValue) -> tuple[ToolCall, ...]:
    calls: list[ToolCall] = []
    for number, item in enumerate(value if isinstance(value, list) else []):
        function = item.get("function") if isinstance(item, dict) else None
        if isinstance(item, dict) and isinstance(function, dict):
            given = function.get("arguments")
            raw = given if isinstance(given, str) else canonical_json(given or {})
            name = str(function.get("name") or "")
            calls.append(
                ToolCall(id=str(item.get("id") or f"call_{number}"), name=name, arguments=raw, parsed=_object(raw))
            )
    return tuple(calls)


def _object(raw: str) -> dict[str, JsonValue] | None:
    try:
        value = from_json(raw.strip() or "{}", allow_inf_nan=False)
    except ValueError:
        return None
    return cast("dict[str, JsonValue]", value) if isinstance(value, dict) else None
