"""Which features are taken out: sets of equal size, to be held against each other. Pure functions of what was measured."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Bool, Float

from tools.probes.effects import rank_effects

NEIGHBOURS = 10
"""Features like a given one that a random one is drawn among."""


def choose_by_effect(effects: Float[np.ndarray, " d_sae"], n: int | None = None) -> list[int]:
    """The n features with the largest effects either way; fewer where fewer have any. None: all of them."""
    ranked = [int(feature) for feature in rank_effects(effects) if effects[feature] != 0]
    return ranked[:n]


def choose_among(effects: Float[np.ndarray, " d_sae"], listed: Collection[int], n: int | None = None) -> list[int]:
    """Of listed features, those that were judged one way perhaps, the n with the largest effects.

    Listed features without any effect come last, by number: they were chosen, and taking them out changes nothing.
    """
    wanted = set(listed)
    return [int(feature) for feature in rank_effects(effects) if int(feature) in wanted][:n]


def choose_like(
    chosen: Sequence[int],
    density: Float[np.ndarray, " d_sae"],
    effects: Float[np.ndarray, " d_sae"],
    seed: int,
    excluded: Collection[int] = (),
) -> list[int]:
    """Other features at random, one for each chosen one, that are active as often and have as large an effect.

    Of the `NEIGHBOURS` nearest by the logarithms of both, each in its standard deviations, one is drawn; none twice.
    A feature without effect or activity is like nothing and is never drawn; for a chosen one that is so, any is drawn.

    Args:
        chosen: those that are to be matched.
        density: share of tokens at which each feature is active.
        effects: on the same probe; their signs do not matter.
        seed: of the draw.
        excluded: features that may not be drawn, beside the chosen ones.
    """
    size = np.abs(effects)
    live = (density > 0) & (size > 0)
    places = _standardised(np.stack([density, size], axis=1), live)
    free = live.copy()
    free[list({*chosen, *excluded})] = False
    rng, drawn = np.random.default_rng(seed), list[int]()
    for feature in chosen:
        if not free.any():
            break
        near = np.flatnonzero(free)
        if live[feature]:
            distances = np.linalg.norm(places[near] - places[feature], axis=1)
            near = near[np.argsort(distances, kind="stable")[:NEIGHBOURS]]
        drawn.append(int(rng.choice(near)))
        free[drawn[-1]] = False
    return drawn


def _standardised(values: Float[np.ndarray, "n 2"], live: Bool[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
    """Logarithms in their standard deviations over live features; 0 for the others."""
    logs = np.zeros(values.shape)
    logs[live] = np.log(values[live])
    spread = logs[live].std(axis=0) if live.any() else np.ones(2)
    return logs / np.where(spread > 0, spread, 1.0)
