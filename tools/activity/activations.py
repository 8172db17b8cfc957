"""Where directions are active in text: one pass over a corpus for all of them, then contexts, density, enrichment.

Attention sinks count as no text here, nor in anything that is made of a recording (`tools.bench.positions`).

A random direction has no encoder. It is read as a linear feature: its component of the residual stream above a
threshold at which it is active as often as the median real feature, so that it is observed like one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from rich.progress import Progress
from torch import Tensor

from tools.activity.contexts import cut_context, find_near_misses
from tools.activity.places import describe_position
from tools.bench.workbench import Workbench
from tools.records import ActivationEvidence
from tools.study.corpus import TokenRows
from tools.survey.keywords import TokenWord

ROWS_PER_BATCH = 8
"""As many tokens as so many whole rows have: what the activations of more take falls out of a processor's cache."""
TOKENS_PER_BATCH = 1024
"""Rows of a long context are fewer: an SAE that is encoded in full takes 4 * d_sae bytes a token, several times over."""
SAMPLED_FEATURES = 2048
"""The median density is read off so many features: two in three such samples meet the median within 1.1 percentiles."""
USUAL_DENSITY = 0.01
"""Of random directions where no feature is ever active."""
DOMAIN_REACH = 5
"""Tokens on either side within which a domain word counts as near."""
PEAK_DOCUMENTS = 20
"""Documents in which a direction is most active: it is asked of each whether a domain word stands near."""
NEAR_MISSES = 4


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


