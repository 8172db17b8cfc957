"""Directions projected on the vocabulary: top and bottom tokens of every one, exact, in bounded memory.

P = W_dec W_U, never formed as a whole. `W_U` is the processed unembedding (`Workbench.W_U`): final LayerNorm folded in
and both means taken out, so that a step along a direction is read as what it does to log-odds.

On processors that multiply bfloat16 faster than float32, a large product is made in bfloat16 first, and what may lead a
row is scored again (`tools.survey.shortlist`): the tokens and their weights are those of the float32 product.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.survey.shortlist import Factor, choose, largest_of_chunks, make_factor, smallest_of_chunks

BLOCK_ROWS = 512
"""Rows projected at a time: 512 x 50,257 scores are 51 MB in bfloat16, 103 MB in float32."""
TILE = 1024
"""Columns multiplied at a time, whole chunks: what is done with 512 x 1,024 scores happens in a processor's cache."""
_LARGE_ROWS, _LARGE_WEIGHTS = 256, 2**23
"""Rows and entries of the unembedding from which a product is worth rounding copies of both factors."""


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
    first_pass: torch.dtype | None = None,
) -> ProjectionTable:
    """Exact top-k and bottom-k logit weights of every direction, with population moments of each row.

    Args:
        directions: any vectors of the residual stream.
        W_U: what they are projected on.
        k: tokens at either end.
        block_rows: rows at a time; bounds the memory.
        first_pass: float32; or bfloat16, which changes no token and no weight, and the moments but the mean by about a
            thousandth of the standard deviation; None for what is faster here.

    Raises:
        ValueError: shapes do not fit, or k exceeds the vocabulary.
    """
    if directions.shape[1] != W_U.shape[0]:
        raise ValueError(f"directions {tuple(directions.shape)} do not fit the unembedding {tuple(W_U.shape)}")
    if not 0 < k <= W_U.shape[1]:
        raise ValueError(f"k = {k} tokens cannot be taken of a vocabulary of {W_U.shape[1]}")
    if not len(directions):
        weights, ids, moment = W_U.new_empty(0, k), torch.empty(0, k, dtype=torch.int64), W_U.new_empty(0)
        return ProjectionTable(weights, ids, weights, ids, moment, moment, moment, moment)
    unembedding = make_factor(W_U, first_pass or _faster_pass(directions, W_U))
    mean = W_U.mean(dim=1)
    n_scores = -(-W_U.shape[1] // TILE) * TILE * min(block_rows, len(directions))
    room = torch.empty(n_scores, dtype=unembedding.first.dtype, device=W_U.device)
    blocks = [_project_block(block, unembedding, block @ mean, k, room) for block in directions.split(block_rows)]
    return ProjectionTable(*(torch.cat(parts) for parts in zip(*blocks, strict=True)))


def _faster_pass(directions: Float[Tensor, "n d_model"], W_U: Float[Tensor, "d_model d_vocab"]) -> torch.dtype:
    large = len(directions) >= _LARGE_ROWS and W_U.numel() >= _LARGE_WEIGHTS
    able = torch.cpu.get_capabilities() if large and W_U.device.type == "cpu" else {}
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


def _project_block(
    block: Float[Tensor, "rows d_model"],
    unembedding: Factor,
    mean: Float[Tensor, " rows"],
    k: int,
    room: Float[Tensor, " scores"],
) -> ProjectionTable:
    found = _scan(block, unembedding, room)
    top_weights, top_ids = choose(block, unembedding, found.tiles, found.highest, k)
    negated, bottom_ids = choose(-block, unembedding, found.tiles.neg_(), -found.lowest, k)
    return ProjectionTable(top_weights, top_ids, -negated, bottom_ids, mean, *_central(mean, found.powers))


class _Scores(NamedTuple):
    """The first pass over one block."""

    tiles: Float[Tensor, "tiles rows tile"]
    """What stands beyond the last column means nothing."""
    highest: Float[Tensor, "rows chunks"]
    lowest: Float[Tensor, "rows chunks"]
    powers: Float[Tensor, "3 rows"]
    """Means of the second, third and fourth power."""


def _scan(block: Float[Tensor, "rows d_model"], unembedding: Factor, room: Float[Tensor, " scores"]) -> _Scores:
    """All scores of a block, tile by tile, with everything that needs every one of them; they are kept in the room."""
    n_rows, d_vocab = len(block), unembedding.first.shape[1]
    rounded = block.to(unembedding.first.dtype)
    tiles = room[: -(-d_vocab // TILE) * n_rows * TILE].view(-1, n_rows, TILE)
    highest: list[Tensor] = []
    lowest: list[Tensor] = []
    sums = torch.zeros(3, n_rows, device=block.device)
    for kept, columns in zip(tiles, unembedding.first.split(TILE, dim=1), strict=True):
        scores = torch.mm(rounded, columns, out=kept[:, : columns.shape[1]]).float()
        highest.append(largest_of_chunks(scores))
        lowest.append(smallest_of_chunks(scores))
        squares = scores * scores
        sums[0] += squares.sum(dim=1)
        sums[1] += (squares * scores).sum(dim=1)
        sums[2] += squares.mul_(squares).sum(dim=1)
    return _Scores(tiles, torch.cat(highest, dim=1), torch.cat(lowest, dim=1), sums / d_vocab)


def _central(
    mean: Float[Tensor, " rows"], powers: Float[Tensor, "3 rows"]
) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"], Float[Tensor, " rows"]]:
    """Standard deviation, skewness and kurtosis from the mean and the means of higher powers."""
    m, (second, third, fourth) = mean.cpu().double(), powers.cpu().double()
    std = (second - m**2).clamp_min(0).sqrt()
    safe = std.clamp_min(1e-12)
    skewness = (third - 3 * m * second + 2 * m**3) / safe**3
    kurtosis = (fourth - 4 * m * third + 6 * m**2 * second - 3 * m**4) / safe**4
    return std.to(mean), skewness.to(mean), kurtosis.to(mean)


def random_directions(n: int, d_model: int, seed: int) -> Float[Tensor, "n d_model"]:
    """Unit vectors uniform on the sphere: what the survey's null and the random stratum are drawn from."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(n, d_model, generator=generator)
    return drawn / drawn.norm(dim=1, keepdim=True)


def draw_random_stratum(bench: Workbench, seed: int, n: int) -> Float[Tensor, "n d_model"]:
    """The random directions of the control stratum: never those of the survey's null."""
    return random_directions(n, bench.directions.shape[1], seed + 1_000_003)
