"""The manifest that a new run begins with, and the folder it gets."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.folder.config import RunConfig
    from agent.folder.records import Manifest
    from agent.folder.store import RunFolder
    from agent.stages.recipients import Reached
    from tools.study.definition import Question


def name_run(config: RunConfig, started: datetime) -> str:
    """`<utc time>-<study>-<arm>-<short hash>`; the hash tells runs of one second apart by their settings.

    For a model of the user's its name stands in the study's place, for the study only asks the question.
    """
    arm = "".join(letter if letter.isalnum() else "_" for letter in config.sae)[-24:]
    digest = sha256(f"{config.model_dump_json()}{started.timestamp()}".encode()).hexdigest()[:4]
    study = Path(config.study)
    name = study.parent.resolve().name if study.suffix == ".toml" else study.resolve().name
    if config.model_name is not None:
        name = "".join(letter if letter.isalnum() or letter in "-._" else "_" for letter in config.model_name)
    name = name.encode("utf-8", "replace").decode()
    return f"{started:%Y%m%dT%H%M%SZ}-{name}-{arm}-{digest}"


def describe_run(
    question: Question,
    reached: Reached,
    arguments: argparse.Namespace,
    command: Sequence[str],
    hashes: Mapping[str, str],
    files: Mapping[str, Path],
) -> Manifest:
    """The manifest of a run that begins now.

    Args:
        question: of its study.
        reached: its config, as the endpoint takes it.
        arguments: of the command line, for the headers whose values are not stored.
        command: the command line.
        hashes: of inputs that are known already.
        files: further inputs by their role.
    """
    from agent.briefing.generations import briefing_of
    from agent.folder.asking import hash_parts
    from agent.folder.provenance import collect_provenance
    from agent.folder.records import Manifest, PromptRef
    from agent.investigation.experiments import PROMPTS
    from agent.judges.roster import appoint
    from agent.llm.settings import without_values

    config = reached.config
    judge = appoint(config, question)
    briefing = briefing_of(config.generation)
    proposes = judge.needs_hypotheses and (briefing.untested or config.evidence is None)
    asked = map(briefing.prompt, PROMPTS if proposes else ())
    prompts = [PromptRef(name=prompt.name, sha256=prompt.sha256) for prompt in asked]
    if judge.ref.prompt and judge.ref.prompt_sha256:
        prompts.append(PromptRef(name=judge.ref.prompt, sha256=judge.ref.prompt_sha256))
    started = datetime.now(UTC)
    return Manifest(
        run_id=name_run(config, started),
        started=started.isoformat(timespec="seconds"),
        config=config,
        study_title=question.title,
        domain=question.topic,
        provenance=collect_provenance(without_values(command, arguments.header or ()), hashes, files, prompts),
        study_sha256=hash_parts(config, question),
    )


def create_folder(runs: Path, manifest: Manifest, fill: Callable[[RunFolder], object] | None = None) -> RunFolder:
    """The folder of a run, with the manifest and what `fill` writes in it."""
    from agent.folder.store import RunFolder

    return RunFolder.create(runs / manifest.run_id, manifest, fill)
