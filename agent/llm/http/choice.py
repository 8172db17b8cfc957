"""The first choice of a reply, put together from the pieces that a stream sends of it."""

from __future__ import annotations

import itertools
import json
from typing import Any, NamedTuple, cast

from pydantic import JsonValue

_TEXT_FIELDS = ("content", "refusal", "reasoning_content", "reasoning", "thinking")
_LONGEST_NAME = 1000
"""Of a tool, in characters; what comes after them belongs to no name of ours."""


class Piece(NamedTuple):
    """What one event adds to the choice."""

    said: dict[str, Any]
    finish_reason: JsonValue
    whole: bool
    """It is the whole message."""
    error: JsonValue
    """Gateways report a provider's error within the choice."""


class Choice:
    """The first choice, growing."""

    def __init__(self) -> None:
        self.begun = False
        self._texts: dict[str, list[str]] = {}
        self._parts: list[JsonValue] = []
        self._calls: list[dict[str, Any]] = []
        self._last: dict[str | None, dict[str, Any]] = {}
        """By number the last call that had it, and under None the last of all."""
        self._finish_reason: JsonValue = None
        self._message: dict[str, JsonValue] | None = None
        """Sent whole, and so kept with all that is in it."""

    def add(self, piece: Piece) -> bool:
        """Take a piece; False if it held nothing that the model said."""
        self.begun = True
        if piece.finish_reason is not None:
            self._finish_reason = piece.finish_reason
        if piece.whole:
            self._message = piece.said
        said = False
        for name in _TEXT_FIELDS:
            text = piece.said.get(name)
            if text is None:
                continue
            if isinstance(text, list) and name == "content":
                self._parts += text
            elif isinstance(text, str) and text:
                self._texts.setdefault(name, []).append(text)
            said |= bool(text)
        calls = piece.said.get("tool_calls")
        for call in calls if isinstance(calls, list) else []:
            if isinstance(call, dict):
                self._call(cast("dict[str, Any]", call))
                said = True
        return said

    def whole(self) -> dict[str, JsonValue]:
        """The choice as it would have been sent in one piece."""
        texts: dict[str, JsonValue] = {name: "".join(pieces) for name, pieces in self._texts.items()}
        content: JsonValue = texts.pop("content", None)
        if self._parts:
            content = _merged([*self._parts, *([{"type": "text", "text": content}] if content else [])])
        message: dict[str, JsonValue] = {"role": "assistant", "content": content, **texts}
        if self._message is not None:
            message = self._message
        elif self._calls:
            message["tool_calls"] = cast("JsonValue", [_plain(call) for call in self._calls])
        return {"index": 0, "message": message, "finish_reason": self._finish_reason}

    def _call(self, piece: dict[str, Any]) -> None:
        """A piece of a tool call joins the one it belongs to.

        By its number; but some servers number every call 0, so one with another id and a name is a new call.
        """
        function = cast("dict[str, Any]", piece.get("function") if isinstance(piece.get("function"), dict) else {})
        index, id, name = piece.get("index"), piece.get("id"), function.get("name")
        call = self._last.get(None if index is None else json.dumps(index))
        another = call is not None and id and name and call["id"] and id != call["id"]
        if call is None or another or (index is None and name and call["name"] and call["arguments"]):
            call = dict[str, Any](id=None, name="", arguments=[])
            self._calls.append(call)
            self._last |= {None: call, json.dumps(index): call}
        call["id"] = call["id"] or id
        if name and name != call["name"] and len(call["name"]) < _LONGEST_NAME:
            call["name"] += str(name)
        given = function.get("arguments")
        if given not in (None, ""):
            call["arguments"].append(given if isinstance(given, str) else json.dumps(given, ensure_ascii=False))


def _plain(call: dict[str, Any]) -> dict[str, JsonValue]:
    function = {"name": call["name"], "arguments": "".join(call["arguments"])}
    return {"id": call["id"], "type": "function", "function": function}


def choice_in(value: dict[str, Any]) -> Piece | None:
    """What an event says of the first choice, whatever the server calls it."""
    choices = value.get("choices")
    choice: Any = None
    if isinstance(choices, list):
        for each in choices:  # for every few letters of a reply: loops here, as a generator takes twice the time
            if isinstance(each, dict) and not each.get("index"):
                choice = each
                break
    elif isinstance(value.get("message"), dict) and value.get("object") != "error":
        choice = {"delta": value["message"], "finish_reason": value.get("done_reason")}
    if choice is None:
        return None
    delta, message = choice.get("delta"), choice.get("message")
    whole = isinstance(message, dict)
    if isinstance(delta, dict):
        said = delta
    elif whole:
        said = message
    else:
        said = {"content": choice["text"]} if isinstance(choice.get("text"), str) else {}
    return Piece(said, choice.get("finish_reason"), whole, choice.get("error"))


def _merged(parts: list[JsonValue]) -> list[JsonValue]:
    """Parts of text that follow each other as one: a word may be cut between two of them."""
    merged: list[JsonValue] = []
    for is_text, group in itertools.groupby(parts, _is_text):
        joined: list[JsonValue] = [*group]
        if is_text and len(joined) > 1:
            joined = [{"type": "text", "text": "".join(str(cast("dict[str, Any]", part)["text"]) for part in joined)}]
        merged += joined
    return merged


def _is_text(part: JsonValue) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
