"""Where directions are active in text: one pass over a corpus for all of them.

Attention sinks count as no text here, nor in anything that is made of a recording (`tools.bench.positions`).

A random direction has no encoder. It is read as a linear feature: its component of the residual stream above a
threshold at which it is active as often as some feature is (`tools.activity.densities`), so that it is observed like one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from rich.progress import Progress, TaskID
from torch import Tensor

from tools.activity.densities import draw_densities, median_density
from tools.bench.workbench import Workbench
from tools.study.corpus import TokenRows

ROWS_PER_BATCH = 8
"""As many tokens as so many whole rows have: what the activations of more take falls out of a processor's cache."""
TOKENS_PER_BATCH = 1024
"""Rows of a long context are fewer: an SAE that is encoded in full takes 4 * d_sae bytes a token, several times over."""
SAMPLED_FEATURES = 2048
"""Densities are read off so many features: two in three such samples meet their median within 1.1 percentiles."""


class Neighbours(NamedTuple):
    """Of each of n directions, the other feature whose decoder row is most alike, and where that is most active."""

    features: Int64[np.ndarray, " n"]
    peaks: Float[np.ndarray, "rows n"]
    """Its largest activation in each row."""
    places: Int64[np.ndarray, "rows n"]
    """Where in the row that is."""


class Recording(NamedTuple):
    """Activations of n directions at every token of a corpus."""

    rows: TokenRows
    """Attention sinks are no real tokens in it."""
    activations: Float[np.ndarray, "rows width n"]
    residual_norm: float
    """Mean length of the residual stream at real tokens, the unit of steering strength."""
    density: Float[np.ndarray, " sampled"]
    """Share of real tokens at which each sampled feature of the SAE is active."""
    neighbours: Neighbours | None = None
    drawn: Float[np.ndarray, " m"] = np.empty(0)
    """Share at which each random direction was to be active."""
    levels: tuple[float, ...] = ()
    """Of random directions: what their components have to exceed."""
    components: Float[np.ndarray, "text readings"] | None = None
    """Of the readings that were asked for, at every real token, row by row."""


class _Components:
    """Of readings, at every real token, row by row; gathered batch by batch."""

    def __init__(self, rows: TokenRows, readings: Float[Tensor, "readings d_model"]) -> None:
        self._rows, self._readings = rows, readings
        self._places = rows.real.cumsum().reshape(rows.real.shape) - 1
        self._found = np.empty((int(rows.real.sum()), len(readings)), dtype=np.float32)

    def take(
        self,
        part: Int64[np.ndarray, " batch"],
        residuals: Float[Tensor, "batch width d_model"],
        real: Bool[Tensor, "batch width"],
    ) -> None:
        places = self._places[part, : real.shape[1]][real.cpu().numpy()]
        own = residuals[real.to(residuals.device)] @ self._readings.to(residuals).T
        self._found[places] = own.float().cpu().numpy()

    def of(self, text: Bool[np.ndarray, "rows width"]) -> Float[np.ndarray, "text readings"]:
        """At the real tokens that are text."""
        return self._found[text[self._rows.real]]


