"""Activations of a language model for SAE training: one cut-off forward pass, block after block, sinks left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tools.errors import StudyError
from tools.training.recipe import SaeRecipe

_BEFORE_A_BLOCK = re.compile(r"blocks\.(\d+)\.hook_resid_pre")


class Scale(NamedTuple):
    """What is measured on the first block of text, once, and holds for all that follow."""

    median: float
    """Of the norms of the residual stream."""
    mean: Float[Tensor, " d_in"]
    """The average activation, sinks left out."""
    factor: float
    """Activations times this have a mean norm of sqrt(d_in), the size that learning rates are stated for."""


class Block(NamedTuple):
    """Activations of some rows, in the order of the text."""

    activations: Float[Tensor, "tokens d_in"]
    """Those within the bound."""
    n_sinks: int
    """How many were left out beside the first position of each row."""


def cut_before_block(bridge: Any, recipe: SaeRecipe) -> Callable[[Tensor], Tensor]:
    """A forward pass that ends where the recipe's hook is.

    Raises:
        StudyError: the hook is no place before a block of this model, or the context is longer than it reads.
    """
    named = _BEFORE_A_BLOCK.fullmatch(recipe.hook_name)
    layer, n_layers = int(named[1]) if named else -1, int(bridge.cfg.n_layers)
    if not 0 < layer < n_layers:
        raise StudyError(
            f"training.sae.hook_name {recipe.hook_name!r} is no place that activations are streamed from: it has to be "
            f"blocks.N.hook_resid_pre with N from 1 to {n_layers - 1}"
        )
    check_context(bridge, recipe)
    return lambda tokens: bridge(tokens, stop_at_layer=layer)


def check_context(bridge: Any, recipe: SaeRecipe) -> None:
    """Raises StudyError when rows are longer than the model reads."""
    if recipe.context_size > bridge.cfg.n_ctx:
        raise StudyError(
            f"training.sae.context_size {recipe.context_size} is more than the model reads: {bridge.cfg.n_ctx} tokens"
        )


@torch.no_grad()
def read_block(
    forward: Callable[[Tensor], Tensor],
    rows: Int64[np.ndarray, "rows positions"],
    bound: float,
    rows_per_pass: int,
    device: str = "cpu",
) -> Block:
    """Activations of rows that BOS opens, without BOS and without positions whose norm exceeds `bound`.

    Attention sinks are a few positions with a norm a hundred times that of others: they say nothing of the text, decide
    any squared error, and would become features of their own.
    """
    parts: list[Tensor] = []
    n_sinks = 0
    for start in range(0, len(rows), rows_per_pass):
        tokens = torch.from_numpy(rows[start : start + rows_per_pass]).to(device)
        residual = forward(tokens)[:, 1:].flatten(0, 1).float()
        inside = residual.norm(dim=1) <= bound
        n_sinks += int((~inside).sum())
        parts.append(residual[inside])
    return Block(torch.cat(parts), n_sinks)


def measure_scale(activations: Float[Tensor, "tokens d_in"], multiple: float) -> Scale:
    """The scale of a first block, read without a bound: its median does not feel the sinks, and its means leave them out.

    Args:
        activations: at every position but the first.
        multiple: of the median norm, beyond which a position is a sink.
    """
    norms = activations.norm(dim=1)
    median = float(norms.median())
    kept = activations[norms <= multiple * median]
    return Scale(median, kept.mean(0), float(activations.shape[1] ** 0.5 / kept.norm(dim=1).mean()))


def split_batches(n_tokens: int, size: int, seed: tuple[int, ...]) -> Iterator[Int64[Tensor, " batch"]]:
    """A block's tokens in random order, in batches of about `size` and as equal as can be: nothing is left over."""
    order = torch.from_numpy(np.random.default_rng(seed).permutation(n_tokens))
    yield from order.tensor_split(max(1, round(n_tokens / size)))
