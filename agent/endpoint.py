"""Which endpoint answers, and how much of it may be used."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from pathlib import Path

from pydantic import ConfigDict, Field, SecretStr, field_validator

from agent.prices import SHIPPED
from agent.records import Usage
from tools.records import Record

_SHORTEST_SECRET = 8


class LlmSettings(Record):
    """Which endpoint answers, and how it may be used."""

    model_config = ConfigDict(hide_input_in_errors=True)

    model: str
    base_url: str = Field(default="https://api.openai.com/v1", pattern=r"^https?://[^/@\s]+(/\S*)?$")
    """With the version: `http://127.0.0.1:8000/v1`. It carries no password: it is stored with the run."""
    api_key: SecretStr | None = Field(default=None, exclude=True, repr=False)
    """None for servers that want none."""
    temperature: float = Field(default=0.0, ge=0)
    max_output_tokens: int = Field(default=1200, gt=0)
    seed: int | None = None
    timeout_s: float = Field(default=120.0, gt=0)
    """For one HTTP request, connection and body included."""
    max_attempts: int = Field(default=6, ge=1)
    backoff_s: float = Field(default=1.0, ge=0)
    """The longest first wait between attempts; it doubles with each."""
    max_wait_s: float = Field(default=60.0, ge=0)
    """No wait is longer but for its jitter, whatever the server asks for."""
    requests_per_minute: int | None = Field(default=None, gt=0)
    max_in_flight: int = Field(default=8, gt=0)
    budget_usd: float | None = Field(default=None, ge=0)
    budget_tokens: int | None = Field(default=None, ge=0)
    """Input and output tokens of all calls in the store."""
    prices: Path = SHIPPED

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        if key is None or not key.get_secret_value().strip():
            return None
        stripped = key.get_secret_value().strip()
        if not stripped.isascii() or not stripped.isprintable():
            raise ValueError("the API key has characters that no HTTP header can carry")
        return SecretStr(stripped)

    @property
    def key(self) -> str:
        """The bare key, empty for none; only for the request's header."""
        return self.api_key.get_secret_value() if self.api_key else ""

    def redacted(self, text: str) -> str:
        """The text without the key, which a server may echo. Shorter keys are the stand-ins of local servers."""
        if len(self.key) < _SHORTEST_SECRET:
            return text
        return text.replace(self.key, "[key]").replace(json.dumps(self.key)[1:-1], "[key]")

    def wait_s(self, attempt: int, asked: float | None, jitter: float) -> float:
        """Seconds to wait after an attempt, counted from 1.

        Args:
            attempt: the one that failed.
            asked: what the server asked for, in seconds.
            jitter: 0 to 1; it spreads calls that failed together.
        """
        if asked is not None:
            return min(self.max_wait_s, asked) + self.backoff_s * jitter / 2
        return min(self.max_wait_s, self.backoff_s * 2.0 ** (attempt - 1)) * (1 + jitter) / 2

    def overspent(self, spent: Usage) -> str | None:
        """Which budget is spent, in words; None if there is some left, or none was set."""
        tokens = spent.input_tokens + spent.output_tokens
        if self.budget_tokens is not None and tokens >= self.budget_tokens:
            return f"{tokens:,} of {self.budget_tokens:,} tokens are spent"
        if self.budget_usd is not None and spent.usd >= self.budget_usd:
            return f"{spent.usd:.2f} of {self.budget_usd:.2f} USD are spent"
        return None


class RateWindow:
    """At most so many turns within any stretch of that many seconds, first come, first served."""

    def __init__(self, most: int | None, seconds: float = 60.0) -> None:
        self._most = most
        self._seconds = seconds
        self._taken: deque[float] = deque()
        self._queue = asyncio.Lock()

    async def turn(self) -> None:
        """Wait for a turn and take it."""
        if self._most is None:
            return
        async with self._queue:
            if len(self._taken) == self._most:
                await asyncio.sleep(max(0.0, self._taken[0] + self._seconds - time.monotonic()))
                self._taken.popleft()
            self._taken.append(time.monotonic())
