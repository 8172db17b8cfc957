"""Serve the desk: python -m evals.review RUN... [--labels FILE...]."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

from tools.border.egress import guarded, reaching
from tools.display.flags import add_shared
from tools.display.terminal import Parser, complain, door, say

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m evals.review",
        description="Read runs in a browser, feature by feature, and label features without seeing the verdicts. "
        "Needs neither a model nor a key: everything shown comes from the run folders.",
    )
    add_shared(parser, "runs", "--labels", "--programs")
    add_shared(parser, "--annotator", help="who labels in this browser, unless the page is told otherwise")
    parser.add_argument(
        "--host", metavar="NAME", default="127.0.0.1", help="address to serve on (default: this machine only)"
    )
    add_shared(parser, "--port", default=8765)
    return parser.parse_args(argv)


@door("every label that was given is kept")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Open the runs and serve them until interrupted; 2 when something cannot be read or the port is taken."""
    arguments = parse_arguments(argv)
    from evals.review.app import create_app
    from evals.review.desk import Desk

    desk = Desk.open(arguments.runs, arguments.labels, arguments.annotator, arguments.programs)
    app = create_app(desk, arguments.host)
    listening = _listen(arguments.host, arguments.port)
    port = listening.getsockname()[1]
    shown = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    complain(*desk.remarks)
    if arguments.host not in LOOPBACK:
        complain(f"note: everyone who reaches {shown}:{port} can read these runs and write labels")
    say(f"http://{shown}:{port}/", "stop with ctrl-c")
    import uvicorn

    with suppress(KeyboardInterrupt):  # the server has shut down by then, and passes the signal on
        uvicorn.Server(uvicorn.Config(app, log_level="warning", server_header=False)).run(sockets=[listening])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket: whether the port is free is known before anything is printed."""
    try:
        with reaching(f"http://[{host}]" if ":" in host else f"http://{host}"):  # its own name may have to be looked up
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server((str(address[0]), port), family=family)
    except OSError as error:
        raise OSError(f"cannot serve on {host}:{port}: {error.strerror}; try another --port") from None


if __name__ == "__main__":
    sys.exit(main())
