"""Survey every feature of a sparse autoencoder, investigate a few dozen, and record each decision with its evidence.

python -m agent.run --sae base               the base model of the embedded study
python -m agent.run --sae finetuned          the same model, fine-tuned on medical text
python -m agent.run --resume runs/RUN        go on with a run that was stopped
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from tools.errors import UnveilError

if TYPE_CHECKING:
    from rich.console import Console

    from agent.config import RunConfig
    from agent.store import RunFolder
    from tools.studies import Study


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
    how = parser.add_argument_group("how")
    how.add_argument(
        "--judge", choices=("rules", "llm"), help="who judges (default: llm if one is configured, else rules)"
    )
    how.add_argument("--seed", type=int, default=0, help="decides controls, samples and random directions (default: 0)")
    how.add_argument("--device", default="cpu", help="cpu, cuda or mps (default: %(default)s)")
    how.add_argument(
        "--runs", type=Path, default=Path("runs"), help="where run folders are made (default: %(default)s)"
    )
    how.add_argument("--resume", type=Path, metavar="RUN", help="finish a run that was stopped; its own settings hold")
    how.add_argument("--dry-run", action="store_true", help="check everything, say what would be done, and stop")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it.

    Returns:
        0 when a run ended, 2 when something the user can mend stood in the way, 130 when interrupted.
    """
    arguments = parse_arguments(argv)
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    try:
        if arguments.resume:
            return _resume(arguments.resume, console)
        return _start(arguments, console, list(sys.argv[1:] if argv is None else argv))
    except UnveilError as error:
        Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted: what was finished is kept; go on with --resume RUN")
        return 130


def _start(arguments: argparse.Namespace, console: Console, command: Sequence[str]) -> int:
    from agent.provenance import collect_provenance
    from agent.records import Manifest
    from agent.store import RunFolder
    from tools.keywords import load_vocabulary
    from tools.studies import load_study
    from tools.workbench import check_arm_files

    config = configure(arguments)
    study = _with_own_sae(load_study(config.study), config)
    hashes = check_arm_files(study, config.sae)
    load_vocabulary(study.asset(study.domain.vocabulary))
    study.asset(study.domain.guideline)
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
        provenance=collect_provenance(command, study, hashes.model_dump()),
    )
    return _work(RunFolder.create(arguments.runs / run_id, manifest), study, config, console)


def _resume(path: Path, console: Console) -> int:
    from agent.store import RunFolder
    from tools.studies import load_study
    from tools.workbench import check_arm_files

    folder = RunFolder.open(path)
    config = folder.manifest().config
    study = _with_own_sae(load_study(config.study), config)
    check_arm_files(study, config.sae)
    console.print(f"unveil · resuming {path} · {len(folder.decisions())} decisions there already")
    return _work(folder, study, config, console)


def _work(folder: RunFolder, study: Study, config: RunConfig, console: Console) -> int:
    from agent.stages import Stopwatch, conclude, gather_evidence, investigate
    from agent.tables import format_summary

    watch = Stopwatch()
    evidence, d_sae = folder.evidence(), folder.count_features()
    if evidence is None or d_sae is None:
        evidence, d_sae = gather_evidence(folder, study, config, console, watch)
    decisions = investigate(folder, study, config, evidence, console, watch)
    summary = conclude(folder, study, evidence, decisions, d_sae, watch)
    console.print()
    for line in format_summary(summary):
        console.print(line, markup=False)
    console.print(f"\n{folder.path / 'report.html'}", markup=False)
    return 0


def configure(arguments: argparse.Namespace) -> RunConfig:
    """The frozen config of a command line."""
    from agent.config import RunConfig

    return RunConfig(
        study=arguments.study,
        sae=arguments.sae,
        model=arguments.model,
        features=arguments.features,
        limit=arguments.limit,
        controls=arguments.controls,
        judge=arguments.judge or "rules",
        seed=arguments.seed,
        device=arguments.device,
    )


def banner(study: Study, config: RunConfig) -> list[str]:
    """What is about to run, and by whom it is judged."""
    hint = " (embedded; --study gpt2-medical studies GPT-2 small)" if study.name == "pocket" else ""
    lines = [f"unveil · study {study.name}{hint} · arm {config.sae} · judge: {config.judge}"]
    if config.judge == "rules":
        lines.append("  no LLM configured: set OPENAI_API_KEY or OPENAI_BASE_URL to let a model judge")
    return lines


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
