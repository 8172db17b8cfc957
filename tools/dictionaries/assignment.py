"""Rows of two dictionaries paired one to one by cosine, exactly and in bounded memory, and what chance finds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

NULL_DRAWS = 2000
NULL_QUANTILE = 0.99
"""One unrelated feature in a hundred finds a cosine above the threshold."""
BLOCK_ROWS = 2048
"""Rows whose cosines are held at a time: 201 MB against 24,576 rows."""


class Likeness(NamedTuple):
    """Pairs of rows whose cosine reaches the threshold, and each row's nearest in the other dictionary."""

    left: Int64[np.ndarray, " pairs"]
    right: Int64[np.ndarray, " pairs"]
    cosine: Float[np.ndarray, " pairs"]
    nearest_left: Float[np.ndarray, " n_left"]
    """Largest cosine of each left row with any right row; -inf if there is none."""
    nearest_right: Float[np.ndarray, " n_right"]


def max_null(
    left: Float[Tensor, "n_left d_model"],
    right: Float[Tensor, "n_right d_model"],
    *,
    seed: int = 0,
    draws: int = NULL_DRAWS,
    quantile: float = NULL_QUANTILE,
    block_rows: int = BLOCK_ROWS,
) -> float:
    """The largest cosine with any row of a dictionary that a random direction has, at a quantile of such directions.

    Directions are Gaussian with the uncentred covariance of the other dictionary's rows: sums of its rows with random
    weights. Drawn for either side; the higher of the two quantiles. 0 where a dictionary is empty.
    """
    if not len(left) or not len(right):
        return 0.0
    found: list[float] = []
    for source, target in ((left, right), (right, left)):
        generator = torch.Generator().manual_seed(seed)
        weights = torch.randn(draws, len(source), generator=generator).to(source)
        directions = unit_rows(weights @ source)
        best = torch.stack([(directions @ block.T).amax(dim=1) for block in target.split(block_rows)]).amax(dim=0)
        found.append(float(best.double().quantile(quantile)))
    return max(found)


def compare_rows(
    left: Float[Tensor, "n_left d_model"],
    right: Float[Tensor, "n_right d_model"],
    threshold: float,
    block_rows: int = BLOCK_ROWS,
) -> Likeness:
    """Cosines of all unit rows in blocks, of which those below the threshold are not kept."""
    nearest_left = np.full(len(left), -np.inf)
    nearest_right = np.full(len(right), -np.inf)
    parts = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for start, cosines in _blocks(left, right, block_rows):
        nearest_left[start : start + len(cosines)] = cosines.max(axis=1)
        np.maximum(nearest_right, cosines.max(axis=0), out=nearest_right)
        rows, columns = np.nonzero(cosines >= threshold)
        parts.append((rows + start, columns, cosines[rows, columns].astype(np.float64)))
    rows, columns, cosines = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Likeness(rows, columns, cosines, nearest_left, nearest_right)


def assign(like: Likeness, threshold: float) -> dict[int, tuple[int, float]]:
    """Partner and cosine of each left row that gets one: the largest total of `cosine - threshold`.

    Linear assignment on the pairs alone (Jonker and Volgenant's method for sparse costs), where every left row may also
    be given to a column of its own, which is worth nothing.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    n_left, n_right = len(like.nearest_left), len(like.nearest_right)
    if not len(like.cosine):
        return {}
    alone = np.arange(n_left)
    gains = np.concatenate([like.cosine - threshold, np.zeros(n_left)])
    rows, columns = np.concatenate([like.left, alone]), np.concatenate([like.right, n_right + alone])
    costs = csr_array((2.0 - gains, (rows, columns)), shape=(n_left, n_right + n_left))  # a cost of 0 would be no edge
    chosen_rows, chosen = min_weight_full_bipartite_matching(costs)
    partner = dict(zip(chosen_rows.tolist(), chosen.tolist(), strict=True))
    pairs = zip(like.left.tolist(), like.right.tolist(), like.cosine.tolist(), strict=True)
    return {left: (right, cosine) for left, right, cosine in pairs if partner[left] == right}


def unit_rows(rows: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_model"]:
    """Rows of length 1, of rows that are none of them 0."""
    return rows / rows.norm(dim=1, keepdim=True)


def _blocks(left: Tensor, right: Tensor, n: int) -> Iterator[tuple[int, Float[np.ndarray, "block n_right"]]]:
    if not len(right):
        return
    for start in range(0, len(left), n):
        yield start, (left[start : start + n] @ right.T).cpu().numpy()
