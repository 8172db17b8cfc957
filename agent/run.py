"""`python -m agent.run`: where everything is put together, and nothing else is done."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.command import configure, parse_arguments, reconfigure
from tools.errors import UnveilError
from tools.terminal import door

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from agent.assembly import Assembly
    from agent.config import RunConfig
    from agent.records import Manifest
    from agent.stages import Opened, Stopwatch
    from agent.store import RunFolder
    from tools.records import Evidence
    from tools.studies import Question, Study
    from tools.subject import Laboratory
    from tools.workbench import Workbench


@door("interrupted before anything was done")
def main(argv: Sequence[str] | None = None) -> int:
    """Run it.

    Returns:
        0 when a run ended, 1 when a replay differs, 2 when something the user can mend stood in the way, 130 when interrupted.
    """
    arguments = parse_arguments(argv)
    from tools.console import LineConsole

    console, errors = LineConsole(), LineConsole(stderr=True)
    command = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments.replay:
            return _replay(arguments.replay, console)
        if arguments.resume:
            return _resume(arguments.resume, console, retry=arguments.retry_failed)
        if arguments.rejudge:
            return _rejudge(arguments, console, command)
        return _start(arguments, console, command)
    except UnveilError as error:
        errors.print(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        errors.print("interrupted: what was finished is kept; go on with --resume RUN")
        return 130


def _start(arguments: argparse.Namespace, console: Console, command: Sequence[str]) -> int:
    config = configure(arguments, os.environ)
    if config.evidence is not None:
        return _judge_evidence(arguments, config, console, command)
    from agent.config import open_study
    from agent.provenance import study_files
    from agent.stages import Stopwatch, open_bench
    from tools.corpus import hash_corpus

    study = open_study(config)
    hashes = check_inputs(study, config)
    _greet(study.question, config, console)
    _warn_of_vocabulary(study, console)
    if arguments.dry_run:
        n_controls = sum(study.controls.model_dump().values())
        at_most = (config.limit or study.candidate_limit) + round(config.controls * n_controls)
        return _estimate(study.question, config, len(config.features or ()) or at_most, (), console, arguments.runs)
    known = {**hashes, "corpus": hash_corpus(study)}
    watch = Stopwatch()
    opened = open_bench(study, config, console, watch)  # before there is a folder: much can be found wrong here
    manifest = _describe(study.question, config, command, known, study_files(study)).model_copy(update=_found(opened))
    return _work(_create(arguments.runs, manifest), study.question, config, console, opened=opened, watch=watch)


def _judge_evidence(arguments: argparse.Namespace, config: RunConfig, console: Console, command: Sequence[str]) -> int:
    from agent.imported import read_evidence, select_imported
    from tools.floors import find_dead
    from tools.studies import load_question

    question = load_question(config.study)
    file = Path(config.evidence or "")
    evidence = read_evidence(file, question.name)
    selection = select_imported(evidence, config.features, config.limit)
    keys = {item.feature.key for item in selection.items}
    chosen = [record for record in evidence if record.feature.key in keys]
    files = {"guideline": question.guideline, "evidence": file}
    _greet(question, config, console)
    if arguments.dry_run:
        return _estimate(question, config, len(chosen), chosen, console, arguments.runs)
    found = {"selection": selection, "floors": find_dead(chosen)}
    manifest = _describe(question, config, command, {}, files).model_copy(update=found)
    folder = _create(arguments.runs, manifest, lambda folder: folder.write_evidence(chosen))
    return _work(folder, question, config, console)


def _rejudge(arguments: argparse.Namespace, console: Console, command: Sequence[str]) -> int:
    from agent.floors import floors_of
    from agent.recall import recall_cases, write_cases
    from agent.store import RunFolder
    from tools.studies import load_question

    parent = RunFolder.open(arguments.rejudge)
    known, evidence = parent.manifest(), parent.finished_evidence()
    config = reconfigure(known.config, arguments, os.environ)
    question = load_question(config.study)
    selection = known.selection
    cases = recall_cases(parent, selection.items if selection else ())
    files = {"guideline": question.guideline, "evidence": parent.evidence_file}
    _greet(question, config, console)
    console.print(f"  judges the evidence of {parent.path} again")
    _warn(known, console)
    if arguments.dry_run:
        return _estimate(question, config, len(cases), evidence, console, arguments.runs, judged_again=True)
    described = _describe(question, config, command, {}, files)

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
    }
    manifest = described.model_copy(update=inherited)
    return _work(_create(arguments.runs, manifest, fill), question, config, console)


def _resume(path: Path, console: Console, retry: bool) -> int:
    from agent.config import open_study
    from agent.store import RunFolder
    from tools.studies import load_question

    folder = RunFolder.open(path)
    manifest = folder.manifest()
    if manifest.measures:
        check_inputs(open_study(manifest.config), manifest.config)
    console.print(f"unveil · resuming {path} · {len(folder.decisions())} decisions there already")
    if folder.evidence() is not None:
        _warn(manifest, console)
    return _work(folder, load_question(manifest.config.study), manifest.config, console, retry)


def _replay(path: Path, console: Console) -> int:
    from agent.replay import replay
    from agent.store import RunFolder
    from tools.studies import load_question

    folder = RunFolder.open(path)
    _warn(folder.manifest(), console)
    found = replay(folder, load_question(folder.manifest().config.study), console)
    console.print(f"{found.same} of {found.total} decisions reproduced byte for byte")
    return 0 if found.same == found.total else 1


def _found(opened: Opened) -> dict[str, Any]:
    """What the manifest says of the bench."""
    return {"computed": opened.computed, "probe": opened.probe, "proof": opened.proof}


def _warn(manifest: Manifest, console: Console) -> None:
    for caveat in manifest.caveats:
        console.print(f"warning: {caveat}")


def _work(
    folder: RunFolder,
    question: Question,
    config: RunConfig,
    console: Console,
    retry: bool = False,
    opened: Opened | None = None,
    watch: Stopwatch | None = None,
) -> int:
    from agent.stages import Stopwatch

    with folder.claimed():
        if retry and (retried := folder.set_failures_aside()):
            console.print(f"  {retried} that failed are investigated again; retried.jsonl keeps their failures")
        return _run_stages(folder, question, config, console, watch or Stopwatch(), opened)


def _run_stages(
    folder: RunFolder, question: Question, config: RunConfig, console: Console, watch: Stopwatch, opened: Opened | None
) -> int:
    from agent.config import open_study
    from agent.stages import conclude, gather_evidence, investigate, open_bench
    from agent.tables import format_summary

    evidence, manifest = folder.evidence(), folder.manifest()
    laboratory = None
    if manifest.measures and (evidence is None or config.llm):
        study = open_study(config)
        bench, _, _ = opened = opened or open_bench(study, config, console, watch)
        lens = None
        if evidence is None:
            folder.write_manifest(manifest.model_copy(update=_found(opened)))
            evidence, lens = gather_evidence(folder, study, config, bench, console, watch)
        laboratory = _open_laboratory(bench, study, config, lens) if config.llm else None
    assert evidence is not None
    assembly = _assemble(folder, question, config, laboratory) if config.llm else None
    decisions = investigate(folder, question, config, evidence, assembly, console, watch)
    summary = conclude(folder, question, evidence, decisions, folder.count_features(), watch)
    console.print()
    for line in format_summary(summary):
        console.print(line)
    console.print()
    console.print(str(folder.path / "report.html"))
    console.print(f"next: python -m evals.review {folder.path}   read it, and write labels")
    console.print(f"      python -m evals.run {folder.path} --labels FILE   how far its verdicts agree with people's")
    if folder.manifest().measures:
        console.print(
            f"      python -m evals.score {folder.path}   what its labels are worth on text nobody labelled from"
        )
    console.print(f"      python -m agent.run --replay {folder.path}   the same decisions again from what is stored")
    return 0


def _open_laboratory(bench: Workbench, study: Study, config: RunConfig, lens: Any) -> Laboratory:
    from tools.subject import Laboratory

    return Laboratory(bench, study, config.seed, lens)


def _assemble(folder: RunFolder, question: Question, config: RunConfig, laboratory: Laboratory | None) -> Assembly:
    from agent.assembly import Assembly

    assert config.llm is not None
    instruments: Sequence[Any] = ()
    if laboratory is not None:
        from tools.catalogue import TOOLS

        instruments = TOOLS
    key = os.environ.get("OPENAI_API_KEY")
    return Assembly(config, config.llm, question, folder.path, key, instruments, laboratory)


def check_inputs(study: Study, config: RunConfig) -> dict[str, str]:
    """Everything that can be found wrong before a heavy import or a run folder is made; hashes of the weights.

    Raises:
        UnveilError: it was.
    """
    from tools.arms import check_arm_files
    from tools.corpus import check_corpus
    from tools.keywords import load_vocabulary
    from tools.text_files import read_text

    hashes = check_arm_files(study, config.sae)
    load_vocabulary(study.asset(study.domain.vocabulary))
    read_text(study.asset(study.domain.guideline))
    for name in (study.vectors.file, study.vectors.words):
        if name:
            study.asset(name)
    check_corpus(study)
    return hashes.model_dump()


def _warn_of_vocabulary(study: Study, console: Console) -> None:
    from tools.keywords import describe_passed_over, read_vocabulary

    path = study.asset(study.domain.vocabulary)
    if said := describe_passed_over(path, read_vocabulary(path)):
        console.print(f"warning: {said}")


def banner(question: Question, config: RunConfig) -> list[str]:
    """What is about to run, and by whom it is judged."""
    embedded = question.name == "pocket" and config.evidence is None
    hint = " (embedded; --study gpt2-medical studies GPT-2 small)" if embedded else ""
    judge = "rules" if config.llm is None else f"{config.llm.judge_model} at {config.llm.base_url or 'OpenAI'}"
    what = f"arm {config.sae}" if config.evidence is None else f"evidence {config.evidence}"
    lines = [f"unveil · study {question.name}{hint} · {what} · judge: {judge}"]
    if config.llm is None:
        lines.append("  no LLM judges this run: set OPENAI_API_KEY or OPENAI_BASE_URL, and --llm-model, to let one")
    return lines


def _greet(question: Question, config: RunConfig, console: Console) -> None:
    for line in banner(question, config):
        console.print(line)


def _estimate(
    question: Question,
    config: RunConfig,
    n_features: int,
    evidence: Sequence[Evidence],
    console: Console,
    runs: Path,
    judged_again: bool = False,
) -> int:
    if config.llm is not None:
        from agent.assembly import load_prompts
        from agent.estimate import estimate_run

        found = estimate_run(config, question, load_prompts(), n_features, evidence, judged_again)
        for line in found.lines(config.llm, config.limits.budget_usd):
            console.print(line)
    console.print(f"dry run: everything needed is there; nothing was done. Run folders go to {runs}/")
    return 0


def _describe(
    question: Question, config: RunConfig, command: Sequence[str], hashes: Mapping[str, str], files: Mapping[str, Path]
) -> Manifest:
    from agent.provenance import collect_provenance
    from agent.records import Manifest

    prompts = []
    if config.llm is not None:
        from agent.assembly import prompt_refs

        prompts = prompt_refs()
    started = datetime.now(UTC)
    return Manifest(
        run_id=name_run(config, started),
        started=started.isoformat(timespec="seconds"),
        config=config,
        study_title=question.title,
        domain=question.topic,
        provenance=collect_provenance(command, hashes, files, prompts),
    )


def _create(runs: Path, manifest: Manifest, fill: Callable[[RunFolder], object] | None = None) -> RunFolder:
    from agent.store import RunFolder

    return RunFolder.create(runs / manifest.run_id, manifest, fill)


def name_run(config: RunConfig, started: datetime) -> str:
    """`<utc time>-<study>-<arm>-<short hash>`; the hash tells runs of one second apart by their settings."""
    arm = "".join(letter if letter.isalnum() else "_" for letter in config.sae)[-24:]
    digest = sha256(f"{config.model_dump_json()}{started.timestamp()}".encode()).hexdigest()[:4]
    study = Path(config.study)
    name = study.parent.resolve().name if study.suffix == ".toml" else study.resolve().name
    return f"{started:%Y%m%dT%H%M%SZ}-{name}-{arm}-{digest}"


if __name__ == "__main__":
    sys.exit(main())
