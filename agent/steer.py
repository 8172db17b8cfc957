"""`python -m agent.steer`: the door. It reads the command line, has a steering run begun or gone on with, and says how it ended."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from agent.steering.flags import parse_arguments
from tools.border.egress import guarded
from tools.display.terminal import door
from tools.machine import settle_threads


@door("nothing was begun")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Run it.

    Returns:
        0 when a run ended, 1 when a target does not meet what `--require` asks, 2 when something the user can mend stood
        in the way, 130 when interrupted.
    """
    arguments = parse_arguments(argv)
    settle_threads(arguments.threads)  # before numpy and torch are loaded
    from agent.steering import beginning
    from tools.display.console import LineConsole

    console, command = LineConsole(), list(sys.argv[1:] if argv is None else argv)
    if arguments.resume:
        return beginning.resume(arguments, console)
    return beginning.start(arguments, console, command)


if __name__ == "__main__":
    sys.exit(main())
