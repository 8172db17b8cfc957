"""Measure speed and memory of the project, each time beside a named baseline.

    python -m benchmarks                            all benchmarks at full scale, GPT-2-small shapes (long: see below)
    python -m benchmarks projection coherence       just these
    python -m benchmarks --scale small              toy sizes, in seconds: that everything runs, not how fast it is
    python -m benchmarks --json benchmarks.json     the figures as a file as well

Both ways of doing the work run in turn for a number of rounds, in one process for each benchmark. The table shows the
median seconds of both, the median of the rounds' ratios with the smallest and the largest, and the peak memory of both:
the highest resident memory while it ran, less what was resident before, inputs included in the latter. Weights are random
and seeded. A baseline that would take hours, or more memory than a laptop has, runs on a share of the work and is scaled
up, which the row says.

What a benchmark is to reach stands below its row, with the value found; speeds are judged at full scale only, results
that must be equal at every scale. When other processes use the cores, the row says so: measure again then.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.catalogue import BENCHMARKS, run_benchmark
from tools.border.egress import guarded
from tools.display.flags import add_shared, list_choices, whole
from tools.display.terminal import Parser, door
from tools.machine import settle_threads
from tools.whole_files import write_named

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.records import Report, Result, Setting


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; nothing heavy has been imported when this returns."""
    parser = Parser(prog="python -m benchmarks", description=__doc__, epilog=list_choices("benchmarks", BENCHMARKS))
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run (default: all)")
    parser.add_argument("--scale", choices=("small", "full"), default="full", help="default: %(default)s")
    parser.add_argument(
        "--rounds", type=whole(1, 1000), default=3, metavar="N", help="times each arm runs (default: 3)"
    )
    add_shared(parser, "--threads", "--json")
    parser.add_argument("--figure", metavar="FILE", help="PNG of how the survey's time and memory grow")
    parser.add_argument("--strict", action="store_true", help="exit with 1 also if anything is not reached")
    arguments = parser.parse_args(argv)
    unknown = [name for name in arguments.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}: choose from {', '.join(BENCHMARKS)}")
    return arguments


@door("nothing was written; the same command starts again")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks asked for; 1 if one fails, and with `--strict` also if one misses what it is to reach."""
    arguments = parse_arguments(argv)
    settle_threads(arguments.threads)  # before numpy and torch are loaded, here and in the benchmarks' processes
    from benchmarks.records import Setting
    from benchmarks.tables import print_report
    from tools.display.console import PatientConsole

    console = PatientConsole()
    setting = Setting(arguments.scale, arguments.rounds, arguments.figure)
    report = run_all(arguments.names or list(BENCHMARKS), setting, arguments.threads, console)
    print_report(report, console)
    if arguments.json:
        write_named(arguments.json, report.model_dump_json(indent=1) + "\n")
    return 1 if report.failed or (arguments.strict and report.missed) else 0


def run_all(names: Sequence[str], setting: Setting, threads: int | None, console: Console) -> Report:
    """Run each benchmark in a process of its own; one that fails is reported, and the others still run."""
    from concurrent.futures import ProcessPoolExecutor
    from datetime import UTC, datetime
    from multiprocessing import get_context

    from benchmarks.machine import describe_machine
    from benchmarks.records import Failed, Report
    from tools.display.progress import waiting

    started = datetime.now(UTC).isoformat(timespec="seconds")
    results: list[Result] = []
    failed: list[Failed] = []
    for name in names:
        with (
            waiting(console, f"{name:<12} {BENCHMARKS.get(name)}", lasting=False),
            # A process for each: its memory is its own, and if it is killed for it, the others still run.
            ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        ):
            try:
                results += pool.submit(run_benchmark, name, setting, threads).result()
            except Exception as error:  # whatever it is, the other benchmarks still run, and the report names it
                failed.append(Failed(name=name, message=f"{type(error).__name__}: {error}"))
    return Report(
        started=started,
        scale=setting.scale,
        rounds=setting.rounds,
        machine=describe_machine(threads),
        results=tuple(results),
        failed=tuple(failed),
    )


if __name__ == "__main__":
    sys.exit(main())
