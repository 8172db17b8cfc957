"""`python -m agent.run`: the door. It reads the command line, has a run begun or gone on with, and gives the exit status."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.beginning.flags import parse_arguments
from tools.border.egress import guarded
from tools.display.terminal import describe, door
from tools.errors import UnveilError
from tools.machine import settle_threads

if TYPE_CHECKING:
    from rich.console import Console


@door("interrupted: nothing was begun")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Run it.

    Returns:
        0 when a run ended, 1 when every feature failed or a replay differs, 2 when something the user can mend stood in
        the way, 130 when interrupted.
    """
    arguments = parse_arguments(argv)
    settle_threads(arguments.threads)  # before numpy and torch are loaded
    from agent.errors import EveryFeatureFailed
    from tools.display.console import LineConsole

    console, errors = LineConsole(), LineConsole(stderr=True)
    try:
        return _begin(arguments, console, list(sys.argv[1:] if argv is None else argv))
    except UnveilError as error:
        errors.print(f"error: {describe(error)}")
        return 1 if isinstance(error, EveryFeatureFailed) else 2
    except KeyboardInterrupt as stop:
        kept = f"what was finished is kept; go on with python -m agent.run --resume {stop.args[0]}" if stop.args else ""
        errors.print(f"interrupted: {kept or 'nothing was begun'}")
        return 130


def _begin(arguments: argparse.Namespace, console: Console, command: Sequence[str]) -> int:
    from agent.beginning import again, anew

    if arguments.trace:
        again.check_trace(arguments)
    if arguments.replay:
        return again.replay_run(arguments, console)
    if arguments.resume:
        return again.resume(arguments, console)
    if arguments.rejudge:
        return anew.rejudge(arguments, console, command)
    return anew.start(arguments, console, command)


if __name__ == "__main__":
    sys.exit(main())
