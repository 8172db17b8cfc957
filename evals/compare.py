"""The study's question, answered: `python -m evals.compare RUN_BASE RUN_FINETUNED [--replicates FILE|RUN...]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tools.border.egress import guarded
from tools.display.flags import add_shared
from tools.display.gates import read_requirement
from tools.display.terminal import Parser, door, say
from tools.machine import describe_load, look, settle_threads

if TYPE_CHECKING:
    from rich.console import Console


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m evals.compare",
        description="Compare two arms of a study: are features more relevant, sharper, more steerable? "
        "Exit status 1: a requirement is not met; 2: bad input, or runs that must not be compared.",
        former={"--seeds": "--replicates", "--to": "--out"},
    )
    add_shared(parser, "runs", nargs="*", help="run folders: the base arm's, the fine-tuned one's")
    parser.add_argument(
        "--replicates",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE|RUN",
        help="runs of the same two models with SAEs of other seeds, or their summaries: the unit that matters",
    )
    parser.add_argument(
        "--summarise",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="write what --replicates needs of these runs to --out FILE.jsonl",
    )
    add_shared(parser, "--out", help="folder of the comparison (default: in the first run), or --summarise's file")
    add_shared(parser, "--allow-different")
    parser.add_argument(
        "--no-weights",
        action="store_true",
        help="load no model: leave out which features changed, and the weights' check",
    )
    parser.add_argument(
        "--vectors",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="further word vectors, for their coverage",
    )
    add_shared(
        parser,
        "--require",
        type=read_requirement,
        help="exit with 1 unless it holds, such as 'relevant_difference_low>0'; may be given again; comparison.json "
        "lists the figures",
    )
    add_shared(parser, "--seed", "--device", "--threads")
    arguments = parser.parse_args(argv)
    if arguments.summarise:
        if arguments.runs or arguments.out is None:
            parser.error("--summarise RUN... takes --out FILE.jsonl and no other runs")
    elif len(arguments.runs) != 2:
        parser.error("two runs are compared: RUN_BASE RUN_FINETUNED")
    return arguments


@door("the runs are as they were; the same command starts again")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Compare or summarise, print and write; the exit status says whether every requirement is met."""
    arguments = parse_arguments(argv)
    threads = settle_threads(arguments.threads)  # before numpy and torch are loaded
    from agent.folder.store import RunFolder
    from evals.arms.summary import read_summaries
    from tools.display.console import LineConsole

    console = LineConsole(stderr=True)
    for path in (*arguments.runs, *(arguments.summarise or ()), *arguments.replicates):  # before a bar is drawn
        if path in arguments.replicates and not path.is_dir():
            read_summaries(path)
        else:
            RunFolder.open(path)
    return _summarise(arguments, console) if arguments.summarise else _compare(arguments, threads, console)


def _compare(arguments: argparse.Namespace, threads: int, console: Console) -> int:
    from evals.arms.comparing import Asked, compare_runs
    from evals.arms.report.page import lay_out
    from evals.reporting.outputs import check_outputs
    from evals.reporting.page import as_lines
    from tools.display.gates import judge_figures
    from tools.display.progress import Bars

    check_outputs(arguments.out)
    base, finetuned = arguments.runs
    asked = Asked(
        base=base,
        finetuned=finetuned,
        folder=arguments.out or base / f"compare-{finetuned.resolve().name}",
        seeds=arguments.replicates,
        allowed=arguments.allow_different,
        weights=not arguments.no_weights,
        vectors=arguments.vectors,
        seed=arguments.seed,
        device=arguments.device,
    )
    if asked.weights and (note := describe_load(look(), threads)):
        console.print(note)
    with Bars(console, "compare") as progress:
        found, files = compare_runs(asked, progress)
    say(*as_lines(lay_out(found)), "", str(files[0]))
    return judge_figures(arguments.require, found.figures)


def _summarise(arguments: argparse.Namespace, console: Console) -> int:
    from evals.arms.changes import match_seeds
    from evals.arms.summary import Summarised, read_run, write_summaries
    from tools.display.progress import track

    read = [read_run(path) for path in track(arguments.summarise, "read         runs", console=console)]
    known = [Summarised(one.summary, one.origin) for one in read]
    summaries = [one.summary for one in read] if arguments.no_weights else match_seeds(known, arguments.seed)
    write_summaries(arguments.out, summaries)
    say(f"{arguments.out}: {len(summaries)} runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
