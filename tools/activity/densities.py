"""How often random directions count as active: as often as features do, each at a density of its own.

All at one density would give them away to whoever sees the figure. Each direction takes a quantile of the densities of
live features; the quantiles follow from its number alone and lie evenly, so that a few directions have the features'
spread already, and what is observed of one does not depend on how many others there are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tools.records import DensityNull

USUAL_DENSITY = 0.01
"""Of random directions where no feature is ever active."""
_GOLDEN = (5**0.5 - 1) / 2
"""Its multiples, wholes left out, are the evenest sequence that has no end."""
_DECILES = 11


def draw_densities(density: Float[np.ndarray, " sampled"], numbers: Sequence[int]) -> Float[np.ndarray, " m"]:
    """The density at which each random direction counts as active.

    Args:
        density: of sampled features; those that are 0 are left out.
        numbers: of the directions in their stratum.
    """
    live = np.sort(density[density > 0])
    if not len(live):
        return np.full(len(numbers), USUAL_DENSITY)
    quantiles = (0.5 + _GOLDEN * np.asarray(numbers, dtype=np.float64)) % 1
    return live[(quantiles * len(live)).astype(int)]


def median_density(density: Float[np.ndarray, " sampled"], n: int) -> Float[np.ndarray, " n"]:
    """The median of live features for each of n directions, as runs had it before each was given its own."""
    live = density[density > 0]
    return np.full(n, np.median(live) if len(live) else USUAL_DENSITY)


def describe_densities(density: Float[np.ndarray, " sampled"], drawn: Float[np.ndarray, " m"]) -> DensityNull:
    """For the manifest."""
    live = density[density > 0]
    deciles = np.quantile(live, np.linspace(0, 1, _DECILES)).tolist() if len(live) else []
    return DensityNull(
        features=len(live), silent=len(density) - len(live), deciles=tuple(deciles), directions=tuple(drawn.tolist())
    )
