"""The lens of a study: direct, out of a file of others, come with the study, kept by an earlier run, or made now.

The mean Jacobian of a real model takes minutes, so it is made once for a model and a hook and kept in the user's cache, under
the hash of the weights as they were loaded. While it is made it is stored every half minute, and a run that was killed
goes on from there. A mean that came to rest by a stop rule is the model's, whatever text it was taken over; without a rule
it is kept for its text alone. A file that cannot be written costs a run nothing: the lens is in memory.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from rich.progress import Progress
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.border.cache import cache_folder
from tools.errors import StudyError
from tools.study.definition import Study, SurveyDefaults
from tools.survey.agreement import agreement_of_halves
from tools.survey.jacobian import BATCH, Averaging, Mean, average_jacobian
from tools.survey.lens import make_lens
from tools.survey.lens_file import pack_mean, read_jacobians, read_mean, source_layer
from tools.survey.lens_report import LensReport, hash_matrix
from tools.survey.shipped_lens import read_shipped
from tools.whole_files import write_bytes

SKIPPED = 16
"""Positions at a row's beginning that the published lens leaves out: early ones serve as attention sinks."""
STORED_EVERY = 30.0
"""Seconds between stored states of a mean on its way."""
_VERSION = 2
"""Of how the mean is made: another one is another lens."""


class Lens(NamedTuple):
    """What directions are projected on."""

    matrix: Float[Tensor, "d_model d_vocab"]
    report: LensReport | None
    """None for the direct lens, which is the model's unembedding."""
    jacobian: Float[Tensor, "d_model d_model"] | None = None
    """That it ends in, [output, input]; None as for the report."""


def find_lens(
    bench: Workbench,
    study: Study,
    progress: Progress | None = None,
    cache: Path | None = None,
    stored_every: float = STORED_EVERY,
) -> Lens:
    """The study's lens, averaged over rows of the `train` split if it needs text.

    Args:
        bench: model and SAE.
        study: its survey says which lens, over how much text.
        progress: for the backward passes.
        cache: folder in which lenses are kept; None for the user's.
        stored_every: seconds between stored states.

    Raises:
        StudyError: the corpus has no row long enough, or the study names a file that holds no lens for this model.
    """
    settings = study.survey
    if settings.lens == "direct":
        return Lens(bench.W_U, None)
    if settings.lens_file:
        return _read_others(bench, study)
    tokens = pick_rows(bench, study)
    averaging = averaging_of(settings)
    identity, missed = identify(bench, settings, averaging, tokens), None
    if settings.lens_folder:
        folder = study.folder / settings.lens_folder
        try:
            shipped = read_shipped(folder, identity, bench.W_U.shape[0])
            missed = f"{folder} has no lens for this model, hook and settings" if shipped is None else None
        except StudyError as error:
            shipped, missed = None, str(error)
        if shipped is not None:
            jacobian, report = shipped
            return Lens(make_lens(bench, settings.lens, jacobian), report, jacobian)
    kept = _Kept.of(bench, identity, tokens, cache or cache_folder("lenses"))
    found = _read_or_make(bench, study, averaging, tokens, kept, progress, stored_every)
    note = kept.note or (missed and f"{missed}: it was made here, which takes minutes on a real model")
    return found._replace(report=found.report and found.report.model_copy(update={"note": note}))


def _read_or_make(
    bench: Workbench,
    study: Study,
    averaging: Averaging,
    tokens: Int64[np.ndarray, "rows width"],
    kept: _Kept,
    progress: Progress | None,
    stored_every: float,
) -> Lens:
    settings = study.survey
    assert settings.lens != "direct"
    name = settings.lens
    began = kept.read(bench.W_U.shape[0], len(tokens)) or Mean(text=kept.text)
    remembered = _is_done(began, averaging, len(tokens))
    last = [time.monotonic()]

    def store(mean: Mean) -> None:
        if time.monotonic() - last[0] >= stored_every:
            kept.write(mean)
            last[0] = time.monotonic()

    def agree(mean: Mean) -> float:
        return agreement_of_halves(bench, name, mean, settings.top_k)

    asked = agree if averaging.agreement is not None else None
    mean = average_jacobian(bench, torch.from_numpy(tokens), averaging, began, store, progress, asked)
    if not remembered:
        kept.write(mean)
    jacobian = mean.jacobian()
    report = _describe(bench, settings, averaging, mean, jacobian, tokens.shape[1], remembered)
    return Lens(make_lens(bench, name, jacobian), report, jacobian)


def _describe(
    bench: Workbench,
    settings: SurveyDefaults,
    averaging: Averaging,
    mean: Mean,
    jacobian: Float[Tensor, "d_model d_model"],
    width: int,
    remembered: bool,
) -> LensReport:
    return LensReport(
        name="effect" if averaging.normed else "jacobian",
        hook_name=bench.hook_name,
        rows=mean.rows,
        positions=mean.positions,
        width=width,
        skip=averaging.skip,
        dtype=str(bench.dtype).removeprefix("torch."),
        curve=tuple(round(shift, 6) for shift in mean.curve),
        tolerance=averaging.tolerance,
        agreements=tuple(round(share, 6) for share in mean.agreements),
        agreement=averaging.agreement,
        converged=mean.is_at_rest(averaging) if averaging.stops else None,
        text_sha256=mean.text,
        sha256=hash_matrix(jacobian),
        seconds=round(mean.seconds, 1),
        remembered=remembered,
    )


