"""Lenses that come with a study, so that nobody has to make them: the mean Jacobian in half precision, and its report.

Each stands under the hash of the weights as they were loaded, the hook and the settings, and holds that hash: a lens of
another model, another hook or other settings is never used, whatever its file is called.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from pydantic import ValidationError
from torch import Tensor

from tools.errors import StudyError
from tools.survey.lens_file import is_square, pack_values, unpack_values
from tools.survey.lens_report import LensReport, hash_matrix
from tools.whole_files import write_bytes


def lens_path(folder: Path, identity: str) -> Path:
    """Where a lens stands."""
    return folder / f"{identity[:16]}.pt"


def read_shipped(
    folder: Path, identity: str, d_model: int
) -> tuple[Float[Tensor, "d_model d_model"], LensReport] | None:
    """The lens for these weights, hook and settings; None if there is none.

    Raises:
        StudyError: what stands in its place is another one's, or damaged.
    """
    file = lens_path(folder, identity)
    if not file.is_file():
        return None
    stored = unpack_values(file)
    if stored.get("of") != identity:
        raise StudyError(f"{file} is a lens of another model, hook or settings")
    jacobian, report = stored.get("jacobian"), stored.get("report")
    if not is_square(jacobian, d_model) or not isinstance(report, str):
        raise StudyError(f"{file} does not fit a model of {d_model} dimensions")
    try:
        told = LensReport.model_validate_json(report)
    except ValidationError:
        raise StudyError(f"{file} does not say how its lens was made") from None
    matrix = jacobian.float()
    update = {"remembered": True, "shipped": True, "sha256": hash_matrix(matrix), "note": None}
    return matrix, told.model_copy(update=update)


def write_shipped(folder: Path, identity: str, jacobian: Float[Tensor, "d_model d_model"], report: LensReport) -> Path:
    """Keep a lens with its study; what took whose time is left out, so that the same lens is the same file."""
    told = report.model_copy(update={"note": None, "remembered": False, "shipped": False})
    folder.mkdir(parents=True, exist_ok=True)
    file = lens_path(folder, identity)
    values = {"jacobian": jacobian.to(torch.float16), "report": told.model_dump_json(), "of": identity}
    write_bytes(file, pack_values(values))
    return file
