"""A stand-in for a language model's server: `python -m agent.llm.stub`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tools.border.egress import guarded
from tools.display.flags import add_shared, number
from tools.display.terminal import Parser, door, say

ABOUT = """\
Serve a stand-in for a language model, to try commands on: an OpenAI-compatible endpoint, for this machine alone, without
a key. It calls the first tool that it is offered and fills every form with the first value that fits, so its verdicts
mean nothing. Ctrl-C stops it. Exit status 2: the port is taken, or FILE holds no replies.
"""
USE = """\
to try a run on it, in a second terminal:
  python -m agent.run --llm-model stub --base-url http://127.0.0.1:8000/v1

a FILE of replies has one JSON object per line, sent to one new request after another:
  {"content": "some text"}
  {"content": {"relevant": "yes", "confidence": 0.9}}
  {"calls": [["measure_activations", {"sentences": ["a sentence"]}]]}
What has no line yet is answered with status 503; add lines, and go on with python -m agent.run --resume RUN.
"""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m agent.llm.stub",
        description=ABOUT,
        epilog=USE,
    )
    add_shared(parser, "--port")
    parser.add_argument("--replies", type=Path, metavar="FILE", help="answer with the lines of this file instead")
    parser.add_argument(
        "--delay", type=number(0.0, 3600.0), default=0.0, metavar="S", help="seconds before each reply (default: none)"
    )
    return parser.parse_args(argv)


@door("the stand-in is gone")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Say where, and serve until interrupted."""
    arguments = parse_arguments(argv)
    import asyncio

    from agent.llm.stub.replies import obey, read_replies, reading
    from agent.llm.stub.server import HOST, StandIn

    if arguments.replies:
        read_replies(arguments.replies)
    stub = StandIn(reading(arguments.replies) if arguments.replies else obey, arguments.delay)

    async def serve() -> None:
        try:
            server = await stub.start(arguments.port)
        except OSError as error:
            where = f"{HOST}:{arguments.port}"
            raise OSError(f"cannot serve on {where}: {error.strerror}; try another --port") from None
        say(stub.base_url, "stop with ctrl-c")
        await server.serve_forever()

    with suppress(KeyboardInterrupt):  # which is how it ends
        asyncio.run(serve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
