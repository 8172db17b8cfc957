"""Floors: what is scored where there is nothing to be found.

Beside shuffled variables, the activations of a model with random weights are measured like any others.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64

from tools.truth.examples import Chunk, Stream, read


class Shuffled:
    """Examples with the truths of other transcripts, at the same place in them.

    How often a variable is true at each position stays as it is: what tells no more than how far a transcript has come scores
    here what it scores on the truth. All truths are held in memory while it is gone through; activations are not.
    """

    def __init__(self, stream: Stream, seed: int = 0) -> None:
        """Nothing is read yet."""
        self.stream, self.seed = stream, seed

    def __iter__(self) -> Iterator[Chunk]:
        """The examples that count, in order.

        Raises:
            ValueError: hardly any place occurs in two transcripts, so that truths would stay where they are.
        """
        truths, positions = zip(*((chunk.truths, chunk.positions) for chunk in read(self.stream)), strict=True)
        moved = np.concatenate(truths)[_exchange(np.concatenate(positions), self.seed)]
        start = 0
        for chunk in read(self.stream):
            end = start + len(chunk.truths)
            yield chunk._replace(truths=moved[start:end])
            start = end


def _exchange(positions: Int64[np.ndarray, " n"], seed: int) -> Int64[np.ndarray, " n"]:
    """For each example the one whose truth it gets: the next of its position in random order, so that none keeps its own."""
    shuffled = np.random.default_rng(seed).permutation(len(positions))
    order = shuffled[np.argsort(positions[shuffled], kind="stable")]
    firsts = np.flatnonzero(np.diff(positions[order], prepend=positions.min() - 1))
    following = np.arange(1, len(order) + 1)
    following[np.append(firsts[1:], len(order)) - 1] = firsts  # the last of a position gets the first one's
    source = np.empty_like(order)
    source[order] = order[following]
    kept = float((source == np.arange(len(order))).mean())
    if kept > 0.5:
        raise ValueError(f"{kept:.0%} of examples are alone at their position: their truths cannot be exchanged")
    return source
