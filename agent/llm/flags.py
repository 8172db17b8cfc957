"""The flags by which a model is chosen, for every command that asks one, and the record they make."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tools.display.flags import Takes, is_text, spell

if TYPE_CHECKING:
    from agent.llm.settings import Budget, LlmChoice, Secrets
    from tools.records import Record

    R = TypeVar("R", bound=Record)

KEY, ADDRESS = "OPENAI_API_KEY", "OPENAI_BASE_URL"
FLAGS = {"timeout_seconds": "--timeout", "traced": "--trace", "api_key": KEY}
"""What sets fields that no flag is named after. Bounds are the records' own: `make` says which flag is out of them."""
_AS_GIVEN = ("temperature", "reasoning_effort", "requests_per_minute", "concurrency", "prices")
"""Flags whose values are a choice's fields of the same names."""


def add_llm_flags(to: Takes, without: str = "default: OPENAI_MODEL") -> None:
    """Which endpoint, how it is asked, and how much of it.

    Args:
        to: a parser or a group.
        without: what holds if no model is named.
    """
    add = to.add_argument
    add("--llm-model", metavar="MODEL", help=f"the model's name ({without})")
    add("--base-url", metavar="URL", help="an OpenAI-compatible endpoint, with its /v1 (default: OPENAI_BASE_URL)")
    add(
        "--header",
        action="append",
        metavar="NAME=VALUE",
        help="a further header of every request, any number of times; values are stored nowhere",
    )
    add(
        "--timeout", type=float, metavar="S", help="seconds of silence after which a request is given up (default: 600)"
    )
    add("--concurrency", type=int, metavar="N", help="requests at once (default: 8)")
    add("--requests-per-minute", type=int, metavar="N", help="never more (default: no limit)")
    add("--max-output-tokens", type=int, metavar="N", help="of one reply, thoughts included (default: 2000)")
    add("--temperature", type=float, metavar="T", help="from 0 to 2 (default: 0)")
    add("--reasoning-effort", metavar="WORD", help="how long a model thinks: none, minimal, low, medium, high …")
    add("--budget-usd", type=float, metavar="X", help="stop asking when this much is spent")
    add("--budget-tokens", type=int, metavar="N", help="stop asking when so many are spent")
    add("--prices", type=Path, metavar="FILE", help="prices that replace the shipped table")


def named_address(arguments: argparse.Namespace, environment: Mapping[str, str]) -> str | None:
    """The base URL that the command line or the environment of now names, if either does.

    Raises:
        RunError: it cannot be one.
    """
    from agent.llm.http.address import read_address

    named = arguments.base_url or (environment.get(ADDRESS) or "").strip()
    return read_address(named) if named else None


def read_choice(
    arguments: argparse.Namespace,
    environment: Mapping[str, str],
    model: str,
    judge_model: str = "",
    room: int | None = None,
) -> LlmChoice:
    """The record of a command line.

    Args:
        arguments: with the flags of `add_llm_flags`.
        environment: of which the address is read.
        model: that answers.
        judge_model: that judges, if it is another.
        room: tokens of a reply, unless a flag says how many.

    Raises:
        RunError: a flag is out of its bounds, or the prices do not read.
    """
    from agent.llm.prices import SHIPPED, PriceTable
    from agent.llm.settings import LlmChoice

    choice = make(
        LlmChoice,
        model=model,
        judge_model=judge_model,
        base_url=named_address(arguments, environment),
        max_output_tokens=room if arguments.max_output_tokens is None else arguments.max_output_tokens,
        timeout_seconds=arguments.timeout,
        **{name: getattr(arguments, name) for name in _AS_GIVEN},
        headers=tuple(read_secrets(arguments, environment).headers),
    )
    PriceTable.read(choice.prices or SHIPPED)
    return choice


def read_budget(arguments: argparse.Namespace) -> Budget:
    """The budget of a command line.

    Raises:
        RunError: it is below nothing.
    """
    from agent.llm.settings import Budget

    return make(Budget, budget_usd=arguments.budget_usd, budget_tokens=arguments.budget_tokens)


def read_secrets(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Secrets:
    """Key, headers and prices of now; the first two are kept in no record.

    Raises:
        RunError: one is none that HTTP can carry. The text never has it.
    """
    from agent.errors import RunError
    from agent.llm.settings import LlmSettings, Secrets, read_headers

    key = environment.get(KEY) or None
    try:
        secrets = Secrets(key, read_headers(arguments.header or ()), arguments.prices)
    except ValueError as error:
        raise RunError(f"--header: {error}") from None
    make(LlmSettings, model="any", api_key=key)
    return secrets


def make(kind: type[R], **values: Any) -> R:
    """A record of what flags say.

    Raises:
        RunError: a value is out of its bounds; the text names the flag.
    """
    from pydantic import ValidationError

    from agent.errors import RunError

    for name, value in values.items():
        if isinstance(value, str) and not is_text(value):
            raise RunError(f"{_flag(kind, name)} {value}: it is no UTF-8 text, and could not be stored with the run")
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        said = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
        given = "" if name == "api_key" else f" {values.get(name)}"
        raise RunError(f"{_flag(kind, name)}{given}: {said}") from None


def _flag(kind: type[Record], name: str) -> str:
    if name == "model" and "base_url" in kind.model_fields:  # `--model` is the one that is looked into
        return "--llm-model"
    return FLAGS.get(name) or spell([name])
