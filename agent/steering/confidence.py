"""How far steering toward a target can be relied on: the study's fitted file, and what a command line requires."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.errors import RunError
from agent.folder.confidence import FILE, ConfidenceModel
from agent.folder.steered import Doubt, SteerConfig, TargetFound
from agent.lines import read_record
from tools.bench.arms import ArmHashes
from tools.display.gates import Requirement, read_requirement, unmet

OUTSIDE = 0.05
"""Of reference documents: where no more are described as badly as a target, that is outside what the SAE can represent."""
FIGURES = tuple(Doubt.model_fields)
"""What a requirement may name."""


def find_confidence(
    folder: Path, config: SteerConfig, hashes: ArmHashes, hook_name: str = ""
) -> ConfidenceModel | None:
    """The study's file, if it has one for these weights and this scorer.

    Args:
        folder: of the study.
        config: the run's.
        hashes: of model and SAE.
        hook_name: where the SAE is read; empty: not compared.

    Raises:
        RunError: it is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    model = read_record(file, ConfidenceModel, "restore it, or fit it again with python -m evals.steered")
    same = (model.model_sha256, model.sae_sha256, model.scorer) == (hashes.model, hashes.sae, config.scorer)
    return model if same and hook_name in ("", model.hook_name) else None


def check_requirements(config: SteerConfig, model: ConfidenceModel | None) -> None:
    """See that what is required can be known of a target.

    Raises:
        RunError: a figure has no such name, or cannot be had in this run.
    """
    for requirement in map(read_requirement, config.require):
        if requirement.name not in FIGURES:
            raise RunError(f"--require {requirement.text}: a target has no such figure; there are {', '.join(FIGURES)}")
        if requirement.name == "confidence" and model is None:
            raise RunError(
                f"--require {requirement.text}: study {config.study} has no {FILE} that was fitted for this model, SAE and "
                "scorer: require auroc_low>0.5 or another figure instead, or fit one with python -m evals.steered"
            )
        if requirement.name == "uninterpretable" and config.labels is None:
            raise RunError(f"--require {requirement.text}: name an investigation with --verdicts RUN")
        if requirement.name == "significant" and config.scorer == "reference":
            raise RunError(f"--require {requirement.text}: scores by reference have no null")


def figures_of(doubt: Doubt) -> dict[str, float]:
    """The figures of a target that were measured, by the names that a requirement uses."""
    dumped = doubt.model_dump()
    return {name: float(dumped[name]) for name in FIGURES if dumped[name] is not None}


def unmet_by(target: TargetFound, requirements: Sequence[Requirement]) -> list[str]:
    """A line for every requirement that a target does not meet."""
    return [f"{target.name}: {line}" for line in unmet(requirements, figures_of(target.doubt))]


def is_outside(target: TargetFound, model: ConfidenceModel | None) -> bool:
    """Whether the SAE describes hardly any other text as badly, or the study's own file says that steering does not succeed."""
    confidence, share = target.doubt.confidence, target.doubt.as_unexplained
    unlikely = model is not None and confidence is not None and confidence < model.level
    return unlikely or (share is not None and share <= OUTSIDE)
