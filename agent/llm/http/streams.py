"""A reply put together from the pieces it is sent in: server-sent events, lines of JSON, or one body after all.

What comes out has the form of a reply that was sent whole, so that nothing after it needs to know how it came.
"""

from __future__ import annotations

import codecs
import io
from typing import Any, cast

from pydantic import JsonValue

from agent.llm.http.choice import Choice, choice_in
from tools.border.json_text import read_storable

_END = "[DONE]"
_BEGINNING = 4000


class ReplyStream:
    """Fed with bytes as they arrive, at whatever places they are cut.

    Understood are server-sent events (with comments, other line ends, events over several lines, a last one without
    its blank line, errors in a field of their own), one JSON object per line (as Ollama's own interface sends them), and
    a whole body, from servers that do not stream whatever they are asked.
    """

    def __init__(self) -> None:
        self.pieces = 0
        """How many pieces held text, thoughts or tool calls; about as many as tokens."""
        self.beginning = ""
        """Of what was sent, for a body that turns out to hold no choice."""
        self._decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")("replace"), True)
        self._line: list[str] = []
        """The line that has not ended, in pieces: joined once, as a body of one line may come byte by byte."""
        self._event: list[str] = []
        self._event_name = ""
        self._loose: list[str] = []
        """Lines that belong to no event: a body sent whole."""
        self._choice = Choice()
        self._fields: dict[str, JsonValue] = {}
        """Of the body: model, usage, error."""
        self._ended = self._damaged = False

    @property
    def finished(self) -> bool:
        """Whether the end was seen (a finish reason, `[DONE]`, an error, a whole body) and nothing before it was lost.

        If not, the reply broke off. A body sent whole is looked at by `close`.
        """
        return self._ended and not self._damaged

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        self._take(self._decoder.decode(data))

    def close(self) -> None:
        """Nothing more will come."""
        self._take(self._decoder.decode(b"", final=True) + "\n\n")
        loose, self._loose = "\n".join(self._loose), []
        values = self._values(loose)
        for value in values:
            self._add(value)
        if len(values) == 1 and not self._choice.begun:
            self._ended = True

    def body(self) -> dict[str, JsonValue]:
        """The same as a body sent whole: `choices`, `model`, `usage`, and `error` where the server reported one.

        There is no choice in it if none has come.
        """
        body = dict(self._fields)
        if self._choice.begun:
            body["choices"] = [self._choice.whole()]
        return body

    def _take(self, text: str) -> None:
        if len(self.beginning) < _BEGINNING:
            self.beginning += text[: _BEGINNING - len(self.beginning)]
        first, *more = text.split("\n")
        self._line.append(first)
        for beginning in more:
            line, self._line = "".join(self._line), [beginning]
            self._read(line)

    def _read(self, line: str) -> None:
        if not line.strip():
            self._dispatch()
            return
        name, colon, rest = line.partition(":")
        if name in ("data", "error") and colon:
            self._event.append(rest.removeprefix(" "))
            self._event_name = name if name == "error" else self._event_name
            whole = _whole(rest)  # some servers leave out the blank line between events
            if whole is not None and len(self._event) == 1 and self._event_name != "error":
                self._event, self._event_name = [], ""
                self._add(whole)
            elif whole is not None or name == "error" or rest.strip() == _END:
                self._dispatch()
        elif name == "event" and colon:
            self._event_name = rest.strip()
        elif name and not (name in ("id", "retry") and colon):  # without a name it is a comment: a sign of life
            self._loose.append(line)

    def _dispatch(self) -> None:
        text, error = "\n".join(self._event).strip(), self._event_name == "error"
        self._event, self._event_name = [], ""
        if not text:
            return
        if text == _END:
            self._ended = True
        elif error:
            for value in _json_in(text) or [{"message": text}]:
                self._add(value if "error" in value else {"error": value})
        else:
            for value in self._values(text):
                self._add(value)

    def _values(self, text: str) -> list[dict[str, Any]]:
        """The JSON objects of an event or a body; text that is none of it is damage."""
        values = _json_in(text)
        self._damaged |= values is None
        return values or []

    def _add(self, value: dict[str, Any]) -> None:
        """Take one event, one line or one whole body."""
        error = value.get("error") or (value if value.get("object") == "error" else None)
        if error:
            beside = {name: value[name] for name in ("code", "status", "status_code", "type") if name in value}
            self._fields["error"] = error if isinstance(error, dict) else {**beside, "message": error}
            self._ended = True
        for name in ("model", "usage"):
            if value.get(name) is not None:
                self._fields[name] = value[name]
        if isinstance(groq := value.get("x_groq"), dict) and groq.get("usage"):
            self._fields.setdefault("usage", cast("JsonValue", groq["usage"]))
        choice = choice_in(value)
        if choice is not None:
            if choice.error:
                self._fields["error"] = choice.error
                self._ended = True
            self.pieces += self._choice.add(choice)
            self._ended |= choice.whole or choice.finish_reason is not None
        if value.get("done") is True:
            self._end_of_lines(value)

    def _end_of_lines(self, value: dict[str, Any]) -> None:
        """The last object of Ollama's own interface, with counts of its own."""
        self._ended = True
        counts = value.get("prompt_eval_count"), value.get("eval_count")
        if all(isinstance(count, int) for count in counts):
            self._fields["usage"] = {"prompt_tokens": counts[0], "completion_tokens": counts[1]}


def _json_in(text: str) -> list[dict[str, Any]] | None:
    """The JSON objects in a text: one, some in a list, or one a line. None if anything in it is no JSON."""
    values: list[object] = []
    try:
        try:
            values.append(read_storable(text))
        except ValueError:
            values += [read_storable(line) for line in text.split("\n") if line.strip()]
    except (ValueError, RecursionError):
        return None
    flat = [each for value in values for each in (cast("list[object]", value) if isinstance(value, list) else [value])]
    return [cast("dict[str, Any]", each) for each in flat if isinstance(each, dict)]


def _whole(text: str) -> dict[str, Any] | None:
    """The object that an event's line is in itself."""
    stripped = text.strip()
    if not stripped.endswith("}"):
        return None
    try:
        value = read_storable(stripped)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None
