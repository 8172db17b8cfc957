"""How far a run may be trusted: `python -m evals.run RUN --labels FILE...`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tools.border.egress import guarded
from tools.display.flags import add_shared, number, whole
from tools.display.gates import read_requirement
from tools.display.terminal import Parser, door, say

if TYPE_CHECKING:
    from evals.agreement.results import Agreement


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m evals.run",
        description="Compare a run's verdicts with people's labels. Exit status 1: a requirement is not met; 2: bad input.",
        former={"--compare": "--against"},
    )
    add_shared(parser, "run")
    add_shared(parser, "--labels", required=True)
    add_shared(parser, "--programs")
    parser.add_argument(
        "--question",
        metavar="WORD",
        help="relevant, input_relevant, output_relevant, interpretable, a concept, or ratings for all concepts "
        "(default: what the run was asked)",
    )
    parser.add_argument(
        "--against", type=Path, metavar="RUN", help="another run on the same features, such as the rules'"
    )
    add_shared(
        parser,
        "--require",
        type=read_requirement,
        help="exit with 1 unless it holds, such as 'kappa_low>=0.6'; may be given again",
    )
    parser.add_argument(
        "--epsilon",
        metavar="SHARE",
        type=number(0.0, 1.0),
        default=0.15,
        help="of the alternative annotator test: 0.2 experts, 0.15 skilled, 0.1 a crowd (default: 0.15)",
    )
    parser.add_argument(
        "--next",
        type=whole(0, 1_000_000),
        default=20,
        metavar="N",
        help="features to propose for labelling (default: 20)",
    )
    add_shared(parser, "--seed")
    return parser.parse_args(argv)


@door("the run is as it was; the same command starts again")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Examine, print and write; the exit status says whether every requirement is met."""
    arguments = parse_arguments(argv)
    from evals.agreement.report import lay_out, write_report
    from evals.reporting.page import as_lines
    from tools.display.gates import judge_figures

    report, remarks = examine_run(arguments)
    files = write_report(arguments.run / "evals", report)
    say(*as_lines(lay_out(report)), *remarks, "", str(files[0]))
    return judge_figures(arguments.require, report.figures)


def examine_run(arguments: argparse.Namespace) -> tuple[Agreement, list[str]]:
    """The examination that a command line asks for, and what is to be said of the labels.

    Raises:
        UnveilError: the run or the labels cannot be read, or do not fit each other.
    """
    from agent.folder.floors import floors_of
    from agent.folder.soundness import check_folder
    from agent.folder.store import RunFolder
    from evals.agreement.examination import examine
    from evals.agreement.pairing import choose_question
    from evals.agreement.people import list_remarks
    from evals.errors import LabelError
    from evals.manual.files import read_label_files, read_outcomes

    run = RunFolder.open(arguments.run)
    decisions = run.decisions()
    if not decisions:
        raise LabelError(f"{arguments.run} has no decision yet")
    labels, remarks = read_label_files(arguments.labels)
    against = RunFolder.open(arguments.against) if arguments.against else None
    other = (arguments.against.name, against.decisions()) if against else None
    question = arguments.question or choose_question(decisions, labels)
    manifest, found_now = run.manifest(), check_folder(run).caveats
    if against is not None:
        found_now += tuple(f"{against.path.name}: {text}" for text in check_folder(against).caveats)
    report = examine(
        manifest,
        decisions,
        labels,
        question,
        other,
        arguments.epsilon,
        arguments.next,
        arguments.seed,
        arguments.programs,
        floors_of(run.path, manifest, run.evidence() or ()),
        read_outcomes(arguments.labels),
    )
    report = report.model_copy(update={"remarks": (*found_now, *report.remarks)})
    return report, list_remarks("labels given more than once", remarks, most=20)


if __name__ == "__main__":
    sys.exit(main())