def identify(
    bench: Workbench, settings: SurveyDefaults, averaging: Averaging, tokens: Int64[np.ndarray, "rows width"]
) -> str:
    """sha256 of everything that a lens depends on but rounding; one that comes to rest does not depend on the text."""
    read = tokens.shape[1] if averaging.stops else _hash_rows(tokens)
    made = (_VERSION, settings.lens, averaging, read, bench.dtype)
    return hashlib.sha256("\0".join(map(str, (bench.fingerprint, bench.hook_name, *made))).encode()).hexdigest()


def averaging_of(settings: SurveyDefaults) -> Averaging:
    """What a study's mean is taken over: for `jacobian` as it was published, for `effect` as steering acts."""
    published = settings.lens == "jacobian"
    skip = settings.lens_skip or (SKIPPED if published else 1)
    rest = {"tolerance": settings.lens_tolerance, "agreement": settings.lens_agreement}
    return Averaging(skip, omits_last=published, normed=not published, **rest)


def pick_rows(bench: Workbench, study: Study) -> Int64[np.ndarray, "rows width"]:
    """Full rows of the `train` split, those whose own hash is lowest: a corpus that loses a few passages keeps most.

    Raises:
        StudyError: there is none, or a row is shorter than what is skipped of it.
    """
    settings = study.survey
    width = min(bench.row_width, settings.lens_width)
    if averaging_of(settings).per_row(width) < 1:
        raise StudyError(
            f"survey.lens_skip leaves nothing of a row of {width} positions: lower it, or raise survey.lens_width"
        )
    rows = bench.read_text(study, "train", width)
    full = rows.real.sum(axis=1) == width - 1
    if not full.any():
        raise StudyError(
            f"the {settings.lens} lens needs passages of at least {width - 1} tokens; set survey.lens to direct"
        )
    ranked = sorted(rows.tokens[full], key=lambda row: hashlib.sha256(row.tobytes()).digest())
    return np.stack(ranked[: settings.lens_rows])


class _Kept:
    """The file of a lens, and what became of it."""

    def __init__(self, file: Path, fingerprint: str, text: str) -> None:
        self.file, self.fingerprint, self.text = file, fingerprint, text
        self.note: str | None = None

    @classmethod
    def of(cls, bench: Workbench, identity: str, tokens: Int64[np.ndarray, "rows width"], folder: Path) -> _Kept:
        """Under everything that its bits depend on."""
        known = "\0".join((identity, bench.device.type, torch.__version__))
        name = hashlib.sha256(known.encode()).hexdigest()
        return cls(folder / f"{name}.pt", name, _hash_rows(tokens))

    def read(self, d_model: int, n_rows: int) -> Mean | None:
        """What is kept of it; None if that is nothing, or not what it should be."""
        if not self.file.is_file():
            return None
        try:
            found = read_mean(self.file, self.fingerprint, d_model)
        except (StudyError, OSError) as error:
            self.note = f"{error}: the lens was made anew"
            return None
        if found.text != self.text or any(len(row) != 1 + min(BATCH, n_rows - found.rows) for row in found.part):
            found.part.clear()  # of other rows than are read now
        return found

    def write(self, mean: Mean) -> None:
        """Keep it; a disk that is full, or may not be written to, is told of and nothing more."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(self.file, pack_mean(mean, self.fingerprint))
        except OSError as error:
            self.note = (
                f"the lens could not be kept ({error.strerror or error}: {self.file}): the next run makes it anew"
            )


def _is_done(mean: Mean, averaging: Averaging, n_rows: int) -> bool:
    """Whether no row is to be added."""
    return mean.rows >= n_rows or mean.is_at_rest(averaging)


def _hash_rows(tokens: Int64[np.ndarray, "rows width"]) -> str:
    return hashlib.sha256(tokens.tobytes()).hexdigest()


def _read_others(bench: Workbench, study: Study) -> Lens:
    file, layer = study.asset(study.survey.lens_file), source_layer(bench.hook_name)
    if study.survey.lens != "jacobian":
        raise StudyError('survey.lens_file is for survey.lens = "jacobian": such files hold no other lens')
    found = read_jacobians(file, bench.W_U.shape[0])
    if layer is None or layer not in found.jacobians:
        there = ", ".join(map(str, sorted(found.jacobians)))[:80]
        raise StudyError(f"{file} has no layer whose output is {bench.hook_name}: it has {there}")
    jacobian = found.jacobians[layer]
    report = LensReport(
        name="jacobian",
        hook_name=bench.hook_name,
        rows=found.n_prompts,
        positions=None,
        width=None,
        skip=None,
        dtype="unknown",
        sha256=hash_matrix(jacobian),
        remembered=True,
        note=f"read from {file.name}",
    )
    return Lens(make_lens(bench, "jacobian", jacobian), report, jacobian)
