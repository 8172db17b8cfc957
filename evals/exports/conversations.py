"""Stored calls and transcripts as the messages and model calls of an Inspect log, each a plain mapping of its fields."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from agent.folder.records import PromptRef
from agent.lines import read_lines
from agent.llm.records import Failure, LlmCall, Usage
from tools.border.json_text import canonical_json

Fields = dict[str, Any]
_STOPS = {"stop": "stop", "length": "max_tokens", "tool_calls": "tool_calls", "content_filter": "content_filter"}
_REPAIR = 2
"""Messages that a repair round adds: the first reply, and what was wrong with it."""


class Asked(NamedTuple):
    """One model call as an event shows it."""

    node: str
    model: str
    messages: Sequence[Mapping[str, Any]]
    call: LlmCall | None
    """None where the run's file of calls lacks it."""
    answer: Mapping[str, Any] | None
    """As the transcript has it; None for a failure."""
    usage: Usage | None
    failure: Failure | None = None


class Calls:
    """The calls of a run, by what was asked.

    Args:
        file: `llm_calls.jsonl`; a run by rules has none.

    Raises:
        RunError: a line is damaged.
    """

    def __init__(self, file: Path) -> None:
        self._by_sha256: dict[str, LlmCall] = {}
        self._by_messages: defaultdict[str, list[LlmCall]] = defaultdict(list)
        for call in read_lines(file, LlmCall) if file.is_file() else ():
            before = self._by_sha256.get(call.request_sha256)
            if before is None or before.reply is None:
                self._by_sha256[call.request_sha256] = call
        for call in self._by_sha256.values():
            self._by_messages[_address(_opening(call))].append(call)

    def get(self, sha256: str | None) -> LlmCall | None:
        """The call of that request: with its reply if there ever was one."""
        return self._by_sha256.get(sha256 or "")

    def ending_in(self, call: LlmCall) -> list[LlmCall]:
        """The call, after the one that it repairs."""
        same = self._by_messages[_address(_opening(call))]
        return [one for one in same if one is not call and _is_repaired_by(one, call)] + [call]

    def failed(self, messages: Sequence[Mapping[str, Any]], beside: set[str]) -> list[LlmCall]:
        """What was asked to no avail: the first call with these messages that is not among `beside`, and its repair."""
        open_calls = [one for one in self._by_messages[_address(messages)] if one.request_sha256 not in beside]
        first = next((one for one in open_calls if not _is_repair(one)), None)
        if first is None:
            return []
        return [first, *(one for one in open_calls if _is_repaired_by(first, one))]


def _is_repair(call: LlmCall) -> bool:
    return call.purpose.endswith("(repair)")


def _is_repaired_by(first: LlmCall, second: LlmCall) -> bool:
    return _is_repair(second) and not _is_repair(first) and _settings(first) == _settings(second)


def _settings(call: LlmCall) -> Fields:
    return {name: value for name, value in call.request.items() if name != "messages"}


def _opening(call: LlmCall) -> Sequence[Mapping[str, Any]]:
    messages = messages_of(call)
    return messages[:-_REPAIR] if _is_repair(call) else messages


def _address(messages: Sequence[Mapping[str, Any]]) -> str:
    return hashlib.sha256(canonical_json(cast("Any", list(messages))).encode()).hexdigest()


def messages_of(call: LlmCall) -> list[Fields]:
    """The messages of a request."""
    return cast("list[Fields]", call.request.get("messages") or [])


def as_message(message: Mapping[str, Any], model: str | None = None) -> Fields:
    """A message of the chat protocol in Inspect's fields; `model` for one that a model generated.

    Its id is its content's, so that Inspect stores a message once however often it is sent.
    """
    role, content = message.get("role"), str(message.get("content") or "")
    fields: Fields = {"role": role, "content": content}
    if role == "assistant":
        fields["source"] = "generate"
        if model is not None:
            fields["model"] = model
        if message.get("tool_calls"):
            calls = cast("list[Fields]", message["tool_calls"])
            fields["tool_calls"] = [_as_call(number, call) for number, call in enumerate(calls)]
    if role == "tool":
        fields |= {name: message[name] for name in ("tool_call_id", "function") if message.get(name) is not None}
    fields["id"] = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:22]
    return fields


def _as_call(number: int, call: Fields) -> Fields:
    """A call that a server wrote, or that a transcript kept without its id."""
    function = cast("Fields", call.get("function") or call)
    raw = function.get("arguments")
    fields: Fields = {
        "id": str(call.get("id") or f"call_{number}"),
        "function": str(function.get("name") or ""),
        "type": "function",
    }
    try:
        arguments: Any = json.loads(raw) if isinstance(raw, str) else raw
    except (ValueError, RecursionError):
        arguments = None
    if isinstance(arguments, dict):
        return {**fields, "arguments": arguments}
    return {**fields, "arguments": {"unparseable": raw}, "parse_error": "the arguments are no JSON object"}


def model_event(asked: Asked, prompts: Mapping[str, PromptRef]) -> Fields:
    """The fields of a `ModelEvent`, but for those that every event has."""
    call, prompt = asked.call, prompts.get(asked.node)
    request = call.request if call else {}
    tools = cast("list[Fields]", request.get("tools") or [])
    fields: Fields = {
        "event": "model",
        "model": asked.model,
        "role": asked.node,
        "input": [as_message(message) for message in asked.messages],
        "tools": [tool["function"] for tool in tools],
        "tool_choice": "auto" if tools else "none",
        "config": _config(request),
        "output": _output(asked),
        "metadata": {
            "purpose": call.purpose if call else asked.node,
            "prompt": prompt.name if prompt else None,
            "prompt_sha256": prompt.sha256 if prompt else None,
            "request_sha256": call.request_sha256 if call else None,
            "attempts": call.attempts if call else (asked.failure.attempts if asked.failure else None),
        },
    }
    if call:
        fields["call"] = {"request": request, "response": call.reply, "error": call.failure is not None}
        fields["retries"] = max(0, call.attempts - 1)
    if asked.failure:
        fields["error"] = f"{asked.failure.type}: {asked.failure.message}"
    return fields


def _config(request: Mapping[str, Any]) -> Fields:
    limit = request.get("max_tokens") or request.get("max_completion_tokens")
    config = {"temperature": request.get("temperature"), "max_tokens": limit, "seed": request.get("seed")}
    return {name: value for name, value in config.items() if value is not None}


def _output(asked: Asked) -> Fields:
    """What the server said, or else what the transcript has of it."""
    fields: Fields = {"model": asked.model, "choices": []}
    if asked.usage is not None:
        fields["usage"] = as_usage(asked.usage)
    if asked.failure is not None:
        fields["error"] = f"{asked.failure.type}: {asked.failure.message}"
    reply = asked.call.reply if asked.call else None
    if reply is not None:
        said, stop = cast("Fields", reply["message"]), str(reply.get("finish_reason"))
        text = said.get("content") or said.get("refusal")
    elif asked.answer is not None:
        said, stop, text = asked.answer, str(asked.answer.get("finish_reason")), asked.answer.get("text")
    else:
        return fields
    message = {"role": "assistant", "content": text, "tool_calls": said.get("tool_calls")}
    return fields | {
        "choices": [{"message": as_message(message, asked.model), "stop_reason": _STOPS.get(stop, "unknown")}]
    }


def as_usage(usage: Usage) -> Fields:
    """Inspect's `ModelUsage`. A price that is not known is no price of 0."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "total_cost": usage.usd or None,
    }
