"""Small worlds whose answers are known by hand."""

from __future__ import annotations

import numpy as np

from tools.truth.examples import Chunk


def chunked(
    activations: np.ndarray, truths: np.ndarray, per_game: int = 10, size: int = 37, counted: np.ndarray | None = None
) -> list[Chunk]:
    """Examples in chunks that cut through games of `per_game` positions."""
    n = len(truths)
    games, positions = np.arange(n) // per_game, np.arange(n) % per_game
    return [
        Chunk(
            activations[start : start + size].astype(np.float32),
            truths[start : start + size].astype(bool),
            games[start : start + size],
            positions[start : start + size],
            None if counted is None else counted[start : start + size],
        )
        for start in range(0, n, size)
    ]


def draw_truths(n: int, prevalences: tuple[float, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, len(prevalences))) < prevalences


def name(g: int) -> list[str]:
    return [f"variable {i}" for i in range(g)]
