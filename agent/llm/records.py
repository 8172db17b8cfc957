"""What one call to a model consumed, what came of it, and how it can fail."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from tools.records import Record

MOST_USED = 10**15
"""Of calls, tokens and dollars: no run comes near it, and a sum of stored figures goes no further."""
FailureType = Literal[
    "rate_limited",  # 429 after the last retry
    "server_error",  # 5xx after the last retry
    "timeout",
    "connection",  # refused, reset, or dropped in mid-body
    "bad_request",  # 400, 422 and the like, for no other reason on this list
    "context_length",  # refused as too long, or cut in silence
    "insufficient_credit",  # 402, or an account without money or quota
    "authentication",  # 401 and 403
    "not_found",  # 404: unknown model or path
    "refusal",
    "content_filter",
    "length",  # the reply was cut at its token limit
    "empty",  # a reply with neither text nor tool call
    "unparseable",  # no JSON object, or more than one, where one was asked for
    "wrong_schema",  # JSON that does not fit the schema, after the repair round
    "budget",  # the run's tokens or money are spent
    "replay_missing",  # a replay met a call that the stored run never made
    "bug",  # anything unforeseen; the message names the exception
]


class Usage(Record):
    """What a call, or all calls for a feature, consumed."""

    calls: int = Field(default=0, ge=0, le=MOST_USED)
    input_tokens: int = Field(default=0, ge=0, le=MOST_USED)
    output_tokens: int = Field(default=0, ge=0, le=MOST_USED)
    usd: float = Field(default=0.0, ge=0, le=MOST_USED)
    """0 also when the price table does not know the model."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            calls=min(MOST_USED, self.calls + other.calls),
            input_tokens=min(MOST_USED, self.input_tokens + other.input_tokens),
            output_tokens=min(MOST_USED, self.output_tokens + other.output_tokens),
            usd=min(MOST_USED, self.usd + other.usd),
        )


class Failure(Record):
    """Why there is no verdict."""

    type: FailureType
    message: str
    attempts: int = Field(ge=0)


class LlmCall(Record):
    """One request and what came of it, stored under the hash of the request. No keys, no headers."""

    request_sha256: str
    request: dict[str, JsonValue]
    """The body as it was sent, but for asking to stream it: model, messages, tools, response format, sampling settings."""
    reply: dict[str, JsonValue] | None = None
    """The first choice's message, its finish reason, the served model's name and usage."""
    failure: Failure | None = None
    """Why no reply came, after the last try."""
    purpose: str
    usage: Usage
    attempts: int
    sent: str | None = None
    """When the first attempt began: UTC, ISO 8601. None in runs from before it was stored."""
    seconds: float | None = None
    """From then until the reply was whole or given up, with all waiting in between."""
    rules: int = 1
    """Of which version its request was written, and its reply is read, by: 1 for what older runs stored."""
    learnt: dict[str, JsonValue] | None = None
    """What the reply shows of the server's dialect: it came to a request written more plainly than one that was
    refused without a reason."""

    @model_validator(mode="after")
    def _reply_or_failure(self) -> Self:
        if (self.reply is None) == (self.failure is None):
            raise ValueError("a call carries either a reply or a failure")
        return self
