"""The last that can be found wrong before anything is computed or paid: where results go, and who answers."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

from agent.folder.config import RunConfig
from agent.folder.store import check_writable
from agent.llm.flags import read_secrets
from agent.llm.preflight import check_machine, reach
from agent.llm.settings import Secrets
from agent.stages.recipients import Reached


def prepare(
    config: RunConfig, arguments: argparse.Namespace, environment: Mapping[str, str], tell: Callable[[str], object]
) -> Reached:
    """See that a new run's folder can be written and that its endpoint answers.

    A dry run sends nothing, and looks only at what can be told from the machine alone.

    Raises:
        RunError: one of them is not so; the text says what to mend.
    """
    check_writable(arguments.runs)
    secrets = read_secrets(arguments, environment) if config.llm else Secrets()
    if not arguments.dry_run:
        return knock(config, secrets, tell)
    if config.llm is not None:
        check_machine(config.llm, secrets)
    return Reached(config, secrets)


def knock(config: RunConfig, secrets: Secrets, tell: Callable[[str], object]) -> Reached:
    """See that the endpoint of a run answers, if it has one.

    Raises:
        RunError: it does not.
    """
    if config.llm is None:
        return Reached(config)
    choice, framing = reach(config.llm, secrets, tell)
    return Reached(config.model_copy(update={"llm": choice}), secrets, framing)