def record_activations(
    bench: Workbench,
    rows: TokenRows,
    features: Sequence[int],
    directions: Float[Tensor, "m d_model"],
    progress: Progress | None = None,
    *,
    numbers: Sequence[int] | None = None,
    sampled: int = SAMPLED_FEATURES,
    tokens_per_batch: int = TOKENS_PER_BATCH,
    levels: Sequence[float] | None = None,
    task: TaskID | None = None,
    readings: Float[Tensor, "readings d_model"] | None = None,
) -> Recording:
    """One forward pass over the rows: activations of the listed features, then of m random directions.

    Args:
        bench: model and SAE.
        rows: the text.
        features: by number.
        directions: at random.
        progress: where it is shown how far it is.
        numbers: of the directions in their stratum, from which it follows how often each is active; None: all as often as
            the median feature.
        sampled: features whose density is read off.
        tokens_per_batch: most tokens at a time, but for a single row.
        levels: of the random directions, from an earlier part of the same text; None: set by these rows.
        task: of `progress`, which the rows count towards; None: one of their own.
        readings: of the residual stream, whose components are kept as they are.
    """
    chosen = torch.tensor(list(features), dtype=torch.int64)
    alike = nearest_features(bench, chosen, directions)
    columns = torch.cat([chosen, alike, sample_features(bench.d_sae, sampled)])
    n, m = len(chosen), len(directions)
    activations = np.zeros((*rows.tokens.shape, n + m), dtype=np.float32)
    kept = None if readings is None else _Components(rows, readings)
    peaks = np.empty((len(rows.tokens), n + m), dtype=np.float32)
    places = np.empty(peaks.shape, dtype=np.int64)
    counts = np.zeros(len(columns) - n - len(alike))
    norms = 0.0
    text = np.zeros_like(rows.real)
    if progress and task is None:
        task = progress.add_task("observe      contexts", total=len(rows.tokens))
    for part, tokens, real in batches_by_length(rows, tokens_per_batch):
        residuals = bench.residuals(tokens)  # [batch, width, d_model]
        counted = bench.is_text(residuals, real)
        width, padding = tokens.shape[1], ~counted[..., None]
        text[part, :width] = counted.cpu().numpy()
        encoded = bench.encode(residuals, columns.to(residuals.device)).masked_fill(padding, 0.0).cpu()
        components = (residuals @ directions.to(residuals).T).masked_fill(padding, 0.0).cpu()  # [batch, width, m]
        if kept:
            kept.take(part, residuals, real)
        own, near, drawn = encoded.split([n, len(alike), len(counts)], dim=-1)
        activations[part, :width] = torch.cat([own, components], dim=-1).numpy()
        highest = near.max(dim=1)  # of each row, [batch, n + m]
        peaks[part], places[part] = highest.values.numpy(), highest.indices.numpy()
        counts += (drawn > 0).sum(dim=(0, 1)).numpy()
        norms += float(residuals.norm(dim=-1)[counted].sum())
        if progress and task is not None:
            progress.advance(task, len(part))
    n_real = int(text.sum())
    density = counts / n_real
    shares = median_density(density, m) if numbers is None else draw_densities(density, numbers)
    if levels is None:
        levels = [float(np.quantile(activations[text, n + i], 1 - share)) for i, share in enumerate(shares)]
    _threshold(activations[..., n:], text, levels)
    near_by = Neighbours(alike.numpy(), peaks, places)
    found = kept.of(text) if kept else None
    rows = rows._replace(real=text)
    return Recording(rows, activations, norms / n_real, density, near_by, shares, tuple(levels), found)


def nearest_features(
    bench: Workbench, features: Int64[Tensor, " n"], directions: Float[Tensor, "m d_model"]
) -> Int64[Tensor, " both"]:
    """The live feature with the largest decoder cosine to each of some features, itself left out, then to directions."""
    own = bench.directions[features]
    cosines = torch.cat([own, directions.to(own)]) @ bench.directions.T  # [n + m, d_sae]
    cosines[:, ~bench.alive] = -torch.inf
    cosines[torch.arange(len(features)), features] = -torch.inf
    return cosines.argmax(dim=1).cpu()


def sample_features(d_sae: int, most: int = SAMPLED_FEATURES) -> Int64[Tensor, " sampled"]:
    """All features of a small SAE; of a large one the same ones in every run, so that runs are comparable."""
    if d_sae <= most:
        return torch.arange(d_sae)
    drawn = np.random.default_rng(0).choice(d_sae, most, replace=False)
    return torch.from_numpy(np.sort(drawn))


def batches_by_length(
    rows: TokenRows, most_tokens: int
) -> Iterator[tuple[Int64[np.ndarray, " batch"], Int64[Tensor, "batch width"], Bool[Tensor, "batch width"]]]:
    """Which rows, their tokens and which of these are real: rows about as long together, cut where the longest ends."""
    n, width = rows.tokens.shape
    lengths = width - rows.real[:, ::-1].argmax(axis=1)
    lengths[~rows.real.any(axis=1)] = 1
    order = np.argsort(-lengths, kind="stable")
    most = min(ROWS_PER_BATCH * width, most_tokens)
    start = 0
    while start < n:
        longest = int(lengths[order[start]])
        part = order[start : start + max(1, most // longest)]
        yield part, torch.from_numpy(rows.tokens[part, :longest]), torch.from_numpy(rows.real[part, :longest])
        start += len(part)


def _threshold(
    components: Float[np.ndarray, "rows width m"], real: Bool[np.ndarray, "rows width"], levels: Sequence[float]
) -> None:
    """In place: random directions' components become activations, by how much they exceed each one's level."""
    np.subtract(components, np.array(levels, dtype=np.float32), out=components)
    np.maximum(components, 0, out=components)
    components[~real] = 0
