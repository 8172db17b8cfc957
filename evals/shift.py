"""Acting on verdicts: `python -m evals.shift RUN`, for a run of `python -m agent.run --task`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tools.border.egress import guarded
from tools.display.flags import add_shared, whole
from tools.display.gates import read_requirement
from tools.display.terminal import Parser, door, say
from tools.machine import describe_load, look, settle_threads

if TYPE_CHECKING:
    from rich.progress import Progress

    from evals.shifting.examining import Asked, Examined
    from evals.shifting.judges import Judge
    from evals.shifting.runs import Given, Opened
    from tools.probes.task import Task


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m evals.shift",
        description="Take out the features that a run judged beside the point of its classification task, and measure what that "
        "mends: beside random features, features chosen without a judge, deleted words, and other judges' verdicts. "
        "Exit status 1: a requirement is not met; 2: bad input.",
    )
    add_shared(parser, "run", help="a finished run of python -m agent.run --task")
    _add_others(parser)
    how = parser.add_argument_group("how")
    how.add_argument("--probe-seeds", type=whole(1, 100), default=3, metavar="N", help="probe seeds (default: 3)")
    how.add_argument(
        "--draws", type=whole(1, 1000), default=10, metavar="N", help="draws of random features for each (default: 10)"
    )
    how.add_argument(
        "--task", metavar="TASK", help="where the run's task is now, if not where the run had it; it has to be the same"
    )
    how.add_argument(
        "--classes",
        metavar="TASK",
        help="a task of several classes, for TPP (default: the study's domains, if it has one)",
    )
    how.add_argument(
        "--quick",
        action="store_true",
        help="the model reads each text once: tokens at the embedding and deleted words are left out",
    )
    add_shared(how, "--seed", "--allow-unproved", "--device", "--threads")
    into = parser.add_argument_group("what is written")
    add_shared(into, "--out", help="folder of the report (default: evals/shift/ in the run)")
    add_shared(into, "--json")
    into.add_argument(
        "--saebench", type=Path, metavar="FOLDER", help="write SCR and TPP of every run as SAEBench keeps its results"
    )
    add_shared(
        into,
        "--require",
        type=read_requirement,
        help="exit with 1 unless it holds, such as 'over_random_like_judged_low>0'; may be given again; the JSON lists the figures",
    )
    return parser.parse_args(argv)


def _add_others(parser: argparse.ArgumentParser) -> None:
    others = parser.add_argument_group("other judges of the same features, and other SAEs")
    others.add_argument(
        "--judges",
        type=Path,
        nargs="+",
        default=[],
        metavar="RUN",
        help="runs on the same task and SAE, such as --rejudge makes: each judge's verdicts are acted on",
    )
    add_shared(others, "--labels", help="labels files of people who rated the task's concepts: a judge like any other")
    add_shared(others, "--annotator", help="whose of these labels (default: the median of everybody's)")
    add_shared(others, "--programs")
    others.add_argument(
        "--compare",
        type=Path,
        nargs="+",
        default=[],
        metavar="RUN",
        help="runs on the same task with other SAEs: all are ranked by SCR and TPP",
    )


@door("the runs are as they were; what was read of the texts is kept, and the same command starts again")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Act, measure, print and write; the exit status says whether every requirement is met."""
    arguments = parse_arguments(argv)
    threads = settle_threads(arguments.threads)  # before numpy and torch are loaded
    from evals.reporting.outputs import check_outputs
    from evals.shifting.runs import open_classes, open_run, open_same_task, open_task

    opened = open_run(arguments.run)
    others = open_same_task(arguments.compare, opened)
    folder = arguments.out or arguments.run / "evals" / "shift"
    check_outputs(arguments.out, arguments.json)
    check_outputs(arguments.saebench)
    given, classes = open_task(opened, arguments.task), open_classes(opened, arguments.classes)
    judges = list_judges(arguments, opened, given)
    return report_on(arguments, opened, others, given, classes, judges, folder, threads)


