"""What the stand-in endpoint answers: the first value that fits what was asked for, or replies that a person wrote."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue

from agent.errors import RunError
from agent.lines import LONGEST, parse_record

JsonDict = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """One answer of the model, or an error instead of one."""

    content: str | None = None
    calls: tuple[tuple[str, str], ...] = ()
    """Tool calls: name and arguments as JSON."""
    status: int = 200
    error: JsonDict | None = None
    """What the body says is wrong."""


Answering = Callable[[JsonDict], Reply]
"""A request's body -> what it is answered."""


class WrittenReply(BaseModel):
    """One line of a file of replies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    content: JsonValue = None
    """Sent as it is if it is text, else as JSON."""
    calls: tuple[tuple[str, dict[str, JsonValue]], ...] = ()
    """Tool calls: name and arguments."""


def obey(body: JsonDict) -> Reply:
    """Do what is asked without a thought: one call of the first tool, then the answer."""
    if body.get("tools") and not any(message["role"] == "tool" for message in body["messages"]):
        function = body["tools"][0]["function"]
        return Reply(calls=((function["name"], json.dumps(instance_of(function["parameters"]))),))
    return Reply(content=answer(body))


def answer(body: JsonDict, word: str | None = None) -> str:
    """The text of an obedient reply: JSON if JSON was asked for.

    Args:
        body: of the request.
        word: instead of the first of every list of words.
    """
    schema = schema_asked_for(body)
    return "stub" if schema is None else json.dumps(instance_of(schema, word=word))


def schema_asked_for(body: JsonDict) -> JsonDict | None:
    """The schema in `response_format`, or else the last one written on a line of its own in a message."""
    response_format = body.get("response_format", {})
    if response_format.get("type") == "json_schema":
        return response_format["json_schema"]["schema"]
    for message in reversed(body["messages"]):
        for line in reversed(str(message.get("content") or "").splitlines()):
            if line.startswith("{") and '"properties"' in line:
                with contextlib.suppress(ValueError):
                    return json.loads(line)
    return None


def instance_of(schema: JsonDict, root: JsonDict | None = None, word: str | None = None) -> Any:
    """A value that fits a JSON schema: first enum word, two items, 1, 0.5; `word` replaces every enum's word."""
    root = root or schema
    if "$ref" in schema:
        return instance_of(root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root, word)
    if "const" in schema or "enum" in schema:
        value = schema["const"] if "const" in schema else schema["enum"][0]
        return word if word is not None and isinstance(value, str) else value
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return instance_of(next(s for s in schema[union] if s.get("type") != "null"), root, word)
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: instance_of(part, root, word) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [instance_of(schema.get("items", {}), root, word) for _ in range(max(2, schema.get("minItems", 0)))]
    low, high = schema.get("minimum", 0), schema.get("maximum", 1)
    simple = {"integer": max(low, min(1, high)), "number": (low + high) / 2, "boolean": True, "null": None}
    return simple.get(kind, "stub")


def refuse(status: int, message: str, code: str | None = None, param: str | None = None) -> Reply:
    """An error as the real server words it."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return Reply(status=status, error=error)


def read_replies(file: Path) -> list[Reply]:
    """The replies of a file, one per line; empty lines are passed over.

    Raises:
        RunError: the file cannot be read, or a line is no reply; the text names the line.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(LONGEST + 1)
    except OSError as error:
        raise RunError(f"{file} cannot be read: {error.strerror}") from None
    if len(data) > LONGEST:
        raise RunError(f"{file} is larger than {LONGEST >> 20} MiB")
    lines = [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
    return [_reply_of(parse_record(WrittenReply, line, f"{file}:{number}")) for number, line in lines]


def _reply_of(written: WrittenReply) -> Reply:
    content = written.content if isinstance(written.content, str | None) else json.dumps(written.content)
    return Reply(content, tuple((name, json.dumps(arguments)) for name, arguments in written.calls))


def reading(file: Path) -> Answering:
    """Replies written by a person: line after line of a file, to one new body after another; then 503.

    The file is read anew for every request, so that lines can be added while a run waits to be resumed.
    """
    places: dict[str, int] = {}

    def reply(body: JsonDict) -> Reply:
        try:
            replies = read_replies(file)
        except RunError as error:
            return refuse(503, str(error))
        place = places.setdefault(json.dumps(body), len(places))
        if place < len(replies):
            return replies[place]
        del places[json.dumps(body)]
        return refuse(503, f"reply {place + 1} is not written yet")

    return reply
