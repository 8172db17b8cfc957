"""Files that hold a lens: those of the published Jacobian lens, and our own, which say more.

A published file is a dictionary written by `torch.save`: `J`, a matrix [d_model, d_model] in half precision for each
source layer, such that `h @ J.T` is a residual behind that layer in terms of the last one; `source_layers`, `n_prompts` and
`d_model`. It is read with `weights_only`, which builds tensors and plain values and runs nothing, and only if it is as
large as it says. A lens of ours before the final norm is written so too; one behind the norm is another matrix, stands
under another name, and is refused by their reader rather than normed twice.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import torch
from jaxtyping import Float
from torch import Tensor

from tools.errors import StudyError
from tools.survey.jacobian import Mean

LARGEST = 32 * 2**30
"""Bytes of a file that is read at all."""
_KEPT = ("total", "positions", "half", "rows", "curve", "agreements", "seconds", "text")
_PLACE = re.compile(r"blocks\.(\d+)\.hook_resid_(pre|post)")


class JacobianLens(NamedTuple):
    """A fitted lens as its authors store it."""

    jacobians: dict[int, Float[Tensor, "d_model d_model"]]
    """By source layer, whose output they read; [output, input], in float32."""
    n_prompts: int
    d_model: int


def source_layer(hook_name: str) -> int | None:
    """The layer whose output the residual stream at a hook is; None in the middle of one, and before the first."""
    found = _PLACE.fullmatch(hook_name)
    if not found:
        return None
    layer = int(found[1]) - (found[2] == "pre")
    return layer if layer >= 0 else None


def pack_jacobians(lens: JacobianLens, dtype: torch.dtype = torch.float16) -> bytes:
    """The bytes of a published file."""
    return pack_values(
        {
            "J": {layer: matrix.to(dtype) for layer, matrix in lens.jacobians.items()},
            "n_prompts": lens.n_prompts,
            "source_layers": sorted(lens.jacobians),
            "d_model": lens.d_model,
        }
    )


def read_jacobians(file: Path, d_model: int) -> JacobianLens:
    """A published file, for a model of that width.

    Raises:
        StudyError: it is no such file, is not as large as it says, or is for another model.
    """
    stored = unpack_values(file)
    matrices, n_prompts = stored.get("J"), stored.get("n_prompts")
    if not isinstance(matrices, Mapping) or not matrices or not _is_count(n_prompts):
        raise StudyError(
            f"{file} is no Jacobian lens: it holds {', '.join(sorted(map(str, stored)))[:80] or 'nothing'}"
        )
    for layer, matrix in matrices.items():
        if not _is_count(layer) or not is_square(matrix, d_model):
            raise StudyError(
                f"{file} is no lens for a model of {d_model} dimensions: its layer {str(layer)[:20]} does not fit"
            )
    return JacobianLens({layer: matrix.float() for layer, matrix in matrices.items()}, n_prompts, d_model)


def pack_mean(mean: Mean, fingerprint: str) -> bytes:
    """A mean on its way or arrived, as our own files hold it."""
    part = torch.stack(mean.part) if mean.part else None
    kept = {name: getattr(mean, name) for name in _KEPT}
    return pack_values({"mean": {**kept, "part": part}, "of": fingerprint})


def read_mean(file: Path, fingerprint: str, d_model: int) -> Mean:
    """A mean that was stored under the same fingerprint.

    Raises:
        StudyError: it is no such file, or not of the same.
        OSError: it cannot be read.
    """
    stored = unpack_values(file)
    if stored.get("of") != fingerprint:
        raise StudyError(f"{file} is of another model or text")
    kept: Any = stored.get("mean")
    try:
        part, curve, agreements = kept.pop("part"), _floats(kept.pop("curve")), _floats(kept.pop("agreements"))
        mean = Mean(**kept, curve=curve, agreements=agreements, part=[] if part is None else list(part))
    except (TypeError, ValueError, AttributeError, KeyError):
        raise StudyError(f"{file} holds no mean") from None
    total, begun = mean.total, mean.total is not None
    counts = all(_is_count(count) and (count > 0) == begun for count in (mean.positions, mean.rows))
    widths = all(row.ndim == 2 and row.shape[1] == d_model for row in mean.part)
    if not counts or not widths or (begun and not (is_square(total, d_model) and is_square(mean.half, d_model))):
        raise StudyError(f"{file} does not fit a model of {d_model} dimensions")
    return mean


def pack_values(values: dict[str, Any]) -> bytes:
    """A file's bytes, made in memory first, so that a full disk is the writer's error and not the archive's."""
    made = io.BytesIO()
    torch.save(values, made)
    return made.getvalue()


def unpack_values(file: Path) -> dict[str, Any]:
    """What a file holds, tensors and plain values; nothing of it is run.

    Raises:
        StudyError: it holds none, is damaged, or is larger than it says.
    """
    _check_size(file)
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, TypeError, KeyError, AttributeError, EOFError) as error:
        raise StudyError(f"{file} is no lens, or a damaged one: {' '.join(str(error).split())[:120]}") from None
    if not isinstance(stored, dict):
        raise StudyError(f"{file} is no lens: it holds no dictionary")
    return stored


def _check_size(file: Path) -> None:
    """Before anything is unpacked: no more than it takes on the disk, and no more than is read at all."""
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        raise StudyError(f"{file} is no lens, or a damaged one: it was not written by torch.save") from None
    except OSError as error:
        raise StudyError(f"{file} cannot be read: {error.strerror or error}") from None
    if unpacked > min(LARGEST, file.stat().st_size):
        raise StudyError(f"{file} unpacks to {unpacked:,} bytes, more than it takes: it is not read")


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _floats(values: Any) -> list[float]:
    return [float(value) for value in values]


def is_square(matrix: object, d_model: int) -> TypeGuard[Tensor]:
    """A matrix of the right size that holds each of its numbers itself, all of them finite."""
    return (
        isinstance(matrix, Tensor)
        and matrix.is_floating_point()
        and matrix.shape == (d_model, d_model)
        and matrix.layout == torch.strided
        and matrix.untyped_storage().nbytes() >= matrix.numel() * matrix.element_size()
        and bool(matrix.isfinite().all())
    )
