"""Texts as a probe reads them: the residual stream, and the SAE's activations, averaged over a text's tokens.

BOS, padding and attention sinks are left out of the mean (`tools.bench.positions`). A text longer than a row goes on in the
next, and its mean is over all of them. What was read at the SAE's own hook is kept in the user's cache, under the weights,
the hook and the texts: whatever the texts are labelled as, they are read once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from rich.progress import Progress
from torch import Tensor

from tools.activity.activations import batches_by_length
from tools.bench.workbench import ResidualEdit, Workbench
from tools.errors import StudyError
from tools.probes.kept import file_of, keep_arrays, name_reading, read_arrays
from tools.study.corpus import cut_rows

TOKENS_PER_BATCH = 1024


class Pooled(NamedTuple):
    """Means over each text's tokens at the SAE's hook."""

    residual: Float[np.ndarray, "texts d_model"]
    features: Float[np.ndarray, "texts d_sae"]
    """Activations in residual units: times the feature's direction, what it writes."""
    tokens: Int64[np.ndarray, " texts"]
    """Tokens that were averaged."""
    density: Float[np.ndarray, " d_sae"]
    """Share of all these tokens at which each feature is active."""


class Batch(NamedTuple):
    """Some rows of the texts, as they are at the SAE's hook."""

    tokens: Int64[Tensor, "rows positions"]
    residuals: Float[Tensor, "rows positions d_model"]
    counted: Bool[Tensor, "rows positions"]
    """The positions that are averaged."""
    texts: Int64[np.ndarray, " rows"]
    """The text that each row is a part of."""


def pool_texts(
    bench: Workbench, texts: Sequence[str], progress: Progress | None = None, cache: Path | None = None
) -> Pooled:
    """Means of the residual stream and of every feature at the SAE's hook.

    Args:
        bench: model and SAE.
        texts: one row each in what is returned.
        progress: where it is shown how far it is.
        cache: folder in which they are kept; None for the user's.

    Raises:
        StudyError: a text has no token that counts.
    """
    file = file_of(name_reading(bench, texts), cache)
    lengths = ((len(texts), bench.directions.shape[1]), (len(texts), bench.d_sae), (len(texts),), (bench.d_sae,))
    kept = read_arrays(file, dict(zip(Pooled._fields, lengths, strict=True)))
    if kept is not None:
        return Pooled(**kept)
    found = _pool(bench, texts, progress)
    keep_arrays(file, found._asdict())
    return found


def pool_at(
    bench: Workbench,
    texts: Sequence[str],
    hook_name: str,
    edit_of: Callable[[Batch], ResidualEdit] | None = None,
) -> Float[np.ndarray, "texts d_model"]:
    """Means of the residual stream at any hook, with the stream edited at the SAE's.

    Args:
        bench: model and SAE.
        texts: one row each in what is returned.
        hook_name: at or after the SAE's hook.
        edit_of: the edit for each batch of rows; None: none.

    Raises:
        StudyError: a text has no token that counts.
    """
    sums = np.zeros((len(texts), bench.directions.shape[1]))
    counts = np.zeros(len(texts), dtype=np.int64)
    for batch in iterate_texts(bench, texts):
        with torch.no_grad():
            read = bench.last_residual(batch.tokens, edit_of(batch) if edit_of else None, hook_name)
        summed = read.masked_fill(~batch.counted[..., None], 0.0).sum(dim=1)
        np.add.at(sums, batch.texts, summed.double().cpu().numpy())
        np.add.at(counts, batch.texts, batch.counted.sum(dim=1).cpu().numpy())
    return (sums / _checked(counts)[:, None]).astype(np.float32)


def iterate_texts(bench: Workbench, texts: Sequence[str]) -> Iterator[Batch]:
    """All rows of some texts, rows about as long together."""
    ids = [bench.tokenize(text) for text in texts]
    rows = cut_rows(ids, [str(number) for number in range(len(texts))], bench.row_width, bench.bos)
    owners = np.array([int(document) for document in rows.documents], dtype=np.int64)
    for part, tokens, real in batches_by_length(rows, TOKENS_PER_BATCH):
        residuals = bench.residuals(tokens)
        yield Batch(tokens, residuals, bench.is_text(residuals, real), owners[part])


def count_tokens(bench: Workbench, texts: Sequence[str]) -> Int64[np.ndarray, " texts"]:
    """Tokens of each text that are averaged."""
    counts = np.zeros(len(texts), dtype=np.int64)
    for batch in iterate_texts(bench, texts):
        np.add.at(counts, batch.texts, batch.counted.sum(dim=1).cpu().numpy())
    return _checked(counts)


def _pool(bench: Workbench, texts: Sequence[str], progress: Progress | None) -> Pooled:
    residual = np.zeros((len(texts), bench.directions.shape[1]))
    features = np.zeros((len(texts), bench.d_sae))
    counts, active = np.zeros(len(texts), dtype=np.int64), np.zeros(bench.d_sae)
    task = progress.add_task("pool         texts", total=len(texts)) if progress else None
    for batch in iterate_texts(bench, texts):
        ignored = ~batch.counted[..., None]
        encoded = bench.encode(batch.residuals).masked_fill(ignored, 0.0)
        for sums, values in ((residual, batch.residuals.masked_fill(ignored, 0.0)), (features, encoded)):
            np.add.at(sums, batch.texts, values.sum(dim=1).double().cpu().numpy())
        np.add.at(counts, batch.texts, batch.counted.sum(dim=1).cpu().numpy())
        active += (encoded > 0).sum(dim=(0, 1)).cpu().numpy()
        if progress and task is not None:
            progress.advance(task, len(set(batch.texts.tolist())))
    n = _checked(counts)[:, None]
    return Pooled(
        (residual / n).astype(np.float32), (features / n).astype(np.float32), counts, active / max(1, counts.sum())
    )


def _checked(counts: Int64[np.ndarray, " texts"]) -> Int64[np.ndarray, " texts"]:
    blank = np.flatnonzero(counts == 0)
    if len(blank):
        raise StudyError(f"text {int(blank[0]) + 1} of {len(counts)} has no token that counts as text for this model")
    return counts
