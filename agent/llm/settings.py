"""Which endpoint answers, and how much of it may be used: what is stored of it, and beside it what never is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, cast

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from agent.llm.records import Usage
from agent.llm.secrecy import Redactor
from tools.records import Record

Framing = Literal["with usage", "streamed", "whole"]
"""How a reply is asked for: as a stream that ends with the usage, as a stream, or in one piece."""
DEFAULT_BASE_URL = "https://api.openai.com/v1"
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding"}
)


class Secrets(NamedTuple):
    """What comes from the command line or environment of now, each time, and never from what a run stored.

    Key and headers are given to an endpoint besides requests; prices are a file of the user's.
    """

    key: str | None = None
    """None for servers that want none."""
    headers: Mapping[str, str] = {}
    prices: Path | None = None
    """File of prices that replaces the shipped table; a manifest says which there was, and opens none."""

    def __repr__(self) -> str:
        return f"Secrets({'a key' if self.key else 'no key'}, {len(self.headers)} headers)"


class LlmChoice(Record):
    """Which models answer, where, and how they may be used: all that is stored of it, and so never a key."""

    model: str = Field(min_length=1)
    judge_model: str = ""
    """The judge's model; the investigator's unless told otherwise."""
    base_url: str = Field(default=DEFAULT_BASE_URL, pattern=r"^https?://[^/@\s]+(/\S*)?$")
    """With the version: `http://127.0.0.1:8000/v1`. It carries no password: it is stored with the run."""
    temperature: float = Field(default=0.0, ge=0, le=2, allow_inf_nan=False)
    max_output_tokens: int = Field(default=2000, ge=1, le=1_000_000)
    """Of one reply, thoughts included; a reply cut in its thoughts is asked for once more with room for four times
    as many. The longest prompts have 6,000 tokens, so that a window of 8,192 holds both."""
    reasoning_effort: str | None = Field(default=None, pattern=r"^[a-z]{1,20}$")
    """Sent only if given."""
    timeout_seconds: float = Field(default=600, gt=0, le=86_400, allow_inf_nan=False)
    """Of silence: a slow model may take minutes to read a prompt, and may write for as long as it keeps writing."""
    max_attempts: int = Field(default=6, ge=1, le=100)
    requests_per_minute: int | None = Field(default=None, ge=1, le=1_000_000)
    concurrency: int = Field(default=8, ge=1, le=1024)
    """Requests, and features, at once."""
    prices: Path | None = None
    """File of prices that replaces the shipped table."""
    headers: tuple[str, ...] = ()
    """Names of further headers. Their values are secrets."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        given = {name: value for name, value in cast("dict[str, Any]", data).items() if value is not None}
        return {**given, "judge_model": given.get("judge_model") or given.get("model")}


class Budget(Record):
    """What all calls of a run together may use; None for no bound."""

    budget_tokens: int | None = Field(default=None, ge=0)
    """Input and output tokens."""
    budget_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class LlmSettings(LlmChoice):
    """The choice of a run with what is never stored: secrets, budget and seed of now, and the manner of trying again."""

    model_config = ConfigDict(hide_input_in_errors=True)

    api_key: SecretStr | None = Field(default=None, exclude=True, repr=False)
    """None for servers that want none."""
    header_values: dict[str, SecretStr] = Field(default_factory=dict[str, SecretStr], exclude=True, repr=False)
    """Further headers, such as gateways want."""
    seed: int | None = None
    backoff_s: float = Field(default=1.0, ge=0)
    """The longest first wait between attempts; it doubles with each."""
    max_wait_s: float = Field(default=60.0, ge=0)
    """No wait is longer but for its jitter, whatever the server asks for."""
    total_s: float = Field(default=14_400.0, gt=0)
    """For one whole reply: a server that sends a little now and then for ever is given up, too."""
    framing: Framing = "with usage"
    """To begin with: the client asks for less once that has been refused."""
    budget_usd: float | None = Field(default=None, ge=0)
    budget_tokens: int | None = Field(default=None, ge=0)
    """Input and output tokens of all calls in the store."""

    @classmethod
    def of(
        cls,
        choice: LlmChoice,
        secrets: Secrets,
        budget: Budget | None = None,
        seed: int | None = None,
        framing: Framing = "with usage",
    ) -> Self:
        """The settings of a run.

        Raises:
            ValidationError: a key or a header's value is one that HTTP cannot carry.
        """
        budget, stored = budget or Budget(), choice.model_dump(exclude={"prices"})
        return cls(
            **stored,
            prices=secrets.prices,
            api_key=SecretStr(secrets.key) if secrets.key else None,
            header_values={name: SecretStr(value) for name, value in secrets.headers.items()},
            seed=seed,
            framing=framing,
            budget_usd=budget.budget_usd,
            budget_tokens=budget.budget_tokens,
        )

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

    def request_headers(self) -> dict[str, str]:
        """What goes with every request; the secrets are in it."""
        given = {name: value.get_secret_value() for name, value in self.header_values.items()}
        key = (
            {}
            if any(name.lower() == "authorization" for name in given)
            else {"Authorization": f"Bearer {self.key or 'none'}"}
        )
        return {"User-Agent": "unveil", "Accept": "application/json, text/event-stream", **key, **given}

    def redacted(self, text: str) -> str:
        """The text without key and headers, which a server may echo in many forms."""
        return self._redactor(text)

    @cached_property
    def _redactor(self) -> Redactor:
        headers = {f"[{name}]": value.get_secret_value() for name, value in self.header_values.items()}
        return Redactor({**headers, "[key]": self.key})

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


def read_headers(given: Iterable[str]) -> dict[str, str]:
    """Headers written as NAME=VALUE.

    Raises:
        ValueError: one is none, or is ours to set. The text never has the value.
    """
    headers: dict[str, str] = {}
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not _HEADER_NAME.fullmatch(name):
            raise ValueError("a header is written as NAME=VALUE, such as X-Team=reading")
        if name.lower() in _OURS:
            raise ValueError(f"the header {name} is set by the client")
        if not value or not value.isascii() or not value.isprintable():
            raise ValueError(f"the value of header {name} is empty or has characters that no HTTP header can carry")
        headers[name] = value
    return headers


def without_values(command: Iterable[str], given: Iterable[str]) -> list[str]:
    """A command line as it may be stored: of every header only its name.

    Args:
        command: its words.
        given: the headers in it, as NAME=VALUE.
    """
    hidden = {text: f"{text.partition('=')[0]}=[secret]" for text in given}
    words: list[str] = []
    for word in command:
        for text, instead in hidden.items():
            word = word.replace(text, instead)
        words.append(word.encode("utf-8", "backslashreplace").decode())  # paths need not be UTF-8, what is stored is
    return words
