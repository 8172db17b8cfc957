"""Steering over many targets: `python -m evals.steered RUN [RUN ...]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.border.egress import guarded
from tools.display.flags import add_shared
from tools.display.gates import read_requirement
from tools.display.terminal import Parser, door, say

SCHEMES = ("swap", "weight", "clamp", "add")


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m evals.steered",
        description="Steering toward texts, over all targets of finished runs of python -m agent.steer: which arms work, beside "
        "shuffled scores and a prompt that simply asks; whether the model that judged and the measures agree; how well what is "
        "known of a target beforehand tells whether it works. "
        "Exit status 1: a requirement is not met; 2: bad input, or runs that must not be read together.",
    )
    add_shared(parser, "runs")
    parser.add_argument(
        "--scheme", choices=SCHEMES, help="whose success is told (default: the first that the runs have)"
    )
    parser.add_argument(
        "--fit",
        type=Path,
        metavar="FILE",
        help="write the confidence that these targets fit, as a study keeps it: studies/STUDY/toward.json",
    )
    add_shared(parser, "--out", help="folder of the report (default: evals/steered/ in the first run)")
    add_shared(parser, "--json")
    add_shared(
        parser,
        "--require",
        type=read_requirement,
        help="exit with 1 unless it holds, such as 'auroc_left_out_low>0.5'; may be given again; the JSON lists the figures",
    )
    add_shared(parser, "--allow-different", "--seed")
    return parser.parse_args(argv)


@door("the runs are as they were; the same command starts again")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Examine, print and write; the exit status says whether every requirement is met."""
    arguments = parse_arguments(argv)
    from agent.folder.store import write_whole
    from evals.reporting.outputs import check_outputs
    from evals.reporting.page import as_lines
    from evals.steerings.examining import examine
    from evals.steerings.report import lay_out, write_report
    from evals.steerings.runs import read_together
    from tools.display.gates import judge_figures

    together = read_together(arguments.runs, arguments.allow_different is not None)
    check_outputs(arguments.out, arguments.json, arguments.fit)
    found = examine(together, arguments.scheme, arguments.seed, arguments.allow_different)
    fitted = found.fit(together) if arguments.fit else None
    files = write_report(arguments.out or arguments.runs[0] / "evals" / "steered", found.report)
    if arguments.json:
        write_whole(arguments.json, found.report.model_dump_json(indent=1) + "\n")
    say(*as_lines(lay_out(found.report)), "", str(files[0]))
    if fitted is not None:
        write_whole(arguments.fit, fitted.model_dump_json(indent=1) + "\n")
        say(f"{arguments.fit}: fitted on {len(fitted.targets)} targets")
    return judge_figures(arguments.require, found.report.figures)


if __name__ == "__main__":
    sys.exit(main())
