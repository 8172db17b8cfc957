"""`python -m agent.run`: the door. It reads the command line, has a run begun or gone on with, and gives the exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from agent.beginning.flags import parse_arguments
from tools.border.egress import guarded
from tools.display.terminal import door
from tools.machine import settle_threads


@door("nothing was begun")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Run it.

    Returns:
        0 when a run ended, 1 when every feature failed or a replay differs, 2 when something the user can mend stood in
        the way, 130 when interrupted.
    """
    arguments = parse_arguments(argv)
    settle_threads(arguments.threads)  # before numpy and torch are loaded
    from agent.beginning import again, anew
    from tools.display.console import LineConsole

    console, command = LineConsole(), list(sys.argv[1:] if argv is None else argv)
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
