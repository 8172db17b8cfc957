"""A run that exists already: gone on with, or its decisions made again."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from agent.beginning.greeting import judged_by, say_traced, warn

if TYPE_CHECKING:
    from rich.console import Console


def resume(arguments: argparse.Namespace, console: Console) -> int:
    """The rest of a run that was stopped, and with `--retry-failed` what failed in it."""
    from agent.beginning.reaching import knock
    from agent.beginning.resuming import list_changes, reconsider, refuse_flags
    from agent.folder.entrusted import check_choice, check_unchanged
    from agent.folder.soundness import require_whole
    from agent.folder.store import RunFolder
    from agent.stages.conduct import conduct
    from agent.stages.recipients import Reached

    refuse_flags(arguments, "resume")
    folder = RunFolder.open(arguments.resume)
    checked = require_whole(folder)
    manifest, made = folder.manifest(), folder.decisions()
    question = check_unchanged(manifest)
    if not folder.evidence_file.is_file():
        check_choice(manifest)
    selection = manifest.selection
    is_finished = selection is not None and len(made) == len(selection.items)
    asks = not is_finished or (arguments.retry_failed and any(decision.failure for decision in made))
    resumption = reconsider(manifest, arguments, os.environ, asks)
    judge = judged_by(resumption.config)
    console.print(f"unveil · resuming {folder.path} · {len(made)} decisions there already · judge: {judge}")
    if folder.evidence_file.is_file():
        warn((*manifest.caveats, *(found.text for found in checked.findings if found.kind == "damaged")), console)
    if arguments.trace:
        say_traced(console)
    reached = Reached(resumption.config, resumption.secrets)
    if asks:
        reached = knock(resumption.config, resumption.secrets, console.print)
    changes = (*manifest.changes, *list_changes(manifest.config, reached.config))
    recorded = reached.config.model_copy(update={"traced": manifest.config.traced or arguments.trace})
    amended = manifest.model_copy(update={"config": recorded, "changes": changes})
    now = reached.config.model_copy(update={"traced": arguments.trace})  # what was traced before is not asked for now
    return conduct(folder, question, reached._replace(config=now), console, arguments.retry_failed, amended)


def replay_run(arguments: argparse.Namespace, console: Console) -> int:
    """The same decisions again from what a run stored."""
    from agent.beginning.resuming import refuse_flags
    from agent.folder.entrusted import open_question
    from agent.folder.soundness import check_folder
    from agent.folder.store import RunFolder
    from agent.stages.replay import replay

    refuse_flags(arguments, "replay")
    folder = RunFolder.open(arguments.replay)
    manifest, checked = folder.manifest(), check_folder(folder)
    warn((*manifest.caveats, *checked.caveats), console)
    question = open_question(manifest, reads_guideline=manifest.config.llm is not None)
    found = replay(folder, question, console)
    console.print(f"{found.same} of {found.total} decisions reproduced byte for byte")
    if other := found.other_transcripts:
        console.print(f"{len(other):,} transcripts are not those of the replay, such as {other[0]}'s")
    return 0 if found.same == found.total and not other and checked.untouched else 1


def check_trace(arguments: argparse.Namespace) -> None:
    """See that a run can be traced.

    Raises:
        RunError: it cannot, or would send nothing.
    """
    from agent.errors import RunError
    from agent.stages.recipients import check_tracing

    if arguments.replay:
        raise RunError("--replay sends nothing: leave out --trace")
    check_tracing(os.environ)