def record_activations(
    bench: Workbench,
    rows: TokenRows,
    features: Sequence[int],
    directions: Float[Tensor, "m d_model"],
    progress: Progress | None = None,
    *,
    sampled: int = SAMPLED_FEATURES,
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> Recording:
    """One forward pass over the rows: activations of the listed features, then of m random directions.

    Args:
        bench: model and SAE.
        rows: the text.
        features: by number.
        directions: at random.
        progress: where it is shown how far it is.
        sampled: features whose density is read off.
        tokens_per_batch: most tokens at a time, but for a single row.
    """
    chosen = torch.tensor(list(features), dtype=torch.int64)
    alike = nearest_features(bench, chosen, directions)
    columns = torch.cat([chosen, alike, sample_features(bench.d_sae, sampled)])
    n, m = len(chosen), len(directions)
    activations = np.zeros((*rows.tokens.shape, n + m), dtype=np.float32)
    peaks = np.empty((len(rows.tokens), n + m), dtype=np.float32)
    places = np.empty(peaks.shape, dtype=np.int64)
    counts = np.zeros(len(columns) - n - len(alike))
    norms = 0.0
    text = np.zeros_like(rows.real)
    task = progress.add_task("observe      contexts", total=len(rows.tokens)) if progress else None
    for part, tokens, real in _batches(rows, tokens_per_batch):
        residuals = bench.residuals(tokens)  # [batch, width, d_model]
        counted = bench.is_text(residuals, real)
        width, padding = tokens.shape[1], ~counted[..., None]
        text[part, :width] = counted.cpu().numpy()
        encoded = bench.encode(residuals, columns.to(residuals.device)).masked_fill(padding, 0.0).cpu()
        components = (residuals @ directions.to(residuals).T).masked_fill(padding, 0.0).cpu()  # [batch, width, m]
        own, near, drawn = encoded.split([n, len(alike), len(counts)], dim=-1)
        activations[part, :width] = torch.cat([own, components], dim=-1).numpy()
        highest = near.max(dim=1)  # of each row, [batch, n + m]
        peaks[part], places[part] = highest.values.numpy(), highest.indices.numpy()
        counts += (drawn > 0).sum(dim=(0, 1)).numpy()
        norms += float(residuals.norm(dim=-1)[counted].sum())
        if progress and task is not None:
            progress.update(task, advance=len(part))
    n_real = int(text.sum())
    density = counts / n_real
    usual = float(np.median(density[density > 0])) if (density > 0).any() else USUAL_DENSITY
    _threshold(activations, n, text, usual)
    return Recording(
        rows._replace(real=text), activations, norms / n_real, density, Neighbours(alike.numpy(), peaks, places)
    )


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


def _batches(
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
    activations: Float[np.ndarray, "rows width n"],
    n_features: int,
    real: Bool[np.ndarray, "rows width"],
    density: float,
) -> None:
    """In place: random directions' components become activations with the given density."""
    for column in range(n_features, activations.shape[-1]):
        component = activations[..., column]
        level = np.quantile(component[real], 1 - density)
        np.subtract(component, level, out=component)
        np.maximum(component, 0, out=component)
        component[~real] = 0


def domain_nearby(
    rows: TokenRows, words: Sequence[TokenWord], vocabulary: frozenset[str], reach: int = DOMAIN_REACH
) -> Bool[np.ndarray, "rows width"]:
    """True at tokens with a word of the domain at most `reach` tokens away."""
    is_domain = np.array([entry.word is not None and entry.word in vocabulary for entry in words])
    hit = is_domain[rows.tokens] & rows.real
    near = hit.copy()
    for shift in range(1, reach + 1):
        near[:, shift:] |= hit[:, :-shift]
        near[:, :-shift] |= hit[:, shift:]
    return near & rows.real


def describe_activations(
    recording: Recording,
    column: int,
    near_domain: Bool[np.ndarray, "rows width"],
    token_strings: Sequence[str],
    *,
    context_tokens: int,
    n_top: int,
    n_quantiles: int,
    n_near_misses: int = NEAR_MISSES,
) -> ActivationEvidence:
    """Top and quantile examples, near misses, density, maximum and domain enrichment of one direction.

    Top examples come from different documents. Quantile examples are the row at the middle of each equal share of the
    active rows, highest first, top examples left out. Near misses: `tools.activity.contexts`.
    """
    rows = recording.rows
    values = recording.activations[..., column]  # [rows, width]
    active = values > 0
    n_real = int(rows.real.sum())
    row_max = values.max(axis=1)
    order = np.argsort(-row_max, kind="stable")
    order = order[row_max[order] > 0]
    top = _different_documents(order, rows.documents, n_top)
    rest = [row for row in order.tolist() if row not in top]
    middles = (
        [rest[int((q + 0.5) * len(rest) / n_quantiles)] for q in range(n_quantiles)] if len(rest) >= n_quantiles else []
    )
    peaks: list[int] = values.argmax(axis=1).tolist()
    near = recording.neighbours
    alike = None if near is None else (near.peaks[:, column], near.places[:, column])
    shown = [*top, *middles]
    missed = find_near_misses(rows, values, top, shown, alike, token_strings, context_tokens, n_near_misses)
    base = float(near_domain[rows.real].mean())
    strongest = _different_documents(order, rows.documents, PEAK_DOCUMENTS)
    lift = float(near_domain[active].mean() / base) if active.any() and base > 0 else None
    return ActivationEvidence(
        n_tokens=n_real,
        density=float(active.sum() / n_real),
        max_activation=float(values.max()),
        domain_lift=lift,
        peak_documents=len(strongest),
        domain_peaks=sum(bool(near_domain[row, peaks[row]]) for row in strongest),
        domain_share=base,
        top=tuple(cut_context(rows, values, row, peaks[row], token_strings, context_tokens) for row in top),
        quantiles=tuple(
            cut_context(rows, values, row, peaks[row], token_strings, context_tokens, number)
            for number, row in enumerate(middles, 1)
        ),
        near_misses=tuple(
            cut_context(rows, values, row, place, token_strings, context_tokens) for row, place in missed
        ),
        position=describe_position(rows, values),
    )


def _different_documents(order: Int64[np.ndarray, " r"], documents: Sequence[str], n: int) -> list[int]:
    chosen: dict[str, int] = {}
    for row in order:
        chosen.setdefault(documents[int(row)], int(row))
        if len(chosen) == n:
            break
    return list(chosen.values())
