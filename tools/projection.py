"""Directions projected on the vocabulary: top and bottom tokens of every one, exact, in bounded memory.

P = W_dec W_U, never formed as a whole. `W_U` is the processed unembedding (`Workbench.W_U`): final LayerNorm folded in
and both means taken out, so that a step along a direction is read as what it does to log-odds.

On processors that multiply bfloat16 several times as fast as float32, a large product is made in bfloat16 first. That
rules out all but a few dozen tokens of each row, by a bound on what the rounding can have changed, and these are scored
in float32. So the tokens and their weights are those of the float32 product; where a bound rules out little, more is
scored, never less.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

BLOCK_ROWS = 512
"""Rows projected at a time: 512 x 50,257 scores are 51 MB in bfloat16, 103 MB in float32."""
TILE = 1024
"""Columns multiplied at a time: what is done with 512 x 1,024 scores happens in a processor's cache."""
CHUNK = 64
"""Columns whose extremes are looked at before any score in them is."""
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
        first_pass: float32, or bfloat16, which changes no token and no weight, and the moments by less than a
            thousandth of their scale; None for what is faster here.

    Raises:
        ValueError: shapes do not fit, or k exceeds the vocabulary.
    """
    if directions.shape[1] != W_U.shape[0]:
        raise ValueError(f"directions {tuple(directions.shape)} do not fit the unembedding {tuple(W_U.shape)}")
    if not 0 < k <= W_U.shape[1]:
        raise ValueError(f"k = {k} tokens cannot be taken of a vocabulary of {W_U.shape[1]}")
    against = _prepare(W_U, first_pass or _faster_pass(directions, W_U))
    blocks = [_project_block(block, against, k) for block in directions.split(block_rows)]
    return ProjectionTable(*(torch.cat(parts) for parts in zip(*blocks, strict=True)))


def _faster_pass(directions: Float[Tensor, "n d_model"], W_U: Float[Tensor, "d_model d_vocab"]) -> torch.dtype:
    large = len(directions) >= _LARGE_ROWS and W_U.numel() >= _LARGE_WEIGHTS
    if not large or W_U.device.type != "cpu" or W_U.dtype != torch.float32:
        return torch.float32
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


class _Unembedding(NamedTuple):
    """The unembedding as the first pass multiplies it, and what that may get wrong."""

    first: Float[Tensor, "d_model d_vocab"]
    """In the dtype of the first pass."""
    columns: Float[Tensor, "d_vocab d_model"] | None
    """What chosen tokens are scored with; None if the first pass is exact."""
    mean: Float[Tensor, " d_model"]
    norms: Float[Tensor, " chunks"]
    """Largest norm of a column, chunk by chunk."""
    errors: Float[Tensor, " chunks"]
    """Largest norm of what rounding took from a column, chunk by chunk."""


def _prepare(W_U: Float[Tensor, "d_model d_vocab"], first_pass: torch.dtype) -> _Unembedding:
    mean = W_U.mean(dim=1)
    if first_pass == W_U.dtype:
        zeros = torch.zeros(-(-W_U.shape[1] // CHUNK), device=W_U.device)
        return _Unembedding(W_U, None, mean, zeros, zeros)
    columns = W_U.T.contiguous()
    rounded = columns.to(first_pass)
    norms = columns.norm(dim=1)
    errors = torch.cat(
        [(exact - near).norm(dim=1) for exact, near in zip(columns.split(TILE), rounded.split(TILE), strict=True)]
    )
    return _Unembedding(rounded.T, columns, mean, _largest(norms[None])[0], _largest(errors[None])[0])


class _Scores(NamedTuple):
    """The first pass over one block."""

    scores: Float[Tensor, "rows padded"]
    """Padded to whole chunks; what stands in the padding means nothing."""
    highest: Float[Tensor, "rows chunks"]
    lowest: Float[Tensor, "rows chunks"]
    powers: Float[Tensor, "3 rows"]
    """Means of the second, third and fourth power."""


def _project_block(block: Float[Tensor, "rows d_model"], against: _Unembedding, k: int) -> ProjectionTable:
    found = _scan(block, against)
    slack = _slack(block, against)
    top_weights, top_ids = _choose(block, against, found.scores, found.highest, slack, k, 1)
    bottom_weights, bottom_ids = _choose(block, against, found.scores, -found.lowest, slack, k, -1)
    mean = block @ against.mean
    return ProjectionTable(top_weights, top_ids, bottom_weights, bottom_ids, mean, *_central(mean, found.powers))


def _central(
    mean: Float[Tensor, " rows"], powers: Float[Tensor, "3 rows"]
) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"], Float[Tensor, " rows"]]:
    """Standard deviation, skewness and kurtosis from the mean and the means of higher powers."""
    m, (second, third, fourth) = mean.double(), powers.double()
    std = (second - m**2).clamp_min(0).sqrt()
    safe = std.clamp_min(1e-12)
    skewness = (third - 3 * m * second + 2 * m**3) / safe**3
    kurtosis = (fourth - 4 * m * third + 6 * m**2 * second - 3 * m**4) / safe**4
    return std.float(), skewness.float(), kurtosis.float()


def _scan(block: Float[Tensor, "rows d_model"], against: _Unembedding) -> _Scores:
    """All scores of a block, tile by tile, with everything that needs every one of them."""
    n_rows, d_vocab = len(block), against.first.shape[1]
    rounded = block.to(against.first.dtype)
    scores = rounded.new_empty(n_rows, -(-d_vocab // CHUNK) * CHUNK)
    highest: list[Tensor] = []
    lowest: list[Tensor] = []
    sums = torch.zeros(3, n_rows, dtype=torch.float64, device=block.device)
    for start in range(0, d_vocab, TILE):
        columns = against.first[:, start : start + TILE]
        tile = torch.mm(rounded, columns, out=scores[:, start : start + columns.shape[1]]).float()
        highest.append(_largest(tile))
        lowest.append(_smallest(tile))
        squares = tile * tile
        sums[0] += squares.sum(dim=1)
        sums[1] += tile.mul_(squares).sum(dim=1) if against.columns is not None else (squares * tile).sum(dim=1)
        sums[2] += squares.mul_(squares).sum(dim=1)
    return _Scores(scores, torch.cat(highest, dim=1), torch.cat(lowest, dim=1), sums / d_vocab)


def _largest(values: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows chunks"]:
    """The largest of each chunk of columns."""
    short = -values.shape[1] % CHUNK
    padded = torch.nn.functional.pad(values, (0, short), value=float("-inf")) if short else values
    return padded.unflatten(1, (-1, CHUNK)).amax(dim=2)


def _smallest(values: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows chunks"]:
    if values.shape[1] % CHUNK:
        return -_largest(-values)
    return values.unflatten(1, (-1, CHUNK)).amin(dim=2)


def _slack(block: Float[Tensor, "rows d_model"], against: _Unembedding) -> Float[Tensor, "rows chunks"]:
    """The most by which the first pass can differ from the exact product, its last rounding aside.

    a b - a' b' = (a - a') b + a' (b - b'), each at most the product of its norms (Cauchy and Schwarz), and d_model
    float32 additions.
    """
    rounded = block.to(against.first.dtype).float()
    adding = block.shape[1] * 2.0**-24 * rounded.norm(dim=1)
    a_error, a_norm = (block - rounded).norm(dim=1) + adding, rounded.norm(dim=1)
    return a_error[:, None] * against.norms + a_norm[:, None] * against.errors


def _choose(
    block: Float[Tensor, "rows d_model"],
    against: _Unembedding,
    scores: Float[Tensor, "rows padded"],
    highest: Float[Tensor, "rows chunks"],
    slack: Float[Tensor, "rows chunks"],
    k: int,
    sign: int,
) -> tuple[Float[Tensor, "rows k"], Int64[Tensor, "rows k"]]:
    """The k columns of each row whose exact scores, times the sign, are largest, in falling order."""
    n_chunks = highest.shape[1]
    rounding = 0.0 if against.columns is None else torch.finfo(scores.dtype).eps / 2
    error = highest.abs() * rounding + slack
    # As many columns as there are chunks with so large a score reach it: k at least, if it is the k-th largest of them.
    certain = highest - error
    reached = certain.topk(k, dim=1).values[:, -1:] if k <= n_chunks else torch.full_like(highest[:, :1], -torch.inf)
    possible = highest + error
    n_open = int((possible >= reached).sum(dim=1).max())
    chunks = possible.topk(n_open, dim=1).indices  # [rows, n_open]
    values, columns = _open_chunks(scores, chunks)  # [rows, n_open, CHUNK]
    values = values.mul_(sign)
    bound = torch.addcmul(values, values.abs(), torch.full_like(values, rounding)).add_(
        slack.gather(1, chunks)[:, :, None]
    )
    is_open = (bound >= reached[:, :, None]) & (columns < against.first.shape[1])
    return _take_best(block, against, values.flatten(1), columns.flatten(1), is_open.flatten(1), k, sign)


def _open_chunks(
    scores: Float[Tensor, "rows padded"], chunks: Int64[Tensor, "rows open"]
) -> tuple[Float[Tensor, "rows open chunk"], Int64[Tensor, "rows open chunk"]]:
    """Scores in the chunks listed for each row, in float32, and the columns they stand in."""
    n_rows, n_chunks = len(scores), scores.shape[1] // CHUNK
    flat = chunks + torch.arange(n_rows, device=chunks.device)[:, None] * n_chunks
    values = scores.view(-1, CHUNK).index_select(0, flat.flatten()).float()
    columns = chunks[:, :, None] * CHUNK + torch.arange(CHUNK, device=chunks.device)
    return values.view(*chunks.shape, CHUNK), columns


def _take_best(
    block: Float[Tensor, "rows d_model"],
    against: _Unembedding,
    values: Float[Tensor, "rows found"],
    columns: Int64[Tensor, "rows found"],
    is_open: Bool[Tensor, "rows found"],
    k: int,
    sign: int,
) -> tuple[Float[Tensor, "rows k"], Int64[Tensor, "rows k"]]:
    """The k best of the open columns of each row, scored in float32 where the values are not."""
    counts = is_open.sum(dim=1)
    ends = counts.cumsum(dim=0)
    rows, places = is_open.nonzero(as_tuple=True)
    listed = columns[rows, places]
    scored = values[rows, places] if against.columns is None else sign * _score(block, against.columns, ends, listed)
    within = torch.arange(len(rows), device=rows.device) - (ends - counts)[rows]
    packed = torch.full((len(block), int(counts.max())), -torch.inf, device=block.device)
    packed_columns = torch.zeros_like(packed, dtype=torch.int64)
    packed[rows, within], packed_columns[rows, within] = scored, listed
    best = packed.topk(k, dim=1)
    return sign * best.values, packed_columns.gather(1, best.indices)


def _score(
    block: Float[Tensor, "rows d_model"],
    columns: Float[Tensor, "d_vocab d_model"],
    ends: Int64[Tensor, " rows"],
    listed: Int64[Tensor, " found"],
) -> Float[Tensor, " found"]:
    """Exact scores of the columns listed row after row; each row's list ends at its number in `ends`."""
    starts_and_end = torch.cat([ends.new_zeros(1), ends])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that compressed rows are in beta
        wanted = torch.sparse_csr_tensor(
            starts_and_end, listed, block.new_zeros(len(listed)), (len(block), len(columns))
        )
        return torch.sparse.sampled_addmm(wanted, block, columns.T, beta=0.0).values()


def random_directions(n: int, d_model: int, seed: int) -> Float[Tensor, "n d_model"]:
    """Unit vectors uniform on the sphere: what the survey's null and the random stratum are drawn from."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(n, d_model, generator=generator)
    return drawn / drawn.norm(dim=1, keepdim=True)
