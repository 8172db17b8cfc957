"""A run held against what is known to be true: `python -m evals.truth RUN`; SAEs of a world side by side: `--frontier SAE...`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.llm.flags import add_llm_flags
from tools.border.egress import guarded, reaching
from tools.display.flags import add_shared, whole
from tools.display.gates import read_requirement
from tools.display.terminal import Parser, door, say
from tools.machine import settle_threads

if TYPE_CHECKING:
    from agent.folder.records import Manifest
    from agent.folder.store import RunFolder
    from agent.llm.settings import LlmSettings
    from evals.truths.results import BesideRow, LabelsHeld, TruthReport, WorldHeld
    from tools.truth.known import KnownFeature

CALLS = "truth_calls.jsonl"
"""Every request and reply, in the run's folder evals/: what was compared once is not asked again."""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m evals.truth",
        description="Features whose meaning is known because it was planted (python -m tools.training plant), and placebos "
        "that mean nothing: does the run call them what they are, and does it say so where there is nothing? Of a run on a "
        "world of known truth also: what its features tell of the world, against probes, exchanged truths and a model that "
        "was never trained. Without --llm-model labels are compared by their words, which reads those of the rules judge. "
        "Exit status 1: a requirement is not met; 2: bad input.",
    )
    add_shared(parser, "run", nargs="?")
    parser.add_argument(
        "--frontier",
        type=Path,
        nargs="+",
        metavar="SAE",
        help="instead of a run: folders of SAEs that python -m tools.training sae --world made, held against each other",
    )
    parser.add_argument(
        "--beside",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="another run over the same features, such as one judged by another model or --without a kind of evidence: "
        "which evidence does the judge need? May be given again",
    )
    add_shared(parser, "--out", help="folder of the report (default: evals/truth/ in the run); --frontier needs one")
    add_shared(parser, "--json")
    add_shared(
        parser,
        "--require",
        type=read_requirement,
        help="exit with 1 unless it holds, such as 'right_low>=0.95', 'placebos_named<=0.02' or 'placebos_failed<=0', for a "
        "failure is no abstention; may be given again",
    )
    parser.add_argument(
        "--transcripts",
        type=whole(20, 1_000_000),
        default=1000,
        metavar="N",
        help="of a world's: so many to choose by and as many to measure on (default: %(default)s)",
    )
    add_shared(parser, "--seed", "--device", "--threads")
    llm = parser.add_argument_group(
        "a model that says whether a label and a meaning are the same; key in OPENAI_API_KEY"
    )
    add_llm_flags(llm, without="default: none, words are compared")
    arguments = parser.parse_args(argv)
    if arguments.frontier and (arguments.run is not None or arguments.beside or arguments.out is None):
        parser.error("--frontier SAE... takes --out FOLDER and no run")
    if not arguments.frontier and arguments.run is None:
        parser.error("name a run, or SAEs with --frontier")
    return arguments


