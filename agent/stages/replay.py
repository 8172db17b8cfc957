"""Making a run's decisions again from what it stored: no model, no key, no network."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from agent.errors import RunError
from agent.folder.entrusted import check_replayable
from agent.folder.records import Manifest, TranscriptStep
from agent.folder.store import RunFolder
from agent.stages.gather import Stopwatch, investigate
from tools.records import FeatureRef
from tools.study.definition import Question

if TYPE_CHECKING:
    from agent.investigation.assembly import Assembly

REMEMBERED = ("evidence.jsonl", "cases.jsonl", "llm_calls.jsonl", "tool_calls.jsonl")


class Replayed(NamedTuple):
    """How many decisions came out the same, byte for byte, and which transcripts did not."""

    same: int
    total: int
    other_transcripts: tuple[str, ...] = ()
    """Of features whose steps are not those that were made again."""


def replay(folder: RunFolder, question: Question, console: Console) -> Replayed:
    """Investigate every feature again in a scratch folder that holds only what the run remembers, and compare.

    Raises:
        RunError: the run is not finished, lacks evidence, or was asked another question than is asked now.
    """
    manifest = folder.manifest()
    evidence = folder.evidence()
    if evidence is None or manifest.selection is None:
        raise RunError(f"{folder.path} has no evidence yet: finish it with --resume {folder.path}")
    check_replayable(manifest, question)
    known = {record.feature.key for record in evidence}
    if missing := [item.feature.key for item in manifest.selection.items if item.feature.key not in known]:
        raise RunError(
            f"{folder.evidence_file} is damaged: it has nothing on {len(missing)} features, such as {missing[0]}"
        )
    with tempfile.TemporaryDirectory(prefix="unveil-replay-") as scratch:
        again = RunFolder.create(Path(scratch) / "again", manifest)
        for name in REMEMBERED:
            if (folder.path / name).is_file():
                shutil.copy(folder.path / name, again.path / name)
        assembly = open_memory(again, question, manifest)
        unsent = manifest.config.model_copy(update={"traced": False})
        investigate(again, question, unsent, evidence, assembly, console, Stopwatch())
        ours = again.decisions_file.read_bytes().splitlines()
        decided = [decision.feature for decision in folder.decisions()]
        other = tuple(feature.key for feature in decided if _steps(folder, feature) != _steps(again, feature))
    theirs = folder.decisions_file.read_bytes().splitlines() if folder.decisions_file.is_file() else []
    return Replayed(sum(a == b for a, b in zip(ours, theirs, strict=False)), max(len(ours), len(theirs)), other)


def _steps(folder: RunFolder, feature: FeatureRef) -> list[TranscriptStep] | None:
    """A transcript, but for where in the program of then a bug was; None if it does not read."""
    try:
        return [_without_traceback(step) for step in folder.transcript(feature)]
    except RunError:
        return None


def _without_traceback(step: TranscriptStep) -> TranscriptStep:
    if step.kind != "failure" or not isinstance(step.content, dict):
        return step
    kept = {name: value for name, value in step.content.items() if name != "traceback"}
    return step.model_copy(update={"content": kept})


def open_memory(folder: RunFolder, question: Question, manifest: Manifest) -> Assembly | None:
    """What answers from the run's memory alone; None for a run by rules."""
    config = manifest.config
    if config.llm is None:
        return None
    from agent.investigation.assembly import Assembly
    from agent.llm.settings import Secrets
    from tools.catalogue.instruments import TOOLS

    instruments = TOOLS if manifest.measures else ()
    return Assembly(config, config.llm, question, folder.path, Secrets(), instruments, None, replay_only=True)
