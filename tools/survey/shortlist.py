"""The largest entries of each row of a product, found through a rounded product and yet exact.

A product in bfloat16 rules out nearly every column by a bound on what the rounding can have changed: all but a few dozen of
50,257. Those are scored in float32. A column that might belong to the largest is never left out; where the bound rules
out little, more is scored, and it takes longer.

Columns are looked at in chunks first, by the largest score in each. Without rounding the bound is 0, and the same steps
pick the largest entries from the product itself.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

CHUNK = 64
"""Columns whose extremes are looked at before any score in them is."""


class Factor(NamedTuple):
    """The right factor of a product as the first pass multiplies it, and what that may get wrong."""

    first: Float[Tensor, "d columns"]
    """In the dtype of the first pass."""
    exact: Float[Tensor, "columns d"] | None
    """What the columns on the shortlist are scored with; None if the first pass is exact."""
    norms: Float[Tensor, " chunks"]
    """Largest norm of a column, chunk by chunk."""
    errors: Float[Tensor, " chunks"]
    """Largest norm of what rounding took from a column, chunk by chunk."""


def make_factor(matrix: Float[Tensor, "d columns"], first_pass: torch.dtype) -> Factor:
    """The factor for products whose first pass is in that dtype."""
    if first_pass == matrix.dtype:
        zeros = matrix.new_zeros(-(-matrix.shape[1] // CHUNK))
        return Factor(matrix, None, zeros, zeros)
    exact = matrix.T.contiguous()
    rounded = exact.to(first_pass)
    parts = zip(exact.split(CHUNK), rounded.split(CHUNK), strict=True)
    lengths = [(part.norm(dim=1).max(), (part - near.float()).norm(dim=1).max()) for part, near in parts]
    norms, errors = (torch.stack(found) for found in zip(*lengths, strict=True))
    return Factor(rounded.T, exact, norms, errors)


def largest_of_chunks(scores: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows chunks"]:
    """The largest score in each chunk; the last chunk may be short."""
    short = -scores.shape[1] % CHUNK
    padded = torch.nn.functional.pad(scores, (0, short), value=-torch.inf) if short else scores
    return padded.unflatten(1, (-1, CHUNK)).amax(dim=2)


def smallest_of_chunks(scores: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows chunks"]:
    """The smallest score in each chunk; the last chunk may be short."""
    short = -scores.shape[1] % CHUNK
    padded = torch.nn.functional.pad(scores, (0, short), value=torch.inf) if short else scores
    return padded.unflatten(1, (-1, CHUNK)).amin(dim=2)


def choose(
    block: Float[Tensor, "rows d"],
    factor: Factor,
    tiles: Float[Tensor, "tiles rows tile"],
    highest: Float[Tensor, "rows chunks"],
    k: int,
) -> tuple[Float[Tensor, "rows k"], Int64[Tensor, "rows k"]]:
    """The k largest exact scores of each row, in falling order, and their columns.

    Args:
        block: the rows of the left factor.
        factor: the right factor.
        tiles: scores of the first pass, in tiles of whole chunks.
        highest: the largest of them in each chunk.
        k: at most the number of columns.
    """
    n_chunks = highest.shape[1]
    rounding = 0.0 if factor.exact is None else torch.finfo(tiles.dtype).eps / 2
    slack = _slack(block, factor)
    error = highest.abs() * rounding + slack
    # As many columns as there are chunks with so large a score reach it: k at least, if it is the k-th largest of them.
    certain = highest - error
    reached = certain.topk(k, dim=1).values[:, -1:] if k <= n_chunks else torch.full_like(highest[:, :1], -torch.inf)
    possible = highest + error
    n_open = int((possible >= reached).sum(dim=1).max())
    chunks = possible.topk(n_open, dim=1).indices
    values, columns = _open_chunks(tiles, chunks)
    bound = values + values.abs() * rounding + slack.gather(1, chunks)[:, :, None]
    is_open = (bound >= reached[:, :, None]) & (columns < factor.first.shape[1])
    return _take_largest(block, factor, values.flatten(1), columns.flatten(1), is_open.flatten(1), k)


def _slack(block: Float[Tensor, "rows d"], factor: Factor) -> Float[Tensor, "rows chunks"]:
    """The most by which the first pass can differ from the exact product, the rounding of its result aside.

    a b - a' b' = (a - a') b + a' (b - b'), each at most the product of its norms (Cauchy and Schwarz); and d additions in
    float32.
    """
    rounded = block.to(factor.first.dtype).float()
    length = rounded.norm(dim=1)
    a_error = (block - rounded).norm(dim=1) + block.shape[1] * 2.0**-24 * length
    return a_error[:, None] * factor.norms + length[:, None] * factor.errors


def _open_chunks(
    tiles: Float[Tensor, "tiles rows tile"], chunks: Int64[Tensor, "rows open"]
) -> tuple[Float[Tensor, "rows open chunk"], Int64[Tensor, "rows open chunk"]]:
    """Scores in the chunks listed for each row, in float32, and the columns they stand in."""
    in_tile = tiles.shape[2] // CHUNK
    rows = torch.arange(len(chunks), device=chunks.device)[:, None]
    flat = (chunks // in_tile * len(chunks) + rows) * in_tile + chunks % in_tile
    values = tiles.view(-1, CHUNK).index_select(0, flat.flatten()).float()
    columns = chunks[:, :, None] * CHUNK + torch.arange(CHUNK, device=chunks.device)
    return values.view(*chunks.shape, CHUNK), columns


def _take_largest(
    block: Float[Tensor, "rows d"],
    factor: Factor,
    values: Float[Tensor, "rows found"],
    columns: Int64[Tensor, "rows found"],
    is_open: Bool[Tensor, "rows found"],
    k: int,
) -> tuple[Float[Tensor, "rows k"], Int64[Tensor, "rows k"]]:
    """The k largest of the open columns of each row, scored in float32 where the values are not."""
    counts = is_open.sum(dim=1)
    ends = counts.cumsum(dim=0)
    rows, places = is_open.nonzero(as_tuple=True)
    listed = columns[rows, places]
    scored = values[rows, places] if factor.exact is None else _score(block, factor.exact, ends, listed)
    within = torch.arange(len(rows), device=rows.device) - (ends - counts)[rows]
    packed = torch.full((len(block), int(counts.max())), -torch.inf, device=block.device)
    packed_columns = torch.zeros_like(packed, dtype=torch.int64)
    packed[rows, within], packed_columns[rows, within] = scored, listed
    best = packed.topk(k, dim=1)
    return best.values, packed_columns.gather(1, best.indices)


def _score(
    block: Float[Tensor, "rows d"],
    columns: Float[Tensor, "columns d"],
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
