"""Directions projected on the vocabulary: top and bottom tokens of every one, exact, in bounded memory.

P = W_dec W_U, never formed as a whole. `W_U` is the processed unembedding (`Workbench.W_U`): final LayerNorm folded in
and both means taken out, so that a step along a direction is read as what it does to log-odds.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

BLOCK_ROWS = 512
"""Rows projected at a time: 512 x 50,257 float32 is 100 MB."""


class ProjectionTable(NamedTuple):
    """Top-k of n directions over the vocabulary and the moments of their rows."""

    top_weights: Float[Tensor, "n k"]
    top_ids: Int64[Tensor, "n k"]
    bottom_weights: Float[Tensor, "n k"]
    bottom_ids: Int64[Tensor, "n k"]
    mean: Float[Tensor, " n"]
    std: Float[Tensor, " n"]
    skewness: Float[Tensor, " n"]
    kurtosis: Float[Tensor, " n"]


def project(
    directions: Float[Tensor, "n d_model"],
    W_U: Float[Tensor, "d_model d_vocab"],
    k: int,
    block_rows: int = BLOCK_ROWS,
) -> ProjectionTable:
    """Exact top-k and bottom-k logit weights of every direction, with population moments of each row.

    Raises:
        ValueError: shapes do not fit, or k exceeds the vocabulary.
    """
    if directions.shape[1] != W_U.shape[0]:
        raise ValueError(f"directions {tuple(directions.shape)} do not fit the unembedding {tuple(W_U.shape)}")
    if not 0 < k <= W_U.shape[1]:
        raise ValueError(f"k = {k} tokens cannot be taken of a vocabulary of {W_U.shape[1]}")
    blocks = [_project_block(block, W_U, k) for block in directions.split(block_rows)]
    return ProjectionTable(*(torch.cat(parts) for parts in zip(*blocks, strict=True)))


def _project_block(
    block: Float[Tensor, "rows d_model"], W_U: Float[Tensor, "d_model d_vocab"], k: int
) -> ProjectionTable:
    weights = block @ W_U  # [rows, d_vocab]
    top = weights.topk(k, dim=1)
    bottom = weights.topk(k, dim=1, largest=False)
    mean = weights.mean(dim=1)
    centred = weights.sub_(mean[:, None])  # in place: the block is not needed again
    squares = centred * centred
    variance = squares.mean(dim=1)
    third = (squares * centred).mean(dim=1)
    fourth = (squares.mul_(squares)).mean(dim=1)
    std = variance.sqrt()
    safe = std.clamp_min(1e-12)
    return ProjectionTable(
        top.values, top.indices, bottom.values, bottom.indices, mean, std, third / safe**3, fourth / safe**4
    )


def random_directions(n: int, d_model: int, seed: int) -> Float[Tensor, "n d_model"]:
    """Unit vectors uniform on the sphere: what the survey's null and the random stratum are drawn from."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(n, d_model, generator=generator)
    return drawn / drawn.norm(dim=1, keepdim=True)
