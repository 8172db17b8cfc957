"""The ways in which a run begins or goes on: each checks what can be checked, and hands a folder to `agent.stages.conduct`."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from agent.beginning.flags import configure, reconfigure

if TYPE_CHECKING:
    from rich.console import Console

    from agent.folder.config import RunConfig
    from agent.folder.records import Manifest
    from agent.folder.store import RunFolder
    from agent.stages.recipients import Reached
    from tools.bench.arms import ArmHashes
    from tools.records import Evidence
    from tools.study.definition import Question, Study


def start(arguments: argparse.Namespace, console: Console, command: Sequence[str]) -> int:
    """A new run: of a study's arm, of an SAE of the user's, or on evidence from elsewhere.

    A dry run goes the same way up to where a folder would be made, but sends nothing: it loads model and SAE and has the
    bench prove itself.
    """
    config = configure(arguments, os.environ)
    if config.evidence is not None:
        return _judge_evidence(arguments, config, console, command)
    from tools.display.progress import waiting

    with waiting(console, "check        libraries and files", lasting=False):
        from agent.beginning.inputs import check_directions, check_settings
        from agent.beginning.reaching import prepare
        from agent.folder.config import open_study
        from agent.folder.provenance import study_files
        from tools.study.corpus import Corpus

        corpus = Corpus(study := open_study(config))
        hashes = check_inputs(study, config)
        check_settings(study, config)
    _greet(study.question, config, console)
    _warn_of_vocabulary(study, console)
    reached = prepare(config, arguments, os.environ, console.print)
    known = {**hashes.model_dump(), "corpus": corpus.sha256}
    with waiting(console, "load         libraries"):
        from agent.stages.conduct import conduct
        from agent.stages.gather import open_bench
    opened = open_bench(corpus, reached.config, console, hashes)  # before there is a folder: much can be wrong here
    check_directions(config.features or (), opened.bench)
    described = _describe(study.question, reached, arguments, command, known, study_files(study))
    if arguments.dry_run:
        n_controls = sum(study.controls.model_dump().values())
        at_most = (config.limit or study.candidate_limit) + round(config.controls * n_controls)
        return _estimate(study.question, config, len(config.features or ()) or at_most, (), console, arguments)
    folder = _create(arguments.runs, described.model_copy(update=opened.found))
    return conduct(folder, study.question, reached, console, opened=opened)


def _judge_evidence(arguments: argparse.Namespace, config: RunConfig, console: Console, command: Sequence[str]) -> int:
    from agent.beginning.reaching import prepare
    from agent.stages.conduct import conduct
    from agent.stages.imported import read_evidence, select_imported
    from tools.proof.floors import find_dead
    from tools.study.reading import load_question

    question = load_question(config.study)
    file = Path(config.evidence or "")
    evidence = read_evidence(file, question.name)
    selection = select_imported(evidence, config.features, config.limit)
    keys = {item.feature.key for item in selection.items}
    chosen = [record for record in evidence if record.feature.key in keys]
    files = {"guideline": question.guideline, "evidence": file}
    question.read_guideline()  # before a run is made
    _greet(question, config, console)
    reached = prepare(config, arguments, os.environ, console.print)
    found = {"selection": selection, "floors": find_dead(chosen)}
    manifest = _describe(question, reached, arguments, command, {}, files).model_copy(update=found)
    if arguments.dry_run:
        return _estimate(question, config, len(chosen), chosen, console, arguments)
    folder = _create(arguments.runs, manifest, lambda folder: folder.write_evidence(chosen))
    return conduct(folder, question, reached, console)


def rejudge(arguments: argparse.Namespace, console: Console, command: Sequence[str]) -> int:
    """A new run on the evidence of another."""
    from agent.beginning.reaching import prepare
    from agent.folder.entrusted import INPUTS, check_rejudged, open_question
    from agent.folder.floors import floors_of
    from agent.folder.soundness import check_folder
    from agent.folder.store import RunFolder
    from agent.stages.conduct import conduct
    from agent.stages.recall import recall_cases, write_cases

    parent = RunFolder.open(arguments.rejudge)
    known, evidence = parent.manifest(), parent.finished_evidence()
    config = reconfigure(known.config, arguments, os.environ)
    question = open_question(known, reads_guideline=config.llm is not None)
    differs = check_rejudged(known, question, arguments.allow_different)
    selection = known.selection
    cases = recall_cases(parent, selection.items if selection else ())
    files = {"guideline": question.guideline, "evidence": parent.evidence_file}
    _greet(question, config, console)
    console.print(f"  judges the evidence of {parent.path} again")
    found_now = check_folder(parent).caveats
    _warn((*known.caveats, *found_now), console)
    reached = prepare(config, arguments, os.environ, console.print)
    hashes = {role: known.provenance.sha256[role] for role in INPUTS if role in known.provenance.sha256}
    described = _describe(question, reached, arguments, command, hashes, files)

    def fill(folder: RunFolder) -> None:
        if (survey := parent.path / "features.parquet").is_file():
            shutil.copy(survey, folder.path / survey.name)
        write_cases(folder.path, cases)
        folder.write_evidence(evidence)

    inherited = {
        "selection": selection,
        "parent": known.run_id,
        "proof": known.proof,
        "floors": floors_of(parent.path, known, evidence),
        "inherited": (*differs, *(f"of the run judged again: {text}" for text in found_now)),
    }
    manifest = described.model_copy(update=inherited)
    if arguments.dry_run:
        return _estimate(question, config, len(cases), evidence, console, arguments, judged_again=True)
    return conduct(_create(arguments.runs, manifest, fill), question, reached, console)


def resume(arguments: argparse.Namespace, console: Console) -> int:
    """The rest of a run that was stopped, and with `--retry-failed` what failed in it."""
    from agent.beginning.reaching import knock
    from agent.beginning.resuming import list_changes, reconsider, refuse_flags
    from agent.folder.entrusted import check_unchanged
    from agent.folder.soundness import require_whole
    from agent.folder.store import RunFolder
    from agent.stages.conduct import conduct
    from agent.stages.recipients import Reached

    refuse_flags(arguments, "resume")
    folder = RunFolder.open(arguments.resume)
    checked = require_whole(folder)
    manifest, made = folder.manifest(), folder.decisions()
    question = check_unchanged(manifest)
    selection = manifest.selection
    is_finished = selection is not None and len(made) == len(selection.items)
    asks = not is_finished or (arguments.retry_failed and any(decision.failure for decision in made))
    resumption = reconsider(manifest, arguments, os.environ, asks)
    judge = judged_by(resumption.config)
    console.print(f"unveil · resuming {folder.path} · {len(made)} decisions there already · judge: {judge}")
    if folder.evidence_file.is_file():
        _warn((*manifest.caveats, *(found.text for found in checked.findings if found.kind == "damaged")), console)
    if arguments.trace:
        _say_traced(console)
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
    _warn((*manifest.caveats, *checked.caveats), console)
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


def check_inputs(study: Study, config: RunConfig) -> ArmHashes:
    """Everything that can be found wrong before a heavy import or a run folder is made; hashes of the weights.

    Raises:
        UnveilError: it was.
    """
    from tools.bench.arms import check_arm_files
    from tools.border.text_files import read_text
    from tools.study.corpus import check_corpus
    from tools.survey.keywords import load_vocabulary

    hashes = check_arm_files(study, config.sae)
    load_vocabulary(study.asset(study.domain.vocabulary))
    study.question.read_guideline()
    if study.vectors.file:
        study.asset(study.vectors.file)
    if study.vectors.words:
        read_text(study.asset(study.vectors.words))
    check_corpus(study)
    return hashes


def banner(question: Question, config: RunConfig) -> list[str]:
    """What is about to run, and by whom it is judged."""
    embedded = question.name == "pocket" and config.evidence is None
    hint = " (embedded; --study gpt2-medical studies GPT-2 small)" if embedded else ""
    what = f"arm {config.sae}" if config.evidence is None else f"evidence {config.evidence}"
    lines = [f"unveil · study {question.name}{hint} · {what} · judge: {judged_by(config)}"]
    if config.llm is None:
        lines.append("  no LLM judges this run: set OPENAI_API_KEY or OPENAI_BASE_URL, and --llm-model, to let one")
    return lines


def judged_by(config: RunConfig) -> str:
    """Who judges, and where."""
    return "rules" if config.llm is None else f"{config.llm.judge_model} at {config.llm.base_url}"


def name_run(config: RunConfig, started: datetime) -> str:
    """`<utc time>-<study>-<arm>-<short hash>`; the hash tells runs of one second apart by their settings."""
    arm = "".join(letter if letter.isalnum() else "_" for letter in config.sae)[-24:]
    digest = sha256(f"{config.model_dump_json()}{started.timestamp()}".encode()).hexdigest()[:4]
    study = Path(config.study)
    name = study.parent.resolve().name if study.suffix == ".toml" else study.resolve().name
    name = name.encode("utf-8", "replace").decode()
    return f"{started:%Y%m%dT%H%M%SZ}-{name}-{arm}-{digest}"


def _greet(question: Question, config: RunConfig, console: Console) -> None:
    for line in banner(question, config):
        console.print(line)
    if config.traced:
        _say_traced(console)


def _say_traced(console: Console) -> None:
    from agent.stages.recipients import describe_tracing

    console.print(describe_tracing(os.environ))


def _warn(caveats: Iterable[str], console: Console) -> None:
    for caveat in caveats:
        console.print(f"warning: {caveat}")


def _warn_of_vocabulary(study: Study, console: Console) -> None:
    from tools.survey.keywords import describe_passed_over, read_vocabulary

    path = study.asset(study.domain.vocabulary)
    if said := describe_passed_over(path, read_vocabulary(path)):
        console.print(f"warning: {said}")


def _estimate(
    question: Question,
    config: RunConfig,
    n_features: int,
    evidence: Sequence[Evidence],
    console: Console,
    arguments: argparse.Namespace,
    judged_again: bool = False,
) -> int:
    if config.llm is not None:
        from agent.beginning.estimate import estimate_run
        from agent.folder.provenance import load_prompts

        found = estimate_run(config, question, load_prompts(), n_features, evidence, judged_again)
        for line in found.lines(config.llm, config.limits.budget_usd):
            console.print(line)
        console.print(f"  not tried: whether {config.llm.base_url} answers, knows its models and takes the key")
    console.print(f"dry run: everything needed is there; nothing was done. Run folders go to {arguments.runs}/")
    return 0


def _describe(
    question: Question,
    reached: Reached,
    arguments: argparse.Namespace,
    command: Sequence[str],
    hashes: Mapping[str, str],
    files: Mapping[str, Path],
) -> Manifest:
    from agent.folder.provenance import collect_provenance
    from agent.folder.records import Manifest
    from agent.llm.settings import without_values
    from tools.study.parts import hash_tables

    config, prompts = reached.config, []
    if config.llm is not None:
        from agent.folder.provenance import prompt_refs

        prompts = prompt_refs()
    started = datetime.now(UTC)
    return Manifest(
        run_id=name_run(config, started),
        started=started.isoformat(timespec="seconds"),
        config=config,
        study_title=question.title,
        domain=question.topic,
        provenance=collect_provenance(without_values(command, arguments.header or ()), hashes, files, prompts),
        study_sha256=hash_tables(config.study, config.sae),
    )


def _create(runs: Path, manifest: Manifest, fill: Callable[[RunFolder], object] | None = None) -> RunFolder:
    from agent.folder.store import RunFolder

    return RunFolder.create(runs / manifest.run_id, manifest, fill)
