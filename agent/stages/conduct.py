"""The stages of one run, in the folder that was made for it: observe, investigate, conclude, and what to do next."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agent.errors import EveryFeatureFailed, RunError, Unwritable
from agent.report.closing import all_failed, next_lines, remedy
from agent.report.tables import format_summary
from agent.stages.gather import Opened, Stopwatch, conclude, gather_evidence, investigate, open_bench
from agent.stages.recipients import list_recipients
from tools.border.egress import reaching

if TYPE_CHECKING:
    from rich.console import Console

    from agent.folder.records import Manifest
    from agent.folder.store import RunFolder
    from agent.investigation.assembly import Assembly
    from agent.stages.recipients import Reached
    from tools.catalogue.subject import Laboratory
    from tools.study.definition import Question


def conduct(
    folder: RunFolder,
    question: Question,
    reached: Reached,
    console: Console,
    retry: bool = False,
    amended: Manifest | None = None,
    opened: Opened | None = None,
) -> int:
    """Go through what is left of a run.

    Args:
        folder: of the run.
        question: what is asked of every feature.
        reached: the run's config, and what its endpoint is sent besides.
        console: for progress and results.
        retry: what failed is investigated again.
        amended: the manifest with the config and the list of changes as they are from now on.
        opened: the bench, where it stands already.

    Raises:
        RunError: another process works on the run, or its folder cannot be written any more.
        EveryFeatureFailed: there is not one verdict.
    """
    try:
        with folder.claimed(), reaching(*list_recipients(reached.config, os.environ)):
            if amended is not None:  # what else the manifest says now stays: another process may have gone on since
                folder.amend(config=amended.config, changes=amended.changes)
            if retry and (retried := folder.set_failures_aside()):
                console.print(f"  {retried} that failed are investigated again; retried.jsonl keeps their failures")
            return _go_through(folder, question, reached, console, opened)
    except KeyboardInterrupt:
        said = f"what was finished is kept; go on with python -m agent.run --resume {folder.path}"
        raise KeyboardInterrupt(said) from None
    except (Unwritable, OSError) as error:
        reason = error if isinstance(error, Unwritable) else Unwritable.of(error.filename or folder.path, error)
        go_on = f"what was finished is kept; make room, then python -m agent.run --resume {folder.path}"
        raise RunError(f"{reason}: {go_on}") from reason


def _go_through(
    folder: RunFolder, question: Question, reached: Reached, console: Console, opened: Opened | None
) -> int:
    from agent.folder.config import open_study
    from tools.study.corpus import Corpus

    config, evidence, manifest = reached.config, folder.evidence(), folder.manifest()
    laboratory, investigates = None, config.llm is not None and question.domain is not None
    if manifest.measures and (evidence is None or investigates):
        opened = opened or open_bench(Corpus(open_study(config)), config, console)
        lens = None
        if evidence is None:
            folder.amend(**opened.found)
            evidence, lens = gather_evidence(folder, config, opened, console)
        if investigates:
            from tools.catalogue.subject import Laboratory

            laboratory = Laboratory(opened.bench, opened.study, config.seed, lens)
    assert evidence is not None
    watch = opened.watch if opened else Stopwatch()
    assembly = _assemble(folder, question, reached, laboratory, console) if config.llm else None
    decisions = investigate(folder, question, config, evidence, assembly, console, watch)
    summary = conclude(folder, question, evidence, decisions, folder.count_features(), watch)
    console.print()
    for line in format_summary(summary):
        console.print(line)
    if summary.failures:
        cut = summary.examples.get("length", "")
        console.print(f"again: {remedy(folder.path, summary.failures, config, cut)}")
    for line in next_lines(folder.path, manifest.config, manifest.measures):
        console.print(line)
    if (reason := all_failed(summary)) is not None:
        raise EveryFeatureFailed(reason)
    return 0


def _assemble(
    folder: RunFolder, question: Question, reached: Reached, laboratory: Laboratory | None, console: Console
) -> Assembly:
    from agent.investigation.assembly import Assembly

    config = reached.config
    assert config.llm is not None
    instruments: Sequence[Any] = ()
    if laboratory is not None:
        from tools.catalogue.instruments import TOOLS

        instruments = TOOLS
    return Assembly(
        config,
        config.llm,
        question,
        folder.path,
        reached.secrets,
        instruments,
        laboratory,
        tell=console.print,
        framing=reached.framing,
    )
