"""How a feature's investigation can fail. A failure is recorded as what it is, never as a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tools.errors import UnveilError

if TYPE_CHECKING:
    from agent.records import Usage

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


class LlmFailure(UnveilError):
    """One request to the LLM ended without a usable reply.

    Attributes:
        type: what happened, in the words a decision records.
        attempts: how many HTTP requests were made for it.
        usage: what it consumed all the same; None for nothing.
    """

    def __init__(self, type: FailureType, message: str, attempts: int = 1, usage: Usage | None = None) -> None:
        super().__init__(f"{type}: {message}")
        self.type: FailureType = type
        self.message = message
        self.attempts = attempts
        self.usage = usage


class Unfit(Exception):
    """A reply that cannot be used, with what the model is told about it."""

    def __init__(self, type: Literal["unparseable", "wrong_schema"], message: str) -> None:
        super().__init__(message)
        self.type: Literal["unparseable", "wrong_schema"] = type
        self.message = message


class RunError(UnveilError):
    """A run folder cannot be created, read, resumed or replayed."""


class Unwritable(RunError):
    """A file of a run could not be written: the disk is full, or may not be written to. It ends a run, and no feature."""

    @classmethod
    def of(cls, file: object, error: OSError) -> Unwritable:
        """What the system said of a file."""
        return cls(f"{file} cannot be written: {error.strerror or error}")


class EveryFeatureFailed(UnveilError):
    """A run ended without one verdict."""