@door("what a model answered is kept; the same command goes on from there")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Hold the run against the truth, print and write; the exit status says whether every requirement is met."""
    arguments = parse_arguments(argv)
    settle_threads(arguments.threads)  # before numpy and torch are loaded
    if arguments.frontier:
        return _compare_saes(arguments)
    from agent.folder.store import RunFolder, write_whole
    from evals.reporting.outputs import check_outputs
    from evals.reporting.page import as_lines
    from tools.display.gates import judge_figures

    folder = RunFolder.open(arguments.run)
    check_outputs(arguments.out, arguments.json)
    report = examine(arguments, folder)
    from evals.truths.report import lay_out, write_report  # draws, so it takes a moment that a missing run is not worth

    files = write_report(arguments.out or arguments.run / "evals" / "truth", report)
    if arguments.json:
        write_whole(arguments.json, report.model_dump_json(indent=1) + "\n")
    say(*as_lines(lay_out(report)), "", str(files[0]))
    return judge_figures(arguments.require, report.figures)


def examine(arguments: argparse.Namespace, folder: RunFolder) -> TruthReport:
    """The report that a command line asks for.

    Raises:
        UnveilError: the run cannot be read, nothing is known of its features, or no model can be asked.
    """
    import asyncio

    from agent.errors import RunError
    from agent.folder.soundness import check_folder
    from agent.llm.named import reach_named
    from evals.truths.beside import name_judge, open_beside
    from evals.truths.finding import find_known, find_planted, find_world
    from evals.truths.results import TruthReport
    from tools.display.console import LineConsole
    from tools.truth.known import by_feature

    manifest = folder.manifest()
    others = open_beside(arguments.beside, manifest)
    world = find_world(manifest)
    planted = find_planted(manifest) if world is None else find_known(manifest)
    settings = reach_named(arguments, os.environ, LineConsole(stderr=True).print)
    against = None if world is None else hold_world(arguments, manifest, world)
    known = {
        **by_feature(label.known for label in (against.truth.labels if against else ())),
        **by_feature(planted.features if planted else ()),
    }
    held = asyncio.run(compare(folder, known, settings, arguments.seed))
    beside = hold_beside(held, [(folder, manifest), *others], known, settings, arguments.seed)
    choose = f"none of the {len(known)} features that are known was investigated: choose them with python -m agent.run"
    if held is None and against is None:
        raise RunError(f"{choose} … --choose known")
    missing = (f"{choose} … --features",) if held is None and known else ()
    remarks = (*missing, *([against.remark] if against and against.remark else []))
    return TruthReport(
        run=folder.path.name,
        judge=name_judge(manifest),
        without=manifest.config.without,
        world=against,
        labels=held,
        beside=beside,
        remarks=(*remarks, *manifest.caveats, *check_folder(folder).caveats),
    )


def hold_beside(
    held: LabelsHeld | None,
    runs: Sequence[tuple[RunFolder, Manifest]],
    known: Mapping[int, KnownFeature],
    settings: LlmSettings | None,
    seed: int,
) -> tuple[BesideRow, ...]:
    """Further runs held against the same truth; the first of `runs` is what `held` is of.

    Raises:
        UnveilError: one investigated none of the features, or no model can be asked.
    """
    import asyncio

    from agent.errors import RunError
    from evals.truths.beside import HeldRun, compare_runs, name_judge

    if held is None or len(runs) < 2:
        return ()
    found: list[HeldRun] = []
    for number, (folder, manifest) in enumerate(runs):
        labels = asyncio.run(compare(folder, known, settings, seed)) if number else held
        if labels is None:
            raise RunError(f"{folder.path} investigated none of the features that are known")
        found.append(HeldRun(folder.path.name, name_judge(manifest), manifest.config.without, labels))
    return compare_runs(found)


def hold_world(arguments: argparse.Namespace, manifest: Manifest, world: str) -> WorldHeld:
    """The run's SAE against the world of its study."""
    from evals.truths.worlds import hold_run
    from tools.display.console import LineConsole
    from tools.display.progress import Bars
    from tools.truth.world_run import Sizes

    sizes = Sizes.of(arguments.transcripts)
    with Bars(LineConsole(stderr=True), "hold") as progress:
        return hold_run(manifest, world, sizes, arguments.seed, arguments.device, progress)


def _compare_saes(arguments: argparse.Namespace) -> int:
    from evals.reporting.outputs import check_outputs
    from evals.reporting.page import as_lines
    from evals.truths.frontier import compare_saes
    from evals.truths.frontier_report import lay_out, write_report
    from tools.display.gates import judge_figures
    from tools.truth.world_truth import read_held

    check_outputs(arguments.out, arguments.json)
    frontier = compare_saes([read_held(place) for place in arguments.frontier])
    files = write_report(arguments.out, frontier)
    if arguments.json:
        from agent.folder.store import write_whole

        write_whole(arguments.json, frontier.model_dump_json(indent=1) + "\n")
    say(*as_lines(lay_out(frontier)), "", str(files[0]))
    return judge_figures(arguments.require, frontier.figures)


async def compare(
    folder: RunFolder, truth: Mapping[int, KnownFeature], settings: LlmSettings | None, seed: int
) -> LabelsHeld | None:
    """Have labels and meanings compared, by a model whose calls are remembered beside the run, or by their words."""
    from agent.llm.calls import CallStore
    from agent.llm.client import LlmClient
    from evals.truths.labels import hold_labels
    from evals.truths.matching import LlmMatcher, WordMatcher
    from evals.truths.results import MatcherRef

    decisions = folder.decisions()
    if settings is None:
        return await hold_labels(decisions, truth, WordMatcher(), MatcherRef(name=WordMatcher.name), seed)
    with folder.claimed(), reaching(settings.base_url):
        async with LlmClient(settings, CallStore(folder.path / "evals" / CALLS)) as client:
            matcher = LlmMatcher(client)
            ref = MatcherRef(name=settings.model, base_url=settings.base_url, prompt=matcher.prompt)
            held = await hold_labels(decisions, truth, matcher, ref, seed)
            used = client.store.spent
    return held and held.model_copy(update={"matcher": ref.model_copy(update={"usage": used})})


if __name__ == "__main__":
    sys.exit(main())
