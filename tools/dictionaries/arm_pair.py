"""Two arms of a study with their weights: whether they are what they are said to be, and what of one is in the other."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.progress import Progress, TaskID

from tools.bench.arms import ArmHashes
from tools.bench.compute import Compute
from tools.bench.loading import DEAD_LOG_DENSITY, SPARSITY_FILE, load_arm
from tools.bench.workbench import Workbench
from tools.dictionaries.belonging import check_arms, check_reconstruction, probe_rows
from tools.dictionaries.matching import DictionaryMatching, match_dictionaries
from tools.dictionaries.reconstruction import Reconstruction, measure_reconstruction
from tools.errors import LoadError
from tools.records import Record
from tools.study.corpus import Corpus, TokenRows
from tools.study.definition import Study

TEXT_ROWS = 48
"""Rows of held-out text that reconstructions are measured on."""
STEPS = 5
"""Of the progress: two arms loaded, both probed, the dictionaries matched, either model reconstructed."""


class SaeOnModel(Record):
    """One arm's SAE on one arm's model."""

    sae: str
    model: str
    figures: Reconstruction


class ArmPair(Record):
    """What the weights of two arms say about each other."""

    left: ArmHashes
    right: ArmHashes
    faults: tuple[str, ...]
    """Reasons why one of them is not what it is said to be; empty where both are."""
    matching: DictionaryMatching | None
    """None where the decoders cannot be compared."""
    reconstructions: tuple[SaeOnModel, ...]
    """Either SAE on either model; empty where they do not fit each other."""


def compare_pair(
    study: Study, left: str, right: str, seed: int = 0, device: str = "cpu", progress: Progress | None = None
) -> ArmPair:
    """Load two arms, probe them, match their dictionaries, and run each SAE on each model.

    Args:
        study: that names both arms.
        left: the first arm, such as the base.
        right: the second.
        seed: of the matching's null.
        device: as `tools.bench.compute.choose_device` takes it.
        progress: to report on.

    Raises:
        StudyError: there is no such arm, or one of its folders is missing.
        LoadError: weights are corrupt, unreachable or of a kind that the instruments cannot read.
    """
    task = progress.add_task("weights      of both arms", total=STEPS) if progress else TaskID(0)

    def done() -> None:
        if progress:
            progress.update(task, advance=1)

    benches, corpus = [load_arm(study, name, Compute(device)) for name in (left, right)], Corpus(study)
    for bench in benches:
        bench.take_up(corpus)
    done()
    faults = _probe(study, *benches)
    done()
    matching, reconstructions = None, list[SaeOnModel]()
    dimensions = {bench.directions.shape[1] for bench in benches}
    if len(dimensions) == 1:
        ours, theirs = benches
        matching = match_dictionaries(
            ours.directions,
            theirs.directions,
            seed=seed,
            left_alive=ours.alive,
            right_alive=theirs.alive,
        )
        done()
        for model in benches:
            rows = probe_rows(model, study, "held_out", TEXT_ROWS)
            for owner in benches:
                figures = measure_reconstruction(model, rows, owner.autoencoder).figures
                reconstructions.append(SaeOnModel(sae=owner.arm_name, model=model.arm_name, figures=figures))
            done()
    return ArmPair(
        left=benches[0].hashes,
        right=benches[1].hashes,
        faults=tuple(faults),
        matching=matching,
        reconstructions=tuple(reconstructions),
    )


def _probe(study: Study, left: Workbench, right: Workbench) -> list[str]:
    """What is wrong with either arm, or with the two of them."""
    faults: list[str] = []
    for bench in (left, right):
        faults += _fault(bench, probe_rows(bench, study))
    try:
        check_arms(left, right, probe_rows(left, study))
    except LoadError as error:
        faults.append(str(error))
    return faults


def _fault(bench: Workbench, rows: TokenRows) -> list[str]:
    try:
        check_reconstruction(bench, rows)
    except LoadError as error:
        return [str(error)]
    return []


def match_folders(left: Path, right: Path, seed: int = 0) -> DictionaryMatching:
    """Match the decoders of two SAEs saved by SAELens; no model is loaded.

    Raises:
        LoadError: a folder holds no decoder.
    """
    ours, theirs = _read_decoder(left), _read_decoder(right)
    alive = [_read_alive(folder, len(rows)) for folder, rows in ((left, ours), (right, theirs))]
    return match_dictionaries(ours, theirs, seed=seed, left_alive=alive[0], right_alive=alive[1])


def _read_decoder(folder: Path) -> torch.Tensor:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = folder / "sae_weights.safetensors"
    try:
        return load_file(file)["W_dec"].float()
    except (OSError, KeyError, SafetensorError) as error:
        raise LoadError(f"{file} holds no decoder W_dec: {error}") from error


def _read_alive(folder: Path, n: int) -> torch.Tensor:
    from safetensors.torch import load_file

    file = folder / SPARSITY_FILE
    density = load_file(file).get("sparsity") if file.is_file() else None
    if density is None or density.shape != (n,):
        return torch.ones(n, dtype=torch.bool)
    return density > DEAD_LOG_DENSITY
