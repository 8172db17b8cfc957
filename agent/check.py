"""Whether a run folder may be relied on: python -m agent.check RUN..."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tools.border.egress import guarded
from tools.display.flags import add_shared
from tools.display.terminal import Parser, complain, door, say
from tools.errors import UnveilError

if TYPE_CHECKING:
    from agent.folder.findings import Checked

NOT_SOUND, BAD_INPUT = 1, 2
DESCRIPTION = """\
Say whether run folders are whole (everything is there and reads), finished (every selected feature was decided, or
failed) and untouched (everything agrees with the hashes stored beside it). Reads only; needs no model, key or network.

What is compared: evidence with the hash each decision was made by; each stored request with the hash it stands under;
each decision with the end of its transcript; the replies that transcripts rest on with those that are stored;
measurements with what was asked for; the summary with the decisions. Links, pipes and folders in a file's place are
refused unread. A line each for what is found, with counts.

What is not shown: hashes are no signature. Who changes a run and every hash in it is not found out here; what a model
answered, the survey (features.parquet), tables and figures have no hash. python -m agent.run --replay RUN shows
whether the decisions follow from what is stored.
"""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m agent.check",
        description=DESCRIPTION,
        epilog="exit status: 0 all is well, 1 something was found, 2 a folder is no run, or cannot be read at all",
    )
    add_shared(parser, "runs")
    return parser.parse_args(argv)


@door("nothing was changed")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Check each run and say what was found; the worst of them decides the exit status."""
    arguments = parse_arguments(argv)
    from agent.folder.soundness import check_folder
    from agent.folder.store import RunFolder

    worst = 0
    for path in arguments.runs:
        try:
            checked = check_folder(RunFolder.open(path))
        except (UnveilError, OSError) as error:
            complain(f"error: {error}")
            worst = BAD_INPUT
            continue
        say(*describe(path, checked))
        worst = max(worst, NOT_SOUND if checked.caveats else 0)
    return worst


def describe(path: Path, checked: Checked) -> Iterable[str]:
    """The folder, whether it is whole, finished and untouched, and a line for everything found."""
    yield f"{path}: {checked.sentence}"
    yield "  " + ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in checked.counts.items())
    for finding in checked.findings:
        yield f"  {'note' if finding.kind == 'unrecorded' else finding.kind}: {finding.text}"


if __name__ == "__main__":
    sys.exit(main())
