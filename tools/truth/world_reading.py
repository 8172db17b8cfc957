"""Transcripts of a world as a model and its SAE read them: activations or residuals at every position, beside the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.truth.examples import Chunk
from tools.worlds.world import Transcripts

MOST_ROWS = 64
"""Of one forward pass."""
_KEPT_SHARE = 8
"""A split's residuals are kept where they take at most this fraction of the memory that one step may take."""
_CUT_BYTES = 600
"""That the skyline takes of memory for each position and variable."""


class Residuals:
    """A split's residual stream, read by the model once where it fits into memory, and otherwise whenever it is asked for."""

    def __init__(self, bench: Workbench, drawn: Transcripts) -> None:
        """Nothing is read yet."""
        self.bench, self.drawn = bench, drawn
        size = 4 * drawn.tokens.size * bench.directions.shape[1]
        self._kept: dict[tuple[int, int], Tensor] | None = {} if size * _KEPT_SHARE <= bench.budget else None

    def read(self, first: int, n: int) -> Float[Tensor, "rows positions d_model"]:
        """Of some transcripts from the first on; whoever goes through them again asks for the same."""
        found = None if self._kept is None else self._kept.get((first, n))
        if found is None:
            found = self.bench.residuals(torch.from_numpy(self.drawn.tokens[first : first + n].astype(np.int64)))
            if self._kept is not None:
                self._kept[first, n] = found
        return found


class Reading:
    """A split as an instrument reads it: what a model's stream, or its SAE, has at every position, beside the truth."""

    def __init__(
        self,
        source: Residuals,
        read: Callable[[Float[Tensor, "rows positions d_model"]], Float[Tensor, "rows positions d"]],
        advance: Callable[[int], None],
    ) -> None:
        """Nothing is read yet; `advance` is told of every transcript that was."""
        self.source, self.read, self.advance = source, read, advance
        self.bench, self.drawn = bench, drawn = source.bench, source.drawn
        truths = sum(len(variable.truths) for variable in drawn.variables)
        cells = drawn.tokens.shape[1] * max(16 * bench.d_sae, _CUT_BYTES * truths)
        self.rows = int(np.clip(bench.budget // (4 * cells), 1, MOST_ROWS))

    def residuals(self) -> Iterator[tuple[Transcripts, int, Float[Tensor, "rows positions d_model"]]]:
        """Some transcripts at a time, the number of the first, and the residual stream at the hook."""
        for first in range(0, len(self.drawn.tokens), self.rows):
            part = slice(first, first + self.rows)
            states = {name: values[part] for name, values in self.drawn.states.items()}
            some = Transcripts(self.drawn.tokens[part], states, self.drawn.variables)
            yield some, first, self.source.read(first, self.rows)
            self.advance(len(some.tokens))

    def __iter__(self) -> Iterator[Chunk]:
        """As `tools.truth.examples.read` goes through it."""
        for some, first, residuals in self.residuals():
            n, width = some.tokens.shape
            activations = self.read(residuals).flatten(0, 1).cpu().numpy()
            games, positions = np.divmod(np.arange(n * width), width)
            yield Chunk(activations, some.truths()[1], first + games, positions, some.counted())


class Code(NamedTuple):
    """How an SAE writes the residual stream, over positions that count."""

    l0: float
    explained_variance: float


def measure_code(reading: Reading) -> Code:
    """How many features are active at a position, and how much of the residual stream they explain."""
    bench, n, active, error = reading.bench, 0, 0, 0.0
    sums, squares = np.float64(0), 0.0
    for some, _, residuals in reading.residuals():
        rows = residuals.flatten(0, 1)[torch.from_numpy(some.counted()).to(residuals.device)]
        coded = bench.encode(rows)
        n, active = n + len(rows), active + int((coded > 0).sum())
        error += float((bench.decode_activations(coded, rows) - rows).double().square().sum())
        sums = sums + rows.double().sum(0).cpu().numpy()
        squares += float(rows.double().square().sum())
    variance = squares - float((np.asarray(sums) ** 2).sum()) / n
    return Code(active / n, 1 - error / variance)
