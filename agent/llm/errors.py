"""How a request to a model can end without a usable reply."""

from __future__ import annotations

from typing import Literal

from agent.llm.records import FailureType, Usage
from tools.errors import UnveilError


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
