"""Requests as content: what is asked, in a dialect the server understands, and under which hash."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from pydantic import BaseModel, JsonValue

from agent.records import LlmCall
from agent.structured import instruction, strict_json_schema
from tools.records import Record

Message = dict[str, JsonValue]
ResponseFormat = Literal["json_schema", "json_object", "text"]
Refusal = Literal["response_format", "limit_field", "temperature", "tools"]

_WEAKER: dict[str, ResponseFormat] = {"json_schema": "json_object", "json_object": "text"}
_FORMAT_WORDS = re.compile(r"response_format|json_schema|json_object|structured.?output|guided", re.IGNORECASE)
_TOOL_WORDS = re.compile(r"\btools?\b|tool_choice|tool.?call|function.?call", re.IGNORECASE)


class ToolsUnsupported(Exception):
    """The server takes no tools: ask for the same through structured output. A signal to the caller, not a failure."""


class ToolSpec(Record):
    """An instrument as it is offered to the model."""

    name: str
    description: str
    parameters: dict[str, JsonValue]
    """JSON schema of the arguments."""


class Dialect(Record):
    """What one model's server understands, as far as it is known."""

    response_format: ResponseFormat = "json_schema"
    tools: Literal["untried", "accepted", "refused"] = "untried"
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: bool = True
    """Some models accept no temperature but their own."""

    @property
    def spelling(self) -> str:
        """The same for dialects in which every request reads the same."""
        return f"{self.response_format} {self.limit_field} {self.temperature}"

    def refusal(self, call: LlmCall) -> Refusal | None:
        """What the server refused in a call that another try can leave out; None if it failed for another reason.

        A refusal of tools counts only while none has been accepted: later it is about that request, not about tools.
        """
        # Gateways say 404 where no provider behind them takes a parameter.
        if call.failure is None or call.failure.type not in ("bad_request", "not_found"):
            return None
        body, words = call.request, call.failure.message
        if _format_of(body) in _WEAKER and _FORMAT_WORDS.search(words):
            return "response_format"
        if "max_tokens" in body and "max_completion_tokens" in words:
            return "limit_field"
        if "temperature" in body and "temperature" in words:
            return "temperature"
        if "tools" in body and _TOOL_WORDS.search(words) and self.tools != "accepted":
            return "tools"
        return None

    def learn(self, call: LlmCall) -> Dialect:
        """What to speak after this call; the same dialect if it teaches nothing."""
        refused = self.refusal(call)
        kind = _format_of(call.request)
        if refused == "response_format" and kind == self.response_format:
            return self.model_copy(update={"response_format": _WEAKER[kind]})
        if refused == "limit_field":
            return self.model_copy(update={"limit_field": "max_completion_tokens"})
        if refused == "temperature":
            return self.model_copy(update={"temperature": False})
        if refused == "tools":
            return self.model_copy(update={"tools": "refused"})
        if call.failure is None and "tools" in call.request:
            return self.model_copy(update={"tools": "accepted"})
        return self


class Written(NamedTuple):
    """A request as it is sent and addressed."""

    sha256: str
    """Of `data`."""
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
        return Written(hashlib.sha256(data).hexdigest(), body, data)

    def _body(self, dialect: Dialect) -> dict[str, JsonValue]:
        messages: list[JsonValue] = list(self.messages)
        body: dict[str, JsonValue] = {"model": self.model, dialect.limit_field: self.max_output_tokens}
        if dialect.temperature:
            body["temperature"] = self.temperature
        if self.seed is not None:
            body["seed"] = self.seed
        if self.reasoning_effort is not None:
            body["reasoning_effort"] = self.reasoning_effort
        if self.tools:
            body["tools"] = [{"type": "function", "function": tool.model_dump(mode="json")} for tool in self.tools]
        if self.schema is not None:
            if dialect.response_format == "json_schema":
                schema: JsonValue = strict_json_schema(self.schema)
                named: JsonValue = {"name": self.schema.__name__, "strict": True, "schema": schema}
                body["response_format"] = {"type": "json_schema", "json_schema": named}
            else:
                messages = _instructed(self.messages, instruction(self.schema))
                if dialect.response_format == "json_object":
                    body["response_format"] = {"type": "json_object"}
        body["messages"] = messages
        return body


def _format_of(body: Mapping[str, JsonValue]) -> str:
    response_format = body.get("response_format")
    return str(response_format.get("type")) if isinstance(response_format, dict) else "text"


def _instructed(messages: Sequence[Message], text: str) -> list[JsonValue]:
    """The messages with an instruction at the end.

    It joins the last one if that is the user's: some servers accept no two of the same role in a row.
    """
    *before, last = messages
    content = last.get("content")
    if last.get("role") != "user" or not isinstance(content, str):
        return [*messages, {"role": "user", "content": text}]
    return [*before, last if text in content else {**last, "content": f"{content}\n\n{text}"}]
