"""Who receives something of a run: the endpoint that judges it and, only with `--trace`, a tracing service."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

from agent.errors import RunError
from agent.folder.config import RunConfig
from agent.llm.settings import Framing, Secrets

TRACING_URL = "https://api.smith.langchain.com"
"""Where LangSmith is unless the environment names another place."""


def list_recipients(config: RunConfig, environment: Mapping[str, str]) -> list[str]:
    """URLs that a run may reach while it investigates; none for a run by rules that is not traced."""
    urls: list[str] = []
    if config.llm is not None:
        urls.append(config.llm.base_url)
    if config.traced:
        urls.append(tracing_url(environment))
    return urls


def tracing_url(environment: Mapping[str, str]) -> str:
    """Where LangSmith's client sends traces in this environment."""
    return environment.get("LANGSMITH_ENDPOINT") or environment.get("LANGCHAIN_ENDPOINT") or TRACING_URL


def check_tracing(environment: Mapping[str, str]) -> None:
    """Find out before a run begins that it cannot be traced.

    Raises:
        RunError: there is no key for it, or its place is no URL.
    """
    if not (environment.get("LANGSMITH_API_KEY") or environment.get("LANGCHAIN_API_KEY")):
        raise RunError("--trace sends the run to LangSmith, which wants a key: set LANGSMITH_API_KEY, or leave it out")
    if urlsplit(tracing_url(environment)).scheme not in ("http", "https"):
        raise RunError(f"LANGSMITH_ENDPOINT {tracing_url(environment)!r} is no http(s) URL")


def describe_tracing(environment: Mapping[str, str]) -> str:
    """The line that says so before anything is sent."""
    host = urlsplit(tracing_url(environment)).netloc.rpartition("@")[2]
    return f"  traced: prompts, evidence, replies and decisions go to {host} as well (--trace)"


@contextmanager
def traced(wanted: bool) -> Generator[None]:
    """Within it the graph is traced, or, whatever the environment says, it is not; what is traced is sent by its end."""
    from langsmith.run_helpers import tracing_context  # comes with the graph library, and is as heavy

    try:
        with tracing_context(enabled=wanted):
            yield
    finally:
        if wanted:
            from langchain_core.tracers.langchain import wait_for_all_tracers

            wait_for_all_tracers()


class Reached(NamedTuple):
    """A run's config, and what its endpoint is sent besides."""

    config: RunConfig
    """With the base URL at which the endpoint answers."""
    secrets: Secrets = Secrets()
    framing: Framing = "with usage"
