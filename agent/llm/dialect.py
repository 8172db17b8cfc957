"""What one model's server understands: learnt from its refusals, one at a time.

A refusal is learnt where its words name a part of the request that can be left out or written another way. One without
a reason is answered with a few guesses, each plainer than the one before; only a guess that is answered is learnt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from pydantic import JsonValue

from agent.llm.reading import first_version
from agent.llm.reading.structured import SchemaForm
from agent.llm.records import LlmCall
from tools.records import Record

ResponseFormat = Literal["json_schema", "json_object", "text"]
LimitField = Literal["max_tokens", "max_completion_tokens", "none"]
RULES = 2
"""The version of the rules by which requests are written and replies are read; stored with every call."""

_WEAKER: dict[str, ResponseFormat] = {"json_schema": "json_object", "json_object": "text"}
_LIMITS = re.compile(r'"(?:minItems|maxItems|minimum|maximum|exclusiveMinimum|exclusiveMaximum|anyOf)":')
_HARD_STATUS = re.compile(r"\AHTTP (?:400|422|500|501)\b")
_BLAMED = re.compile(r"\bparam (?!response_format|json_schema)\S")
_MISSING_FEATURE = re.compile(r"parameter|feature|capab|support", re.IGNORECASE)


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


class _Sign(NamedTuple):
    """What a refusal says where it means one part of the request."""

    part: str
    words: re.Pattern[str]


_SIGNS = (
    _Sign("tools", _words(r"\btools?\b|tool_choice|tool.?call|function.?call")),
    _Sign("seed", _words(r"\bseed\b")),
    _Sign("temperature", _words(r"\btemperature\b")),
    _Sign("limit", _words(r"max_?(?:completion_?|new_?|output_?)?tokens\b")),
    _Sign(
        "alternation",
        _words(
            r"roles? .{0,20}alternat|must alternate|alternating|consecutive .{0,30}(?:role|message)|same role|"
            r"expected last role|after the optional system"
        ),
    ),
    _Sign(
        "system",
        _words(
            r"system.{0,3} ?(?:role|message|prompt|instruction)|(?:role|developer).{0,30}system|"
            r"developer.{0,3} ?instruction|(?:invalid|unexpected|unknown|unsupported) role|only .{0,20}user.{0,30} roles"
        ),
    ),
    _Sign("closed", _words(r"additional_?properties")),
    _Sign(
        "schema",
        _words(
            r"min_?items|max_?items|any_?of|one_?of|['\"`](?:exclusive)?(?:minimum|maximum)['\"`]|grammar|\bgbnf\b|"
            r"propert(?:y|ies) '?(?:exclusive)?(?:minimum|maximum)|json.?schema (?:contains|is too|has|with)|"
            r"invalid (?:json )?schema|too many states|schema.{0,20}(?:complex|unsupported)|regex|\bFSM\b|outlines"
        ),
    ),
    _Sign("strict", _words(r"\bstrict\b")),
    _Sign(
        "format",
        _words(
            r"response.?_?format|json.?_?schema|json.?_?object|json.?mode|response.?_?(?:mime|schema)|structured|guided|"
            r"constrained|lm.?format.?enforcer|\bschema\b"
        ),
    ),
)


class Dialect(Record):
    """What one model's server understands, as far as it is known."""

    response_format: ResponseFormat = "json_schema"
    schema_form: Literal["limited", "plain", "first"] = "limited"
    """With limits, with limits in words, or as the first version wrote it."""
    closed: bool = True
    """Schemas say that nothing may be added."""
    strict: bool = True
    tools: Literal["untried", "accepted", "refused"] = "untried"
    limit_field: LimitField = "max_tokens"
    temperature: bool = True
    """Some models accept no temperature but their own."""
    seed: bool = True
    system: bool = True
    """Some chat templates know no system role: its text goes before the first user message."""
    merged: bool = False
    """Messages of the same role that follow each other are one, as some templates want it."""

    @property
    def spelling(self) -> str:
        """The same for dialects in which every request reads the same."""
        return self.model_dump_json(exclude={"tools"})

    @property
    def form(self) -> SchemaForm:
        """How schemas are written."""
        return SchemaForm(plain=self.schema_form == "plain", closed=self.closed)

    @property
    def first(self) -> Dialect:
        """The same as the first version would have spoken it."""
        return self.model_copy(update={"schema_form": "first"})

    def refusal(self, call: LlmCall) -> str | None:
        """The part of a call that the server refused and another try can leave out; None if it failed otherwise.

        A refusal of tools counts only while none has been accepted: later it is about that request, not about tools.
        """
        # Gateways say 404 where no provider behind them takes a parameter.
        if call.failure is None or call.failure.type not in ("bad_request", "not_found"):
            return None
        body, words = call.request, call.failure.message
        if call.rules < RULES:
            return first_version.refusal(body, call.failure.type, words, self.tools == "accepted")
        for part, sign in _SIGNS:
            if sign.search(words) and self._carries(body, part):
                return part
        if "tools" in body and self.tools == "untried" and self._is_unexplained(call):
            return "tools"
        return None

    def learn(self, call: LlmCall) -> Dialect:
        """What to speak after this call; the same dialect if it teaches nothing."""
        if call.failure is None:
            learnt = dict[str, JsonValue](call.learnt or {})
            if "tools" in call.request:
                learnt["tools"] = "accepted"
            return self.model_copy(update=learnt) if learnt else self
        refused = self.refusal(call)
        return self.model_copy(update=self._without(refused, call.request)) if refused else self

    def guesses(self, call: LlmCall) -> tuple[Dialect, ...]:
        """Plainer dialects in which to ask again after a refusal that gives no reason, the least plain first."""
        if not self._is_unexplained(call):
            return ()
        chain: list[Dialect] = []
        now = self
        if now.response_format == "json_schema" and now.schema_form == "limited":
            chain.append(now := now.model_copy(update={"schema_form": "plain"}))
        while _format_of(call.request) != "text" and now.response_format in _WEAKER:
            chain.append(now := now.model_copy(update={"response_format": _WEAKER[now.response_format]}))
        chain.append(now.model_copy(update={"seed": False, "system": False, "merged": True}))
        return tuple(chain)

    def notes(self) -> tuple[str, ...]:
        """What of the requests the server would not take, in sentences for people; what changes no reply is left out."""
        told = {
            "replies are unseeded: the server refuses `seed`": not self.seed,
            "replies are at the server's own temperature: it refuses the one asked for": not self.temperature,
            "replies have the server's own limit of length: it refuses every field for it": self.limit_field == "none",
            "replies are not held to a schema by the server: it takes none, and the schema is asked for in words": (
                self.response_format != "json_schema"
            ),
            "the limits of the schema are in words: the server does not take them": (
                self.response_format == "json_schema" and self.schema_form == "plain"
            ),
            "the system text stands in the first user message: the model's chat template knows no system role": (
                not self.system
            ),
            "measurements are chosen by structured output: the server takes no tools": self.tools == "refused",
        }
        return tuple(sentence for sentence, true in told.items() if true)

    def _carries(self, body: Mapping[str, JsonValue], part: str) -> bool:
        """Whether a request has the part, in a form that can be weakened."""
        schema = json.dumps(body.get("response_format")) if _format_of(body) == "json_schema" else ""
        return {
            "tools": "tools" in body and self.tools != "accepted",
            "seed": "seed" in body,
            "temperature": "temperature" in body,
            "limit": "max_tokens" in body or "max_completion_tokens" in body,
            "alternation": _has_neighbours(body) or _has_system(body),
            "system": _has_system(body),
            "closed": '"additionalProperties"' in schema,
            "schema": bool(_LIMITS.search(schema)),
            "strict": '"strict": true' in schema,
            "format": _format_of(body) in _WEAKER,
        }[part]

    def _without(self, part: str, body: Mapping[str, JsonValue]) -> dict[str, object]:
        """What changes when a part is refused. A request in an older dialect teaches nothing that is not known."""
        kind = _format_of(body)
        weaker = {"response_format": _WEAKER[kind]} if kind in _WEAKER and kind == self.response_format else {}
        if part in ("response_format", "format"):
            return dict(weaker)
        if part == "schema":
            return {"schema_form": "plain"} if self.response_format == "json_schema" else {}
        if part in ("limit", "limit_field"):
            following = "none" if "max_completion_tokens" in body else "max_completion_tokens"
            return {"limit_field": following} if self.limit_field in body else {}
        if part == "alternation" and _has_neighbours(body):
            return {"merged": True}
        changes: dict[str, dict[str, object]] = {
            "tools": {"tools": "refused"},
            "seed": {"seed": False},
            "temperature": {"temperature": False},
            "alternation": {"system": False, "merged": True},
            "system": {"system": False},
            "closed": {"closed": False, "strict": False},
            "strict": {"strict": False},
        }
        return changes[part]

    def _is_unexplained(self, call: LlmCall) -> bool:
        """A refusal whose words name nothing that was sent."""
        failure = call.failure
        if failure is None or call.rules < RULES or _BLAMED.search(failure.message):
            return False
        if failure.type == "not_found":
            return bool(_MISSING_FEATURE.search(failure.message))
        return failure.type == "bad_request" and bool(_HARD_STATUS.search(failure.message))


def names_a_part(words: str) -> bool:
    """Whether an error speaks of a part of a request that can be left out."""
    return any(sign.search(words) for _, sign in _SIGNS)


def _format_of(body: Mapping[str, JsonValue]) -> str:
    response_format = body.get("response_format")
    return str(response_format.get("type")) if isinstance(response_format, dict) else "text"


def _roles(body: Mapping[str, JsonValue]) -> list[JsonValue]:
    messages = body.get("messages")
    return (
        [message.get("role") for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []
    )


def _has_system(body: Mapping[str, JsonValue]) -> bool:
    return "system" in _roles(body)


def _has_neighbours(body: Mapping[str, JsonValue]) -> bool:
    roles = _roles(body)
    return any(one == other and one != "tool" for one, other in zip(roles, roles[1:], strict=False))
