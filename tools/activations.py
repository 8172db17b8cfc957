"""Where directions are active in text: one pass over a corpus for all of them, then contexts, density, enrichment.

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

from tools.corpus import Passage, TokenRows, cut_rows
from tools.keywords import TokenWord
from tools.records import ActivationEvidence, Context
from tools.workbench import Workbench

ROWS_PER_BATCH = 8
"""What the activations of more rows take falls out of a processor's cache."""
DOMAIN_REACH = 5
"""Tokens on either side within which a domain word counts as near."""


class Recording(NamedTuple):
    """Activations of n directions at every token of a corpus."""

    rows: TokenRows
    activations: Float[np.ndarray, "rows width n"]
    residual_norm: float
    """Mean length of the residual stream at real tokens, the unit of steering strength."""
    density: Float[np.ndarray, " d_sae"]
    """Share of real tokens at which each feature of the SAE is active."""


def tokenize_passages(bench: Workbench, passages: Sequence[Passage], width: int) -> TokenRows:
    """Rows of at most `width` tokens of the passages."""
    ids = [bench.tokenize(passage.text) for passage in passages]
    return cut_rows(ids, [passage.document for passage in passages], width, bench.bos)


def record_activations(
    bench: Workbench,
    rows: TokenRows,
    features: Sequence[int],
    directions: Float[Tensor, "m d_model"],
    progress: Progress | None = None,
) -> Recording:
    """One forward pass over the rows: activations of the listed features, then of m random directions."""
    chosen = torch.tensor(list(features), dtype=torch.int64)
    counts = torch.zeros(bench.d_sae)
    norms = 0.0
    parts: list[np.ndarray] = []
    task = progress.add_task("observe      contexts", total=len(rows.tokens)) if progress else None
    for start, tokens, real in _batches(rows):
        residuals = bench.residuals(tokens)  # [batch, width, d_model]
        everything = bench.encode(residuals)  # [batch, width, d_sae]
        counts += (everything[real] > 0).sum(dim=0)
        norms += float(residuals[real].norm(dim=-1).sum())
        components = residuals @ directions.T  # [batch, width, m]
        both = torch.cat([everything[..., chosen], components], dim=-1)
        parts.append(both.masked_fill(~real[..., None], 0.0).numpy())
        if progress and task is not None:
            progress.update(task, completed=start + len(tokens))
    n_real = int(rows.real.sum())
    density = (counts / n_real).numpy()
    activations = np.concatenate(parts)
    _threshold(
        activations, len(chosen), rows.real, float(np.median(density[density > 0])) if (density > 0).any() else 0.01
    )
    return Recording(rows, activations, norms / n_real, density)


def _batches(rows: TokenRows) -> Iterator[tuple[int, Tensor, Tensor]]:
    for start in range(0, len(rows.tokens), ROWS_PER_BATCH):
        stop = start + ROWS_PER_BATCH
        yield start, torch.from_numpy(rows.tokens[start:stop]), torch.from_numpy(rows.real[start:stop])


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
) -> ActivationEvidence:
    """Top and quantile examples, density, maximum and domain enrichment of one direction.

    Top examples come from different documents. Quantile examples are the row at the middle of each equal share of the
    active rows, highest first, top examples left out.
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
    base = near_domain[rows.real].mean()
    lift = float(near_domain[active].mean() / base) if active.any() and base > 0 else None
    return ActivationEvidence(
        n_tokens=n_real,
        density=float(active.sum() / n_real),
        max_activation=float(values.max()),
        domain_lift=lift,
        top=tuple(_context(rows, values, row, token_strings, context_tokens, None) for row in top),
        quantiles=tuple(
            _context(rows, values, row, token_strings, context_tokens, number) for number, row in enumerate(middles, 1)
        ),
    )


def _different_documents(order: Int64[np.ndarray, " r"], documents: Sequence[str], n: int) -> list[int]:
    chosen: dict[str, int] = {}
    for row in order:
        chosen.setdefault(documents[int(row)], int(row))
        if len(chosen) == n:
            break
    return list(chosen.values())


def _context(
    rows: TokenRows,
    values: Float[np.ndarray, "rows width"],
    row: int,
    token_strings: Sequence[str],
    length: int,
    quantile: int | None,
) -> Context:
    real = np.flatnonzero(rows.real[row])
    peak = int(values[row].argmax())
    first = max(real[0], min(peak - length // 2, real[-1] + 1 - length))
    window = range(first, min(first + length, real[-1] + 1))
    return Context(
        document=rows.documents[row],
        tokens=tuple(token_strings[int(rows.tokens[row, place])] for place in window),
        activations=tuple(round(float(values[row, place]), 4) for place in window),
        max_activation=float(values[row, peak]),
        quantile=quantile,
    )
