"""What a model is shown of a feature: python -m agent.show FILE KEY, or a page of such examples made anew."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tools.border.egress import guarded
from tools.display.terminal import Parser, door, say

if TYPE_CHECKING:
    from tools.records import Evidence

READERS = ("investigator", "judge", "rater")
_OPENS, _CLOSES, _FENCE = "<!-- shown: ", " -->", "```"


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m agent.show",
        description="Print the evidence on one feature as a model reads it, or fill a page of examples in again.",
    )
    parser.add_argument("evidence", type=Path, metavar="FILE", help="evidence, such as runs/RUN/evidence.jsonl")
    parser.add_argument("feature", nargs="?", metavar="KEY", help="its key, such as base-000123; all without it")
    parser.add_argument("--reader", choices=READERS, default="investigator", help="who reads it (default: %(default)s)")
    parser.add_argument("--page", type=Path, metavar="FILE", help="print this page, with its examples filled in again")
    return parser.parse_args(argv)


@door("nothing was changed")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Print it; 2 when there is no such file or feature."""
    arguments = parse_arguments(argv)
    from agent.errors import RunError
    from agent.lines import read_lines
    from tools.border.text_files import read_text
    from tools.records import Evidence

    found = {record.feature.key: record for record in read_lines(arguments.evidence, Evidence)}
    if arguments.page is not None:
        say(*fill(read_text(arguments.page), found).removesuffix("\n").split("\n"))
        return 0
    if arguments.feature is not None and arguments.feature not in found:
        raise RunError(f"{arguments.evidence} has no feature {arguments.feature}")
    show = _renderers()[arguments.reader]
    for key in [arguments.feature] if arguments.feature is not None else found:
        say(key, *show(found[key]).split("\n"), "")
    return 0


def fill(page: str, evidence: Mapping[str, Evidence]) -> str:
    """A page with the block under every line `<!-- shown: KEY READER -->` made anew, all else as it stands.

    A line `<!-- shown: legend -->` stands over what every reader is told of how to read it.

    Raises:
        RunError: a block is of a feature that there is no evidence on, or is not closed.
    """
    from agent.errors import RunError

    filled: list[str] = []
    lines = iter(page.split("\n"))
    for line in lines:
        filled.append(line)
        if not (line.startswith(_OPENS) and line.endswith(_CLOSES)):
            continue
        key, _, reader = line[len(_OPENS) : -len(_CLOSES)].partition(" ")
        if next(lines, None) != _FENCE or _FENCE not in lines:  # what stood between them is read past
            raise RunError(f"under {line!r} there is no block of text")
        filled += [_FENCE, _text_of(key, reader, evidence), _FENCE]
    return "\n".join(filled)


def _text_of(key: str, reader: str, evidence: Mapping[str, Evidence]) -> str:
    from agent.briefing.second.legend import LEGEND
    from agent.errors import RunError

    if key == "legend":
        return LEGEND
    if key not in evidence or reader not in READERS:
        raise RunError(f"there is no evidence on {key!r} for {reader!r}")
    return _renderers()[reader](evidence[key])


def _renderers() -> dict[str, Callable[[Evidence], str]]:
    from agent.briefing.second import evidence as second

    return dict(zip(READERS, (second.brief_investigator, second.brief_judge, second.brief_rater), strict=True))


if __name__ == "__main__":
    sys.exit(main())
