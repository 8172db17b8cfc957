"""Requests as content: what is asked, in a dialect the server understands, and under which hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import BaseModel, JsonValue

from agent.llm.dialect import Dialect
from agent.llm.reading import first_version
from agent.llm.reading.structured import instruction, strict_json_schema
from tools.records import Record

Message = dict[str, JsonValue]


class ToolsUnsupported(Exception):
    """The server takes no tools: ask for the same through structured output. A signal to the caller, not a failure."""


class ToolSpec(Record):
    """An instrument as it is offered to the model."""

    name: str
    description: str
    parameters: dict[str, JsonValue]
    """JSON schema of the arguments."""


class Written(NamedTuple):
    """A request as it is sent and addressed."""

    sha256: str
    """Of `data`, and of the seed where the server takes none: requests that differ in it are different calls."""
    body: dict[str, JsonValue]
    data: bytes
    """The body as compact JSON. Its keys stand in the order they were written in: a model fills in a schema's fields
    in their order, so another order is another request."""


class Request(NamedTuple):
    """What is asked, before it is put into a server's dialect."""

    model: str
    messages: Sequence[Message]
    schema: type[BaseModel] | None
    tools: Sequence[ToolSpec]
    temperature: float
    max_output_tokens: int
    seed: int | None
    reasoning_effort: str | None = None

    def written(self, dialect: Dialect) -> Written:
        """The request in a dialect."""
        body = self._body(dialect)
        data = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        unsent = b"" if dialect.seed or self.seed is None else f"\n{self.seed}".encode()
        return Written(hashlib.sha256(data + unsent).hexdigest(), body, data)

    def _body(self, dialect: Dialect) -> dict[str, JsonValue]:
        messages = list(self.messages)
        body: dict[str, JsonValue] = {"model": self.model}
        if dialect.limit_field != "none":
            body[dialect.limit_field] = self.max_output_tokens
        if dialect.temperature:
            body["temperature"] = self.temperature
        if self.seed is not None and dialect.seed:
            body["seed"] = self.seed
        if self.reasoning_effort is not None:
            body["reasoning_effort"] = self.reasoning_effort
        if self.tools:
            body["tools"] = [{"type": "function", "function": tool.model_dump(mode="json")} for tool in self.tools]
        if self.schema is not None:
            if dialect.response_format == "json_schema":
                body["response_format"] = {"type": "json_schema", "json_schema": _named(self.schema, dialect)}
            else:
                first = dialect.schema_form == "first"
                words = first_version.instruction(self.schema) if first else instruction(self.schema)
                messages = _instructed(messages, words)
                if dialect.response_format == "json_object":
                    body["response_format"] = {"type": "json_object"}
        if not dialect.system:
            messages = _without_system(messages)
        if dialect.merged:
            messages = _merged(messages)
        body["messages"] = [*messages]
        return body


def _named(schema: type[BaseModel], dialect: Dialect) -> dict[str, JsonValue]:
    first = dialect.schema_form == "first"
    written = first_version.strict_json_schema(schema) if first else strict_json_schema(schema, dialect.form)
    strict: dict[str, JsonValue] = {"strict": True} if dialect.strict else {}
    return {"name": schema.__name__, **strict, "schema": written}


def _instructed(messages: Sequence[Message], text: str) -> list[Message]:
    """The messages with an instruction at the end.

    It joins the last one if that is the user's: some servers accept no two of the same role in a row.
    """
    *before, last = messages
    content = last.get("content")
    if last.get("role") != "user" or not isinstance(content, str):
        return [*messages, {"role": "user", "content": text}]
    return [*before, last if text in content else {**last, "content": f"{content}\n\n{text}"}]


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """The messages with the system's text before that of the first user message."""
    system = [str(message.get("content")) for message in messages if message.get("role") == "system"]
    others = [message for message in messages if message.get("role") != "system"]
    if not system:
        return others
    place = next((place for place, message in enumerate(others) if message.get("role") == "user"), None)
    if place is None:
        return [{"role": "user", "content": "\n\n".join(system)}, *others]
    text = "\n\n".join([*system, str(others[place].get("content"))])
    return [*others[:place], {**others[place], "content": text}, *others[place + 1 :]]


def _merged(messages: Sequence[Message]) -> list[Message]:
    """The messages with neighbours of the same role as one, if they hold nothing but text."""
    merged: list[Message] = []
    for message in messages:
        last = merged[-1] if merged else {}
        if last.get("role") == message.get("role") and {*last, *message} == {"role", "content"}:
            merged[-1] = {**message, "content": f"{last['content']}\n\n{message['content']}"}
        else:
            merged.append(message)
    return merged
