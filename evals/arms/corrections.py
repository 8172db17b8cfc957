"""P-values corrected for the number of tests they were found among."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected so that the chance of any false finding among them stays at the level (Holm 1979)."""
    p = np.array(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    return _in_order(np.minimum(steps, 1), order)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """P-values corrected so that the expected share of false findings stays at the level (Benjamini and Hochberg 1995)."""
    p = np.array(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    steps = p[order] * len(p) / (1 + np.arange(len(p)))
    return _in_order(np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1), order)


def _in_order(sorted_values: Float[np.ndarray, " n"], order: Int[np.ndarray, " n"]) -> list[float]:
    found = np.empty(len(order))
    found[order] = sorted_values
    return found.tolist()
