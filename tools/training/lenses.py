"""The lens of a study's arm, made once and kept with the study, so that no run of it has to."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.progress import Progress

from tools.bench.compute import Compute, settle_precision
from tools.bench.loading import load_arm
from tools.errors import StudyError
from tools.study.definition import Study
from tools.survey.shipped_lens import write_shipped
from tools.survey.study_lens import averaging_of, find_lens, identify, pick_rows


def ship_lens(
    study: Study, arm: str, device: str = "cpu", progress: Progress | None = None, cache: Path | None = None
) -> tuple[Path, str]:
    """Make an arm's lens, or take the one that an earlier run made, and write it into the study's folder of lenses.

    Args:
        study: names the folder.
        arm: any arm with the model; its SAE's features are those whose lists have to agree.
        device: to compute on.
        progress: for the backward passes.
        cache: folder in which lenses are kept; None for the user's.

    Returns:
        The file, and a sentence on what is in it.

    Raises:
        StudyError: the study names no folder, has the direct lens, or its text ended before the lens was at rest.
    """
    if not study.survey.lens_folder:
        raise StudyError(f"study {study.name} names no folder for lenses: set survey.lens_folder")
    bench = load_arm(study, arm, Compute(device, settle_precision("auto", study.precision)))
    alone = study.model_copy(update={"survey": study.survey.model_copy(update={"lens_folder": ""})})
    lens = find_lens(bench, alone, progress, cache)
    if lens.jacobian is None or lens.report is None:
        raise StudyError(f"study {study.name} has the direct lens, which is the model's own and is not kept")
    if lens.report.converged is False:
        raise StudyError(f"{lens.report.sentence}: raise survey.lens_rows, or give the study more text")
    tokens = pick_rows(bench, study)
    identity = identify(bench, study.survey, averaging_of(study.survey), tokens)
    with torch.no_grad():
        file = write_shipped(study.folder / study.survey.lens_folder, identity, lens.jacobian, lens.report)
    return file, lens.report.sentence
