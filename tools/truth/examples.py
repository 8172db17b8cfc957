"""Examples of which the truth is known, in chunks: activations beside the values of named variables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64


class Chunk(NamedTuple):
    """Some examples, each a position in a transcript."""

    activations: Float[np.ndarray, "n d"]
    """Of all features; or residuals, for probes."""
    truths: Bool[np.ndarray, "n g"]
    """Which variables are true, a column each."""
    games: Int64[np.ndarray, " n"]
    """The transcript that each example is of: what is resampled for intervals."""
    positions: Int64[np.ndarray, " n"]
    """Place of each example in its transcript."""
    counted: Bool[np.ndarray, " n"] | None = None
    """Which examples count; None for all."""

    def kept(self) -> Chunk:
        """The examples that count."""
        if self.counted is None:
            return self
        of = self.counted
        return Chunk(self.activations[of], self.truths[of], self.games[of], self.positions[of])


Stream = Iterable[Chunk]
"""What is gone through once a measurement, so it has to begin anew each time: a list, or an object with `__iter__`."""


def read(stream: Stream) -> Iterator[Chunk]:
    """The examples that count, chunk by chunk.

    Raises:
        ValueError: there is none, as in an iterator that was used up before.
    """
    n = 0
    for chunk in stream:
        kept = chunk.kept()
        n += len(kept.truths)
        if len(kept.truths):
            yield kept
    if n == 0:
        raise ValueError("there is no example: a stream has to begin anew each time it is gone through")
