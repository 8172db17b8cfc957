"""The study's question, answered: `python -m evals.compare RUN_BASE RUN_FINETUNED [--seeds FILE|RUN...]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tools.border.egress import guarded
from tools.display.flags import MOST_SEED, whole
from tools.display.terminal import Parser, door, say
from tools.machine import add_threads, describe_load, look, settle_threads

if TYPE_CHECKING:
    from rich.console import Console


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m evals.compare",
        description="Compare two arms of a study: are features more relevant, sharper, more steerable? "
        "Exit status 1: a requirement is not met; 2: bad input, or runs that must not be compared.",
    )
    parser.add_argument(
        "runs", type=Path, nargs="*", metavar="RUN", help="run folders: the base arm's, the fine-tuned one's"
    )
    parser.add_argument(
        "--seeds",
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
        help="write what --seeds needs of these runs to --to FILE.jsonl",
    )
    parser.add_argument(
        "--to",
        type=Path,
        metavar="PATH",
        help="folder of the comparison (default: beside the first run), or --summarise's file",
    )
    parser.add_argument(
        "--allow-different",
        metavar="REASON",
        help="compare although something differs that must be equal; the reason is kept",
    )
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
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="BOUND",
        help="such as 'relevant_difference_low>0'; may be given again; comparison.json lists the figures",
    )
    parser.add_argument(
        "--seed", type=whole(0, MOST_SEED), default=0, help="of resamples and permutations (default: 0)"
    )
    parser.add_argument("--device", default="auto", help="that weights are loaded on: auto, cpu, cuda or mps")
    add_threads(parser)
    arguments = parser.parse_args(argv)
    if arguments.summarise:
        if arguments.runs or arguments.to is None:
            parser.error("--summarise RUN... takes --to FILE.jsonl and no other runs")
    elif len(arguments.runs) != 2:
        parser.error("two runs are compared: RUN_BASE RUN_FINETUNED")
    return arguments


@door()
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Compare or summarise, print and write; the exit status says whether every requirement is met."""
    arguments = parse_arguments(argv)
    threads = settle_threads(arguments.threads)  # before numpy and torch are loaded
    from tools.display.console import LineConsole

    console = LineConsole(stderr=True)
    return _summarise(arguments, console) if arguments.summarise else _compare(arguments, threads, console)


def _compare(arguments: argparse.Namespace, threads: int, console: Console) -> int:
    from evals.arms.comparing import Asked, compare_runs
    from evals.arms.report import lay_out
    from evals.reporting.gates import judge_figures, read_requirement
    from evals.reporting.page import as_lines
    from tools.display.progress import Bars

    requirements = [read_requirement(text) for text in arguments.require]
    base, finetuned = arguments.runs
    asked = Asked(
        base=base,
        finetuned=finetuned,
        folder=arguments.to or base / f"compare-{finetuned.resolve().name}",
        seeds=arguments.seeds,
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
    return judge_figures(requirements, found.figures)


def _summarise(arguments: argparse.Namespace, console: Console) -> int:
    from evals.arms.changes import match_seeds
    from evals.arms.summary import Summarised, read_run, write_summaries
    from tools.display.progress import track

    read = [read_run(path) for path in track(arguments.summarise, "read         runs", console=console)]
    known = [Summarised(one.summary, one.origin) for one in read]
    summaries = [one.summary for one in read] if arguments.no_weights else match_seeds(known, arguments.seed)
    write_summaries(arguments.to, summaries)
    say(f"{arguments.to}: {len(summaries)} runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