def report_on(
    arguments: argparse.Namespace,
    opened: Opened,
    others: Sequence[Opened],
    given: Given,
    classes: Task | None,
    judges: Sequence[Judge],
    folder: Path,
    threads: int,
) -> int:
    """Act, measure, print and write, everything having been looked at that can be without a model."""
    from agent.folder.store import write_whole
    from evals.reporting.page import as_lines
    from evals.shifting.ranking import rank
    from evals.shifting.report import lay_out, write_report
    from tools.display.console import LineConsole
    from tools.display.gates import judge_figures
    from tools.display.progress import Bars

    console = LineConsole(stderr=True)
    if note := describe_load(look(), threads):
        console.print(note)
    with Bars(console, "shift") as progress:
        found = [act(arguments, opened, given, classes, judges, folder, progress)]
        for one in others:
            found.append(act(arguments, one, given, classes, list_judges(None, one, given), None, progress))
    report = found[0].report
    if others:
        report = report.model_copy(update={"ranked": rank(found, found[0].frame)})
    files = write_report(folder, report)
    if arguments.json:
        write_whole(arguments.json, report.model_dump_json(indent=1) + "\n")
    say(*as_lines(lay_out(report)), "", str(files[0]))
    if arguments.saebench:
        write_saebench(arguments.saebench, found, [opened, *others])
    return judge_figures(arguments.require, report.figures)


def list_judges(arguments: argparse.Namespace | None, opened: Opened, given: Given) -> list[Judge]:
    """The run's own judge, and with arguments the further ones that these name.

    Raises:
        UnveilError: a run or a labels file does not read, or is about something else.
    """
    from evals.manual.files import read_label_files
    from evals.shifting.judges import read_judge, read_people, tell_apart
    from evals.shifting.runs import open_beside

    concepts = (given.task.label, given.task.attribute)
    judges = [read_judge(opened.decisions, concepts)]
    if arguments is None:
        return judges
    for one in open_beside(arguments.judges, opened):
        judges.append(tell_apart(read_judge(one.decisions, concepts), judges, one.name))
    if arguments.labels:
        labels, _ = read_label_files(arguments.labels)
        people = read_people(opened.decisions, labels, concepts, arguments.annotator, arguments.programs)
        judges.append(tell_apart(people, judges, "labels"))
    return judges


def act(
    arguments: argparse.Namespace,
    opened: Opened,
    given: Given,
    classes: Task | None,
    judges: Sequence[Judge],
    folder: Path | None,
    progress: Progress,
) -> Examined:
    """Read the task with the run's own model and SAE, and measure; a run that is only ranked has no folder, and is read once.

    Raises:
        UnveilError: a part of the run's bench is missing or another, or does not prove itself.
    """
    from evals.scoring.restaging import restage
    from evals.shifting.examining import examine
    from evals.shifting.verdicts import find_transcripts
    from tools.probes.ground import read_ground

    stage = restage(opened.manifest, arguments.device, arguments.allow_unproved)
    once = arguments.quick or folder is None
    ground = read_ground(stage.bench, given.task, None if once else given.definition, progress)
    apart = read_ground(stage.bench, classes, None, progress) if classes is not None else None
    unproved = tuple(f"read on a bench that FAILED its proof: {stage.proof.explain(one)}" for one in stage.proof.failed)
    return examine(
        opened.manifest,
        opened.decisions,
        judges,
        ground,
        _how(arguments, opened),
        apart,
        find_transcripts(opened.path, folder) if folder else None,
        (*unproved, *opened.caveats),
        progress,
    )


def _how(arguments: argparse.Namespace, opened: Opened) -> Asked:
    """Probe seeds count from the run's own, by whose classifier its candidates were chosen."""
    from evals.shifting.examining import Asked

    first = opened.manifest.config.seed
    return Asked(tuple(range(first, first + arguments.probe_seeds)), arguments.draws, arguments.seed)


def write_saebench(folder: Path, found: Sequence[Examined], runs: Sequence[Opened]) -> None:
    """A file for each run and evaluation.

    Raises:
        Unwritable: one cannot be written.
    """
    import json

    from evals.reporting.page import write_files
    from evals.shifting.saebench import to_saebench

    texts = {
        f"{one.name}_{kind}_eval_results.json": json.dumps(result, indent=1) + "\n"
        for examined, one in zip(found, runs, strict=True)
        for kind, result in to_saebench(examined.report, one.manifest).items()
    }
    say(*(str(file) for file in write_files(folder, texts)))


if __name__ == "__main__":
    sys.exit(main())
