"""Blocks of a model passed over, where what they would hand on is known already.

Whatever is done to the residual stream at a hook, the blocks before it compute what they did without. Only their calls are
replaced: masks, positions and rotations are still the model's own, of whatever family it is.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any, NamedTuple

from jaxtyping import Float, Int64
from torch import Tensor


class Passing(NamedTuple):
    """How a model's blocks hand on the residual stream."""

    size: int
    """0: as a tensor; n: first in a tuple of n, whose others are None."""

    @contextmanager
    def over(self, blocks: Iterable[Any], known: Float[Tensor, "rows positions d_model"]) -> Generator[None]:
        """While this lasts, these blocks hand on what is known instead of computing anything."""
        output = (known, *[None] * (self.size - 1)) if self.size else known
        passed = list(blocks)
        for block in passed:
            # Set as an attribute, the library would hand it on to the module within.
            vars(block)["forward"] = lambda *_, **__: output
        try:
            yield
        finally:
            for block in passed:
                del vars(block)["forward"]


def find_passing(bridge: Any, tokens: Int64[Tensor, "rows positions"]) -> Passing | None:
    """How the first block does it; None where something else is handed on too, which cannot be known without it."""
    found: list[Any] = []
    handle = bridge.blocks[0].register_forward_hook(lambda block, given, output: found.append(output))
    try:
        bridge.original_model.base_model(input_ids=tokens, use_cache=False)
    finally:
        handle.remove()
    (output,) = found
    if isinstance(output, Tensor):
        return Passing(0)
    alone = isinstance(output, tuple) and isinstance(output[0], Tensor) and all(part is None for part in output[1:])
    return Passing(len(output)) if alone else None
