"""What features do to the logits where they are really active, against what their projections promise.

A projection reads weights. Later layers may erase or reverse what it reads (arXiv 2310.07325), so the promise is held
against two interventions at the positions where a feature is active: it is set to zero, and it is added once more, everything
else of the residual stream kept, the SAE's error included. Half their difference is the effect of having the feature.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.effects.intervention import Addition, Intervention
from tools.effects.steering import rows_per_batch

PASS_BYTES = 64 * 2**20
"""Memory of the rows of one pass: what takes more falls out of a processor's cache."""


class Place(NamedTuple):
    """Text in which one direction is active."""

    tokens: Int64[Tensor, "rows positions"]
    """BOS first."""
    activations: Float[Tensor, "rows positions"]
    """Active where above 0."""
    direction: Float[Tensor, " d_model"]


class CausalEffect(NamedTuple):
    """Mean change in logits over the positions where a feature is active, each position's mean over the vocabulary out."""

    ablated: Float[Tensor, " d_vocab"]
    """Set to zero, minus clean."""
    added: Float[Tensor, " d_vocab"]
    """Added once more, minus clean."""
    activation: float
    """Mean activation."""
    scaled: float
    """Mean activation over the final norm's scale: times the unembedding, what the projection promises."""
    curve: tuple[float, ...]
    """After each block from the hook on, the share of what was removed that is still missing along the same direction."""
    n_positions: int

    @property
    def having(self) -> Float[Tensor, " d_vocab"]:
        """Effect of having the feature: half of what adding and zeroing it differ by."""
        return (self.added - self.ablated) / 2


def measure_effects(
    bench: Workbench, places: Sequence[Place], *, pass_bytes: int = PASS_BYTES
) -> Iterator[tuple[int, CausalEffect]]:
    """The effect of each direction on its own text, many in one pass; in an order that wastes little padding.

    Args:
        bench: model and SAE.
        places: texts of one width.
        pass_bytes: memory of the rows of one pass, and of the logits that are compared at a time.

    Yields:
        Number of the place, and its effect.

    Raises:
        ValueError: a direction is nowhere active in its text.
    """
    measure = partial(_measure_block, bench, pass_bytes)
    lengths = [_length(place) for place in places]
    block: list[int] = []
    n_rows = 0
    for number in sorted(range(len(places)), key=lambda number: -lengths[number]):
        rows = 3 * len(places[number].tokens)
        if block and n_rows + rows > rows_per_batch(bench, lengths[block[0]], min(pass_bytes, bench.budget)):
            yield from zip(block, measure([places[i] for i in block], lengths[block[0]]), strict=True)
            block, n_rows = [], 0
        block.append(number)
        n_rows += rows
    if block:
        yield from zip(block, measure([places[i] for i in block], lengths[block[0]]), strict=True)


def _length(place: Place) -> int:
    """Positions up to the last active one: a causal model's logits there know nothing of what follows."""
    active = torch.nonzero((place.activations > 0).any(dim=0))
    if not len(active):
        raise ValueError("the feature is active at none of the positions given")
    return int(active[-1, 0]) + 1


def _measure_block(bench: Workbench, pass_bytes: int, places: Sequence[Place], length: int) -> list[CausalEffect]:
    """One pass with three copies of every row: clean, ablated, added; rows that several directions share are clean once."""
    tokens = torch.cat([place.tokens[:, :length] for place in places])
    activations = torch.cat([place.activations[:, :length] for place in places]).to(bench.device)
    clean, copies = torch.unique(tokens, dim=0, return_inverse=True)
    directions = torch.cat([place.direction.expand(len(place.tokens), -1) for place in places]).to(bench.device)
    written = activations[..., None] * directions[:, None]  # [rows, length, d_model]
    change = torch.cat([torch.zeros(len(clean), *written.shape[1:], device=bench.device), -written, written])
    rows, positions = torch.nonzero(activations.cpu() > 0, as_tuple=True)
    n = len(tokens)
    at = torch.cat([copies[rows], len(clean) + rows, len(clean) + n + rows]), positions.repeat(3)
    below = bench.read_below(clean)
    if below is not None:
        below = torch.cat([below, below[copies], below[copies]])
    *between, final = _read_blocks(bench, torch.cat([clean, tokens, tokens]), Intervention(Addition(change)), at, below)
    n_logits = max(1, pass_bytes // (16 * bench.W_U.shape[1]))
    edges = np.cumsum([0, *(int((place.activations[:, :length] > 0).sum()) for place in places)])
    return [
        _describe(
            bench, place, activations[rows, positions][first:last], [*between, final], slice(first, last), n_logits
        )
        for place, first, last in zip(places, edges.tolist(), edges[1:].tolist(), strict=False)
    ]


def _read_blocks(
    bench: Workbench,
    tokens: Int64[Tensor, "rows positions"],
    edit: Intervention,
    at: tuple[Int64[Tensor, " points"], Int64[Tensor, " points"]],
    below: Float[Tensor, "rows positions d_model"] | None,
) -> list[Float[Tensor, "3 third d_model"]]:
    """The residual stream after each block from the hook on at some points: clean, ablated and added ones, in thirds."""
    found: list[Tensor] = []

    def keep(residual: Tensor, hook: Any) -> Tensor:
        found.append(residual[at].float())
        return residual

    n_layers = int(bench.bridge.cfg.n_layers)
    first = bench.layer + bench.hook_name.endswith("resid_post")
    hooks = [(f"blocks.{layer}.hook_resid_post", keep) for layer in range(first, n_layers - 1)]
    with bench.lock, bench.bridge.hooks(fwd_hooks=hooks):
        final = bench.final_residual(tokens, edit, below)[at]
    return [residual.unflatten(0, (3, -1)) for residual in [*found, final]]


def _describe(
    bench: Workbench,
    place: Place,
    active: Float[Tensor, " positions"],
    blocks: Sequence[Float[Tensor, "3 points d_model"]],
    part: slice,
    n_logits: int,
) -> CausalEffect:
    lost, gained = torch.zeros(2, bench.W_U.shape[1], device=bench.device)
    for points in blocks[-1][:, part].split(n_logits, dim=1):
        clean, ablated, added = (bench.unembed(residual) for residual in points)  # [points, d_vocab]
        lost += _centred(ablated - clean).sum(dim=0)
        gained += _centred(added - clean).sum(dim=0)
    removed = -active[:, None] * place.direction.to(bench.device)  # [positions, d_model]
    total = removed.pow(2).sum()
    last = bench.hook_name.endswith("resid_post") and bench.layer == int(bench.bridge.cfg.n_layers) - 1
    later = [] if last else blocks  # no block comes after the last one's output
    curve = [float(((block[1, part] - block[0, part]) * removed).sum() / total) for block in later]
    return CausalEffect(
        ablated=(lost / len(active)).cpu(),
        added=(gained / len(active)).cpu(),
        activation=float(active.mean()),
        scaled=float((active / bench.readout.norm.scale_of(blocks[-1][0, part])).mean()),
        curve=tuple(round(value, 4) for value in curve),
        n_positions=len(active),
    )


def _centred(change: Float[Tensor, "n d_vocab"]) -> Float[Tensor, "n d_vocab"]:
    return change - change.mean(dim=-1, keepdim=True)
