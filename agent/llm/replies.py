"""A reply as the agent reads it: text, a record, or tool calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Generic, Self, TypeVar, cast

from pydantic import BaseModel, JsonValue

from agent.llm.dialect import RULES
from agent.llm.errors import LlmFailure
from agent.llm.prices import estimate_tokens
from agent.llm.reading.contents import (
    Said,
    ToolCall,
    answer_in_thoughts,
    ending_of,
    first_version_text,
    said_in,
    tool_calls_in,
)
from agent.llm.records import FailureType, LlmCall, Usage
from tools.border.json_text import canonical_json
from tools.records import Record

S = TypeVar("S", bound=BaseModel)

_MOST_CHARACTERS = 500
_MOST_TOKENS = 10**9
CIRCLE = "without end"
"""In the message of a reply that ran in a circle."""
_TAIL, _TURNS, _SEEN = 1500, 3, 80
"""Characters looked at for a circle, the least turns that make one, and how many characters show where a turn begins."""


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
    rules: int = RULES
    """Of the version by which it is read; see `LlmCall.rules`."""

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


def find_circle(text: str) -> str | None:
    """What a text repeats without end at its end; None if it does not.

    Small models run in circles at temperature 0, most of all inside a grammar that bounds no text.
    """
    tail, longest = text[-_TAIL:], _TAIL // _TURNS
    if len(tail) < _TAIL:
        return None
    period = tail.find(tail[:_SEEN], 1)
    while 0 < period <= longest:
        if tail[period:] == tail[:-period]:
            return tail[:period]
        period = tail.find(tail[:_SEEN], period + 1)
    return None


def _say_circle(text: str) -> str:
    turn = find_circle(text)
    if turn is None:
        return ""
    return f": it repeats {turn[:40]!r} {CIRCLE}; try --temperature 0.7, or another model"


def read_reply(call: LlmCall, *, cached: bool) -> Reply[Any]:
    """The reply in a stored call, by the rules of its time.

    Raises:
        LlmFailure: the call failed, or its reply is a refusal, was cut by a filter or at its limit, holds something that
            is no text, or is empty.
    """
    if call.failure is not None:
        raise LlmFailure(call.failure.type, call.failure.message, call.failure.attempts, call.usage)
    reply = call.reply or {}
    message = cast("dict[str, JsonValue]", reply["message"])
    first = call.rules < RULES
    said = Said(first_version_text(message.get("content"))) if first else said_in(message.get("content"))
    finish_reason = reply.get("finish_reason")
    ending = finish_reason if first else ending_of(finish_reason)
    offered = _offered(call.request)
    tool_calls = () if offered is None else tool_calls_in(message, strict=first, text=said.text, offered=offered)
    text = said.text if said.text.strip() or tool_calls or first else answer_in_thoughts(message, finish_reason)

    def failure(type: FailureType, words: str) -> LlmFailure:
        return LlmFailure(type, words, call.attempts, call.usage)

    if refusal := message.get("refusal") or said.refusal:
        raise failure("refusal", str(refusal)[:_MOST_CHARACTERS])
    if ending == "content_filter":
        raise failure("content_filter", "the server's content filter cut the reply")
    if ending == "length":
        why = "" if first else _say_circle(text)
        raise failure("length", f"the reply was cut at its limit after {call.usage.output_tokens} tokens{why}")
    if said.foreign:
        raise failure("unparseable", f"the reply holds a part that is no text: {said.foreign}")
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
        rules=call.rules,
    )


def _offered(request: Mapping[str, JsonValue]) -> list[str] | None:
    """The names of the tools in a request; None if it has none."""
    tools = request.get("tools")
    return [tool["function"]["name"] for tool in cast("list[Any]", tools)] if isinstance(tools, list) else None


def reported_tokens(reply: Mapping[str, JsonValue]) -> tuple[int, int] | None:
    """Input and output tokens as the server counted them; None if it did not, or counted more than there can be."""
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        return None
    tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if all(type(count) is int and 0 <= count <= _MOST_TOKENS for count in tokens):
        return cast("tuple[int, int]", tokens)
    return None


def estimated_tokens(request: Mapping[str, JsonValue], reply: Mapping[str, JsonValue]) -> tuple[int, int]:
    """Input and output tokens by the length of what was said."""
    return estimate_tokens(canonical_json(dict(request))), estimate_tokens(canonical_json(reply["message"]))
