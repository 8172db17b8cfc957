"""How a steering run begins or goes on: everything that can be wrong is found before it has a folder."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from agent.beginning.description import name_run
from agent.beginning.inputs import check_inputs, check_settings
from agent.beginning.reaching import knock, prepare
from agent.beginning.resuming import list_changes, reconsider, refuse_flags
from agent.errors import RunError
from agent.folder.confidence import FILE
from agent.folder.config import open_study
from agent.folder.entrusted import check_unchanged
from agent.folder.provenance import collect_provenance, study_files
from agent.folder.steered import SteerConfig, SteerManifest
from agent.folder.steering_bench import as_investigation, as_run
from agent.folder.steering_store import SteeringFolder
from agent.llm.settings import without_values
from agent.stages.recipients import Reached
from agent.steering.conduct import conduct, is_written
from agent.steering.confidence import check_requirements, find_confidence
from agent.steering.flags import configure
from agent.steering.inputs import Material, read_material, read_prompts
from agent.steering.questions import list_prompts
from tools.bench.arms import check_arm_files
from tools.display.progress import waiting
from tools.study.corpus import Corpus
from tools.study.parts import hash_tables
from tools.study.reading import load_study

if TYPE_CHECKING:
    from rich.console import Console

    from agent.folder.confidence import ConfidenceModel
    from agent.steering.stage import Stage
    from tools.bench.arms import ArmHashes


def start(arguments: argparse.Namespace, console: Console, command: Sequence[str]) -> int:
    """A new run; a dry one goes the same way up to where a folder would be made, and sends nothing."""
    with waiting(console, "check        libraries and files", lasting=False):
        settings = load_study(arguments.study or "pocket")
        config = configure(arguments, os.environ, settings, read_prompts(arguments.prompts, settings))
        study = open_study(as_run(config))
        hashes = check_inputs(study, as_run(config))
        check_settings(study, as_run(config))
        corpus = Corpus(study)
        model = find_confidence(study.folder, config, hashes)
        check_requirements(config, model)
        material = read_material(config, corpus, hashes.sae)
        further = hash_encoder_of(config)
    _greet(config, material, console)
    reached = prepare(as_run(config), arguments, os.environ, console.print)
    config = config.model_copy(update={"llm": reached.config.llm})
    stage = open_stage(corpus, config, material, model, console, hashes)
    known = {**hashes.by_role(), "corpus": corpus.sha256, **material.hashes(), **further}
    manifest = describe(stage, command, arguments.header or (), known)
    if arguments.dry_run:
        console.print(f"dry run: everything needed is there; nothing was done. Run folders go to {arguments.runs}/")
        return 0
    folder = SteeringFolder.create(arguments.runs / manifest.run_id, manifest)
    return conduct(folder, reached, lambda: stage, model, console)


def resume(arguments: argparse.Namespace, console: Console) -> int:
    """The rest of a run that was stopped."""
    refuse_flags(arguments, "resume")
    folder = SteeringFolder.open(arguments.resume)
    manifest = folder.manifest()
    config, investigation = manifest.config, as_investigation(manifest)
    check_unchanged(investigation)
    study = open_study(investigation.config)
    corpus, hashes = Corpus(study), check_arm_files(study, config.sae)
    model = find_confidence(study.folder, config, hashes)
    targets = folder.targets()
    asks = config.llm is not None
    resumption = reconsider(investigation, arguments, os.environ, asks)
    console.print(f"unveil · resuming {folder.path} · {len(folder.texts()):,} texts there already")
    reached = Reached(resumption.config, resumption.secrets)
    if asks:
        reached = knock(resumption.config, resumption.secrets, console.print)
    changed = config.model_copy(update={"llm": reached.config.llm, "limits": resumption.config.limits})
    material = None
    if targets is None or not is_written(folder, targets):
        material = read_material(config, corpus, hashes.sae)
        _check_unchanged(manifest, {**material.hashes(), **hash_encoder_of(config, at_hand=True)})
    changes = (*manifest.changes, *list_changes(investigation.config, reached.config))
    folder.amend(config=changed, changes=changes)

    def again() -> Stage:
        assert material is not None
        return open_stage(corpus, changed, material, model, console, hashes)

    return conduct(folder, reached, again, model, console)


def open_stage(
    corpus: Corpus,
    config: SteerConfig,
    material: Material,
    model: ConfidenceModel | None,
    console: Console,
    hashes: ArmHashes,
) -> Stage:
    """The model on the bench, proved, and what all targets share."""
    with waiting(console, "load         libraries"):
        from agent.stages.gather import open_bench
        from agent.steering.stage import set_stage
    opened = open_bench(corpus, as_run(config), console, hashes)
    if model is not None and model.hook_name != opened.bench.hook_name:
        model = None
    return set_stage(opened, corpus, config, material, model, console)


def describe(stage: Stage, command: Sequence[str], headers: Sequence[str], known: Mapping[str, str]) -> SteerManifest:
    """The manifest of a run that begins now."""
    from agent.steering.stage import arms_of
    from tools.toward.weighing import RULES

    config, study, started = stage.config, stage.opened.study, datetime.now(UTC)
    files = {**study_files(study), "confidence": study.folder / FILE}
    return SteerManifest(
        run_id=name_steering(config, started),
        started=started.isoformat(timespec="seconds"),
        config=config,
        study_title=study.title,
        domain=study.domain.name,
        arms=arms_of(config),
        support=stage.manner.support.k,
        support_rule=stage.manner.support.rule,
        weights_rule=RULES[config.scorer],
        asked=stage.asked,
        provenance=collect_provenance(
            without_values(command, headers), known, files, list_prompts() if config.llm else ()
        ),
        study_sha256=hash_tables(config.study, config.sae),
        **stage.opened.found,  # pyright: ignore[reportArgumentType]  # checked by the record
    )


def name_steering(config: SteerConfig, started: datetime) -> str:
    """As an investigation of the arm is named, with `toward` before the hash of the settings."""
    investigated, _, _ = name_run(as_run(config), started).rpartition("-")
    digest = sha256(f"{config.model_dump_json()}{started.timestamp()}".encode()).hexdigest()[:4]
    return f"{investigated}-toward-{digest}"


def hash_encoder_of(config: SteerConfig, at_hand: bool = False) -> dict[str, str]:
    """The hash of the sentence encoder by its role; nothing where none was named.

    Args:
        config: the run's.
        at_hand: it is named by a run folder, whose word is not enough to fetch anything.

    Raises:
        RunError: it would have to be downloaded on that word.
        LoadError: it is not there.
    """
    if config.encoder is None:
        return {}
    from tools.alignment.encoders import hash_encoder, locate_encoder
    from tools.border.hub import cached_folder

    if at_hand and not Path(config.encoder).is_dir() and cached_folder(config.encoder, "modules.json") is None:
        raise RunError(
            f"the run names a sentence encoder that would have to be downloaded ({config.encoder}), and its word is not "
            "enough for that: download it first, or start a new run"
        )
    return {"encoder": hash_encoder(locate_encoder(config.encoder))}


def _check_unchanged(manifest: SteerManifest, found: Mapping[str, str]) -> None:
    """A manifest opens no file by its own word: what is read has to be what the run began with."""
    known = manifest.provenance.sha256
    if different := [role for role, digest in found.items() if known.get(role) != digest]:
        raise RunError(f"the {different[0]} is not the one the run used: restore it, or start a new run")


def _greet(config: SteerConfig, material: Material, console: Console) -> None:
    names = ", ".join(target.name for target in material.targets)
    judge = "nobody judges (--llm-model)" if config.llm is None else f"judge: {config.llm.judge_model}"
    n = len(material.targets)
    console.print(
        f"unveil · study {config.study} · arm {config.sae} · toward {n} target{'s' if n > 1 else ''} · {judge}"
    )
    console.print(f"  {names}, held against {material.backgrounds[0].name}")
