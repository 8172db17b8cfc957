"""The endpoint that a command line names, reached: for commands that ask one model something of their own."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from agent.errors import RunError
from agent.llm.flags import KEY, named_address, read_budget, read_choice, read_secrets
from agent.llm.preflight import Tell, reach
from agent.llm.settings import LlmSettings


def reach_named(
    arguments: argparse.Namespace, environment: Mapping[str, str], tell: Tell, room: int | None = None
) -> LlmSettings | None:
    """The client's settings, for an endpoint that answers; None without a model. The key goes nowhere else.

    Args:
        arguments: with the flags of `add_llm_flags`.
        environment: of which address and key are read.
        tell: given what there is to be said of the endpoint.
        room: tokens of a reply, unless a flag says how many.

    Raises:
        RunError: a model is named but no endpoint is configured, or it cannot be used.
    """
    if not arguments.llm_model:
        return None
    secrets = read_secrets(arguments, environment)
    if not (named_address(arguments, environment) or secrets.key):
        raise RunError(f"no LLM is configured: set {KEY} or OPENAI_BASE_URL, or give --base-url")
    choice = read_choice(arguments, environment, arguments.llm_model, room=room)
    budget = read_budget(arguments)
    reached = reach(choice, secrets, tell)
    return LlmSettings.of(reached.choice, secrets, budget, framing=reached.framing)
