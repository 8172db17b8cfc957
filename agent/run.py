"""Survey every feature of a sparse autoencoder, investigate a few dozen, and record each decision with its evidence.

python -m agent.run --sae base               the base model of the embedded study
python -m agent.run --sae finetuned          the same model, fine-tuned on medical text
python -m agent.run --resume runs/RUN        go on with a run that was stopped
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from tools.errors import UnveilError

if TYPE_CHECKING:
    from rich.console import Console

    from agent.assembly import Assembly
    from agent.config import RunConfig
    from agent.records import PromptRef
    from agent.store import RunFolder
    from tools.studies import Study
    from tools.workbench import ArmHashes, Workbench


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line. Nothing heavy has been imported when this returns, so `--help` is instant."""
    parser = argparse.ArgumentParser(
        prog="python -m agent.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_argument_group("what to look at")
    what.add_argument(
        "--study", default="pocket", help="a study under studies/, or a folder with a study.toml (default: %(default)s)"
    )
    what.add_argument(
        "--sae",
        default="base",
        help="an arm of the study, or with --model a folder saved by SAELens or RELEASE/SAE_ID (default: %(default)s)",
    )
    what.add_argument("--model", help="for an SAE that is no arm: a Hugging Face model folder or name")
    what.add_argument("--features", type=_indices, metavar="I,J,…", help="investigate just these features")
    what.add_argument("--limit", type=_positive, help="most candidates investigated (default: the study's)")
    what.add_argument(
        "--controls",
        type=_share,
        default=1.0,
        help="multiplies the numbers of control features; 0 for none (default: 1)",
    )
    llm = parser.add_argument_group(
        "who judges", "a model is configured by OPENAI_API_KEY, OPENAI_BASE_URL or --base-url"
    )
    llm.add_argument("--judge", choices=("rules", "llm"), help="default: llm if a model is configured, else rules")
    llm.add_argument("--llm-model", metavar="M", help="the investigator's model (default: OPENAI_MODEL)")
    llm.add_argument("--judge-model", metavar="M", help="the judge's model, if it is another")
    llm.add_argument(
        "--judge-repeats", type=_positive, default=1, metavar="K", help="judgements a feature (default: 1)"
    )
    llm.add_argument("--base-url", metavar="URL", help="an OpenAI-compatible endpoint, with its /v1")
    llm.add_argument("--concurrency", type=_positive, default=8, metavar="N", help="features at once (default: 8)")
    llm.add_argument("--budget-usd", type=float, metavar="X", help="stop asking when this much is spent")
    llm.add_argument("--budget-tokens", type=_positive, metavar="N", help="stop asking when so many are spent")
    llm.add_argument("--prices", metavar="FILE", help="prices that replace the shipped table")
    how = parser.add_argument_group("how")
    how.add_argument("--seed", type=int, default=0, help="decides controls, samples and random directions (default: 0)")
    how.add_argument("--device", default="cpu", help="cpu, cuda or mps (default: %(default)s)")
    how.add_argument(
        "--runs", type=Path, default=Path("runs"), help="where run folders are made (default: %(default)s)"
    )
    how.add_argument("--resume", type=Path, metavar="RUN", help="finish a run that was stopped; its own settings hold")
    how.add_argument(
        "--replay", type=Path, metavar="RUN", help="make its decisions again without model and key, and compare"
    )
    how.add_argument("--dry-run", action="store_true", help="check everything, say what would be done, and stop")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it.

    Returns:
        0 when a run ended, 1 when a replay differs, 2 when something the user can mend stood in the way, 130 when interrupted.
    """
    arguments = parse_arguments(argv)
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False)
    errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    try:
        if arguments.replay:
            return _replay(arguments.replay, console)
        if arguments.resume:
            return _resume(arguments.resume, console)
        return _start(arguments, console, list(sys.argv[1:] if argv is None else argv))
    except UnveilError as error:
        errors.print(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        errors.print("interrupted: what was finished is kept; go on with --resume RUN")
        return 130


def _start(arguments: argparse.Namespace, console: Console, command: Sequence[str]) -> int:
    from agent.provenance import collect_provenance
    from agent.records import Manifest
    from agent.store import RunFolder
    from tools.studies import load_study

    config = configure(arguments, os.environ)
    study = _with_own_sae(load_study(config.study), config)
    hashes = check_inputs(study, config)
    for line in banner(study, config):
        console.print(line)
    if arguments.dry_run:
        console.print(f"dry run: everything needed is there; nothing was done. Run folders go to {arguments.runs}/")
        return 0
    started = datetime.now(UTC)
    run_id = name_run(config, started)
    manifest = Manifest(
        run_id=run_id,
        started=started.isoformat(timespec="seconds"),
        config=config,
        study_title=study.title,
        domain=study.domain.name,
        provenance=collect_provenance(command, study, hashes.model_dump(), _prompt_refs(config)),
    )
    return _work(RunFolder.create(arguments.runs / run_id, manifest), study, config, console)


def _resume(path: Path, console: Console) -> int:
    from agent.store import RunFolder
    from tools.studies import load_study

    folder = RunFolder.open(path)
    config = folder.manifest().config
    study = _with_own_sae(load_study(config.study), config)
    check_inputs(study, config)
    console.print(f"unveil · resuming {path} · {len(folder.decisions())} decisions there already")
    return _work(folder, study, config, console)


def _replay(path: Path, console: Console) -> int:
    from agent.replay import replay
    from agent.store import RunFolder
    from tools.studies import load_study

    folder = RunFolder.open(path)
    config = folder.manifest().config
    found = replay(folder, _with_own_sae(load_study(config.study), config), console)
    console.print(f"{found.same} of {found.total} decisions reproduced byte for byte")
    return 0 if found.same == found.total else 1


def _work(folder: RunFolder, study: Study, config: RunConfig, console: Console) -> int:
    from agent.stages import Stopwatch, conclude, gather_evidence, investigate, open_bench
    from agent.tables import format_summary

    watch = Stopwatch()
    evidence = folder.evidence()
    bench = open_bench(study, config, watch) if evidence is None or config.llm else None
    if evidence is None:
        assert bench is not None
        evidence = gather_evidence(folder, study, config, bench, console, watch)
    assembly = _assemble(folder, study, config, bench) if config.llm else None
    decisions = investigate(folder, study, config, evidence, assembly, console, watch)
    summary = conclude(folder, study, evidence, decisions, folder.count_features(), watch)
    console.print()
    for line in format_summary(summary):
        console.print(line)
    console.print(f"\n{folder.path / 'report.html'}")
    console.print(
        f"next: python -m agent.run --replay {folder.path}   makes the same decisions again from what is stored"
    )
    return 0


def _assemble(folder: RunFolder, study: Study, config: RunConfig, bench: Workbench | None) -> Assembly:
    from agent.assembly import Assembly
    from tools.catalogue import TOOLS
    from tools.subject import Laboratory

    assert config.llm is not None
    laboratory = Laboratory(bench, study, config.seed) if bench else None
    key = os.environ.get("OPENAI_API_KEY")
    return Assembly(config, config.llm, study, folder.path, key, TOOLS, laboratory)


def check_inputs(study: Study, config: RunConfig) -> ArmHashes:
    """Everything that can be found wrong before a heavy import or a run folder is made.

    Raises:
        UnveilError: it was.
    """
    from tools.keywords import load_vocabulary
    from tools.workbench import check_arm_files

    hashes = check_arm_files(study, config.sae)
    load_vocabulary(study.asset(study.domain.vocabulary))
    study.asset(study.domain.guideline)
    for name in (study.vectors.file, study.vectors.words, study.corpus.file):
        if name:
            study.asset(name)
    return hashes


def configure(arguments: argparse.Namespace, environment: Mapping[str, str]) -> RunConfig:
    """The frozen config of a command line; flags come before the environment, which is read here and nowhere else.

    Raises:
        RunError: an LLM is to judge but no model is named.
    """
    from agent.config import Limits, LlmChoice, RunConfig
    from agent.errors import RunError

    base_url = arguments.base_url or environment.get("OPENAI_BASE_URL") or None
    configured = bool(base_url or environment.get("OPENAI_API_KEY"))
    judge = arguments.judge or ("llm" if configured else "rules")
    model: str | None = arguments.llm_model or environment.get("OPENAI_MODEL")
    if judge == "llm" and not configured:
        raise RunError("no LLM is configured: set OPENAI_API_KEY or OPENAI_BASE_URL, or give --base-url")
    if judge == "llm" and model is None:
        raise RunError("name the model with --llm-model or OPENAI_MODEL, or let the rules judge with --judge rules")
    choice = None
    if judge == "llm" and model is not None:
        choice = LlmChoice(
            model=model,
            judge_model=arguments.judge_model or model,
            base_url=base_url,
            concurrency=arguments.concurrency,
            prices=arguments.prices,
        )
    return RunConfig(
        study=arguments.study,
        sae=arguments.sae,
        model=arguments.model,
        features=arguments.features,
        limit=arguments.limit,
        controls=arguments.controls,
        judge=judge,
        judge_repeats=arguments.judge_repeats,
        llm=choice,
        limits=Limits(budget_usd=arguments.budget_usd, budget_tokens=arguments.budget_tokens),
        seed=arguments.seed,
        device=arguments.device,
    )


def banner(study: Study, config: RunConfig) -> list[str]:
    """What is about to run, and by whom it is judged."""
    hint = " (embedded; --study gpt2-medical studies GPT-2 small)" if study.name == "pocket" else ""
    judge = "rules" if config.llm is None else f"{config.llm.judge_model} at {config.llm.base_url or 'OpenAI'}"
    lines = [f"unveil · study {study.name}{hint} · arm {config.sae} · judge: {judge}"]
    if config.llm is None:
        lines.append("  no LLM judges this run: set OPENAI_API_KEY or OPENAI_BASE_URL, and --llm-model, to let one")
    return lines


def _prompt_refs(config: RunConfig) -> list[PromptRef]:
    if config.llm is None:
        return []
    from agent.assembly import prompt_refs

    return prompt_refs()


def name_run(config: RunConfig, started: datetime) -> str:
    """`<utc time>-<study>-<arm>-<short hash>`; the hash tells runs of one second apart by their settings."""
    arm = "".join(letter if letter.isalnum() else "_" for letter in config.sae)[-24:]
    digest = sha256(f"{config.model_dump_json()}{started.timestamp()}".encode()).hexdigest()[:4]
    return f"{started:%Y%m%dT%H%M%SZ}-{Path(config.study).name}-{arm}-{digest}"


def _with_own_sae(study: Study, config: RunConfig) -> Study:
    """The study with one more arm, when `--sae` names an SAE of the user's and `--model` its model."""
    from tools.studies import Arm

    if config.sae in study.arms or config.model is None:
        return study
    own = Arm(model=config.model, sae=config.sae, hook_name="")
    return study.model_copy(update={"arms": {**study.arms, config.sae: own}, "hub": True})


def _indices(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of feature numbers such as 12,700") from None


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 100")
    return value


if __name__ == "__main__":
    sys.exit(main())
