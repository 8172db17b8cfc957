"""A run held against what is known to be true: `python -m evals.truth RUN`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.llm.flags import add_llm_flags
from tools.border.egress import guarded, reaching
from tools.display.flags import add_shared
from tools.display.gates import read_requirement
from tools.display.terminal import Parser, door, say

if TYPE_CHECKING:
    from agent.folder.store import RunFolder
    from agent.llm.settings import LlmSettings
    from evals.truths.results import LabelsHeld, TruthReport
    from tools.truth.known import KnownFeatures

CALLS = "truth_calls.jsonl"
"""Every request and reply, in the run's folder evals/: what was compared once is not asked again."""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m evals.truth",
        description="Features whose meaning is known because it was planted (python -m tools.training plant), and placebos "
        "that mean nothing: does the run call them what they are, and does it say so where there is nothing? Without "
        "--llm-model labels are compared by their words, which reads those of the rules judge. "
        "Exit status 1: a requirement is not met; 2: bad input.",
    )
    add_shared(parser, "run")
    add_shared(parser, "--out", help="folder of the report (default: evals/truth/ in the run)")
    add_shared(parser, "--json")
    add_shared(
        parser,
        "--require",
        type=read_requirement,
        help="exit with 1 unless it holds, such as 'right_low>=0.95' or 'placebos_named<=0.02'; may be given again",
    )
    add_shared(parser, "--seed")
    llm = parser.add_argument_group(
        "a model that says whether a label and a meaning are the same; key in OPENAI_API_KEY"
    )
    add_llm_flags(llm, without="default: none, words are compared")
    return parser.parse_args(argv)


@door("what a model answered is kept; the same command goes on from there")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Hold the run against the truth, print and write; the exit status says whether every requirement is met."""
    arguments = parse_arguments(argv)
    from agent.folder.store import write_whole
    from evals.reporting.outputs import check_outputs
    from evals.reporting.page import as_lines
    from evals.truths.report import lay_out, write_report
    from tools.display.gates import judge_figures

    check_outputs(arguments.out, arguments.json)
    report = examine(arguments)
    files = write_report(arguments.out or arguments.run / "evals" / "truth", report)
    if arguments.json:
        write_whole(arguments.json, report.model_dump_json(indent=1) + "\n")
    say(*as_lines(lay_out(report)), "", str(files[0]))
    return judge_figures(arguments.require, report.figures)


def examine(arguments: argparse.Namespace) -> TruthReport:
    """The report that a command line asks for.

    Raises:
        UnveilError: the run cannot be read, nothing is known of its features, or no model can be asked.
    """
    import asyncio

    from agent.errors import RunError
    from agent.folder.soundness import check_folder
    from agent.folder.store import RunFolder
    from agent.llm.named import reach_named
    from evals.truths.finding import find_known
    from evals.truths.results import TruthReport
    from tools.display.console import LineConsole

    folder = RunFolder.open(arguments.run)
    manifest = folder.manifest()
    known = find_known(manifest)
    settings = reach_named(arguments, os.environ, LineConsole(stderr=True).print)
    held = asyncio.run(compare(folder, known, settings, arguments.seed))
    if held is None:
        raise RunError(
            f"none of the {len(known.features)} features that are known was investigated: choose them with "
            "python -m agent.run … --choose known"
        )
    config = manifest.config
    return TruthReport(
        run=folder.path.name,
        judge=config.llm.judge_model if config.llm else "rules",
        without=config.without,
        labels=held,
        remarks=(*manifest.caveats, *check_folder(folder).caveats),
    )


async def compare(
    folder: RunFolder, known: KnownFeatures, settings: LlmSettings | None, seed: int
) -> LabelsHeld | None:
    """Have labels and meanings compared, by a model whose calls are remembered beside the run, or by their words."""
    from agent.llm.calls import CallStore
    from agent.llm.client import LlmClient
    from evals.truths.labels import hold_labels
    from evals.truths.matching import LlmMatcher, WordMatcher
    from evals.truths.results import MatcherRef
    from tools.truth.known import by_feature

    decisions, truth = folder.decisions(), by_feature(known.features)
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
