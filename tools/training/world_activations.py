"""Activations of a world's model over its transcripts: read once, and trained on by every SAE of it.

A model of a world is small, and its SAEs are many: of several architectures, sparsities and seeds. Reading takes longer than
training one of them does, so what was read is kept in the work folder, under the model, the hook and the transcripts.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.lib.format import open_memmap
from torch import Tensor

from tools.display.progress import track
from tools.training.activation_stream import cut_before_block
from tools.training.recipe import SaeRecipe

_ROWS_PER_PASS = 128


def read_activations(
    bridge: Any, recipe: SaeRecipe, rows: Int64[np.ndarray, "rows positions"], folder: Path, device: str = "cpu"
) -> Float[np.ndarray, "tokens d_in"]:
    """What the model has at the recipe's hook, at every token but those that open and fill rows.

    Args:
        bridge: the model (`tools.bench.loading.load_model`), in float32.
        recipe: says where to read.
        rows: token ids; 0 opens and fills them.
        folder: in which it is kept, as a file of 4 * d_in bytes a token.
        device: as `tools.bench.compute.choose_device` returns it.

    Raises:
        StudyError: the hook is no place before a block of this model, or rows are longer than the model reads.
    """
    forward = cut_before_block(bridge, recipe)
    file = folder / f"activations-{_name(bridge, recipe, rows)}.npy"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".unfinished")
        told = rows > 0
        shape = (int(told.sum()), int(bridge.cfg.d_model))
        kept = open_memmap(unfinished, mode="w+", dtype=np.float32, shape=shape)
        done = 0
        for first in track(range(0, len(rows), _ROWS_PER_PASS), "read         transcripts"):
            part = slice(first, first + _ROWS_PER_PASS)
            with torch.no_grad():
                residuals = forward(torch.from_numpy(rows[part]).to(device)).float().cpu().numpy()[told[part]]
            kept[done : done + len(residuals)] = residuals
            done += len(residuals)
        kept.flush()
        del kept
        os.replace(unfinished, file)
    return np.load(file, mmap_mode="r")


def _name(bridge: Any, recipe: SaeRecipe, rows: Int64[np.ndarray, "rows positions"]) -> str:
    digest = hashlib.sha256(repr((recipe.hook_name, rows.shape)).encode())
    digest.update(np.ascontiguousarray(rows).tobytes())
    for name, weights in sorted(bridge.original_model.state_dict().items()):
        digest.update(name.encode() + weights.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()[:16]


def draw_batches(
    activations: Float[np.ndarray, "tokens d_in"], size: int, seed: int, device: str = "cpu"
) -> Iterator[Float[Tensor, "batch d_in"]]:
    """Batches without end, in a new random order each time all were seen; what is left over of one order is passed over."""
    epoch = 0
    while True:
        order = np.random.default_rng((seed, epoch)).permutation(len(activations))
        for first in range(0, max(1, len(order) - size + 1), size):
            yield torch.from_numpy(activations[np.sort(order[first : first + size])]).to(device)
        epoch += 1
