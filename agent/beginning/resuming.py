"""Going on with a run: what may be said differently now, and where its key may go."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from agent.errors import RunError
from agent.folder.config import RunConfig
from agent.folder.records import Manifest, SettingChange
from agent.llm.flags import ADDRESS, make, named_address, read_secrets
from agent.llm.http.address import is_loopback, is_same
from agent.llm.prices import SHIPPED, PriceTable
from agent.llm.settings import DEFAULT_BASE_URL, LlmChoice, Secrets
from tools.display.flags import spell

CHANGEABLE = {
    "base_url": "base_url",
    "timeout": "timeout_seconds",
    "concurrency": "concurrency",
    "requests_per_minute": "requests_per_minute",
    "budget_usd": "budget_usd",
    "budget_tokens": "budget_tokens",
    "prices": "prices",
}
"""Flags beside --header that change nothing in a request, and the fields they set."""
_OF_THE_PROCESS = frozenset({"resume", "replay", "retry_failed", "header", "threads", "trace"})


class Resumption(NamedTuple):
    """How a run goes on."""

    config: RunConfig
    secrets: Secrets
    changes: tuple[SettingChange, ...]


def refuse_flags(arguments: argparse.Namespace, flag: str) -> None:
    """Nothing is ignored in silence.

    Args:
        arguments: as parsed.
        flag: the one that goes on with, or replays, what is there: `resume` or `replay`.

    Raises:
        RunError: others beside it would change nothing.
    """
    allowed = _OF_THE_PROCESS | (CHANGEABLE.keys() if flag == "resume" else set())
    if others := sorted(arguments.given - allowed):
        may = f" (what may change: {spell(CHANGEABLE)}, --header)"
        raise RunError(f"--{flag} takes a run as it is: leave out {spell(others)}{may if flag == 'resume' else ''}")


def reconsider(
    manifest: Manifest, arguments: argparse.Namespace, environment: Mapping[str, str], asks: bool = True
) -> Resumption:
    """The run's config with what the command line says differently, and the secrets that may go to its endpoint.

    Args:
        manifest: of the run.
        arguments: of now.
        environment: of now.
        asks: whether anything is still to be sent.

    Raises:
        RunError: a flag is out of its bounds or out of place, or nobody of now names the endpoint that a key would go to.
    """
    config, given = manifest.config, sorted(arguments.given & {*CHANGEABLE, "header"})
    if config.llm is None:
        if given:
            raise RunError(f"the rules judge this run, and ask no endpoint: leave out {spell(given)}")
        return Resumption(config, Secrets(), ())
    if not asks and not given:
        return Resumption(config, Secrets(), ())
    secrets = read_secrets(arguments, environment)
    if asks and config.llm.prices is not None and secrets.prices is None:
        raise RunError(
            f"the run's prices came from {config.llm.prices}, which its word opens not: give --prices FILE again"
        )
    PriceTable.read(secrets.prices or SHIPPED)
    update = {CHANGEABLE[name]: getattr(arguments, name) for name in CHANGEABLE if name in arguments.given}
    address = choose_address(config.llm.base_url, secrets, arguments, environment)
    update |= {"base_url": address, "headers": _header_names(config.llm, secrets)}
    budget = {name: update.pop(name) for name in ("budget_usd", "budget_tokens") if name in update}
    limits = make(type(config.limits), **{**config.limits.model_dump(), **budget})
    choice = make(LlmChoice, **{**config.llm.model_dump(), **update})
    changed = config.model_copy(update={"llm": choice, "limits": limits})
    return Resumption(changed, secrets, list_changes(config, changed))


def choose_address(
    recorded: str, secrets: Secrets, arguments: argparse.Namespace, environment: Mapping[str, str]
) -> str:
    """Where the run's requests go now.

    A run folder may come from anyone: a key goes only where the command line or the environment of now says.

    Raises:
        RunError: neither names the run's endpoint, and it is not one of this machine that is asked without a key.
    """
    named = named_address(arguments, environment)
    if named is not None and (arguments.base_url or is_same(named, recorded)):
        return recorded if is_same(named, recorded) else named
    if named is not None:
        raise RunError(f"the run asked {recorded}, and {ADDRESS} names {named}: say with --base-url which it is now")
    unkeyed = not secrets.key and not secrets.headers
    if is_same(recorded, DEFAULT_BASE_URL) or (is_loopback(recorded) and unkeyed):
        return recorded
    raise RunError(f"the run asked {recorded}: name it with --base-url, or another, before anything is sent there")


def list_changes(before: RunConfig, after: RunConfig) -> tuple[SettingChange, ...]:
    """What of endpoint and budget differs, dated now."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    pairs = [(before.llm, after.llm), (before.limits, after.limits)]
    dumps = [(one.model_dump(mode="json"), other.model_dump(mode="json")) for one, other in pairs if one and other]
    return tuple(
        SettingChange(at=at, name=name, before=old[name], after=new[name])
        for old, new in dumps
        for name in old
        if old[name] != new[name]
    )


def _header_names(choice: LlmChoice, secrets: Secrets) -> tuple[str, ...]:
    given = {name.lower() for name in secrets.headers}
    if missing := [name for name in choice.headers if name.lower() not in given]:
        again = " ".join(f"--header {name}=…" for name in missing)
        raise RunError(
            f"the run's requests had further headers, whose values are stored nowhere: give them again with {again}"
        )
    return tuple(secrets.headers)
