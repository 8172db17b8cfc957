"""What a message says, in the forms servers give it: text, parts, thoughts in a field of their own, tool calls."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, cast

from pydantic import JsonValue
from pydantic_core import from_json

from agent.llm.reading.spellings import read_text
from agent.llm.reading.told_calls import told_calls
from tools.border.json_text import canonical_json, is_deep
from tools.records import Record

_TEXTS = ("text", "output_text", None)
_THOUGHTS = (
    "thinking",
    "reasoning",
    "reasoning_content",
    "redacted_thinking",
    "thought",
    "summary_text",
    "reasoning_text",
)
_THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking")
_ENDINGS = {
    "length": "length", "max_tokens": "length", "model_length": "length", "max_output_tokens": "length",
    "content_filter": "content_filter", "safety": "content_filter", "recitation": "content_filter",
    "prohibited_content": "content_filter", "blocklist": "content_filter", "spii": "content_filter",
    "sensitive": "content_filter", "refusal": "content_filter",
}  # fmt: skip


class ToolCall(Record):
    """One tool the model wants called."""

    id: str
    name: str
    """As the model wrote it: it may be no tool of ours."""
    arguments: str
    """As the model wrote them, or as one JSON object where it spelt that another way."""
    parsed: dict[str, JsonValue] | None
    """None if they are no JSON object."""

    def result(self, text: str) -> dict[str, JsonValue]:
        """The message that gives the model the tool's result."""
        return {"role": "tool", "tool_call_id": self.id, "content": text}


class Said(NamedTuple):
    """The content of a message."""

    text: str
    refusal: str = ""
    foreign: str = ""
    """The kind of a part that is neither text nor thought."""


def said_in(content: JsonValue) -> Said:
    """Content that is text, a list of parts, or one part. Parts that are thoughts are passed over."""
    if isinstance(content, str):
        return Said(content)
    if isinstance(content, dict) and "type" not in content and "text" not in content and content:
        return Said(canonical_json(content))  # some gateways read the JSON that was asked for
    said, texts = Said(""), list[str]()
    for part in content if isinstance(content, list) else [content] if content else []:
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = part.get("type") if isinstance(part, dict) else type(part).__name__
        if isinstance(part, dict) and kind in _TEXTS and isinstance(part.get("text"), str):
            texts.append(str(part["text"]))
        elif isinstance(part, dict) and kind == "refusal":
            said = said._replace(refusal=str(part.get("refusal") or "refused"))
        elif kind not in _THOUGHTS:
            said = said._replace(foreign=str(kind))
    return said._replace(text="".join(texts))


def first_version_text(content: JsonValue) -> str:
    """Content as the first version read it."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def ending_of(finish_reason: JsonValue) -> str | None:
    """Why a reply ended, if it did not end by itself: `length` or `content_filter`, whatever the server calls them."""
    return _ENDINGS.get(finish_reason.lower()) if isinstance(finish_reason, str) else None


def answer_in_thoughts(message: Mapping[str, JsonValue], finish_reason: JsonValue) -> str:
    """The field of thoughts where there is no other text, if it is one JSON object from end to end; otherwise nothing.

    Servers that part thoughts from answers by a tag take the whole answer of a model that was told not to think for a
    thought. A thought in prose, with whatever JSON in it, is no answer, nor is one that was cut.
    """
    for name in _THOUGHT_FIELDS:
        text = message.get(name)
        if isinstance(text, str) and finish_reason == "stop" and _object(text.strip(), strict=False) is not None:
            return text
    return ""


def tool_calls_in(
    message: Mapping[str, JsonValue], *, strict: bool, text: str = "", offered: Collection[str] = ()
) -> tuple[ToolCall, ...]:
    """The tool calls of a message.

    Args:
        message: as the server sent it.
        strict: read it as the first version did.
        text: what it says, in which calls may stand if there are none beside it.
        offered: names of the tools.
    """
    value = message.get("tool_calls")
    items = value if isinstance(value, list) else []
    if not items and not strict:
        older = message.get("function_call")
        items = [{"function": older}] if isinstance(older, dict) else told_calls(text, offered)
    calls: list[ToolCall] = []
    for number, item in enumerate(items):
        function = item.get("function") if isinstance(item, dict) else None
        if isinstance(item, dict) and isinstance(function, dict):
            given = function.get("arguments")
            raw = given if isinstance(given, str) else canonical_json(given or {})
            parsed = _object(raw.strip() or "{}", strict=strict)
            calls.append(
                ToolCall(
                    id=str(item.get("id") or f"call_{number}"),
                    name=str(function.get("name") or ""),
                    arguments=raw if _is_plain(raw, parsed) else canonical_json(parsed),
                    parsed=parsed,
                )
            )
    return tuple(calls)


def _is_plain(raw: str, parsed: dict[str, JsonValue] | None) -> bool:
    """Whether arguments can go back to the server as they came: as JSON, as nothing, or as what nobody can read."""
    return parsed is None or not raw.strip() or _object(raw, strict=True) is not None


def _object(raw: str, *, strict: bool) -> dict[str, JsonValue] | None:
    """A JSON object; otherwise than `strict`, also in other spellings, as text within JSON, and from null."""
    try:
        value: JsonValue = None if is_deep(raw) else from_json(raw, allow_inf_nan=False)
    except ValueError:
        value = _respelt(raw) if not strict else None
    if strict or isinstance(value, dict):
        return cast("dict[str, JsonValue]", value) if isinstance(value, dict) else None
    if isinstance(value, str):
        return _object(value.strip() or "{}", strict=True)
    return {} if raw == "null" else None


def _respelt(raw: str) -> JsonValue:
    try:
        return read_text(raw)
    except (ValueError, RecursionError):
        return None
