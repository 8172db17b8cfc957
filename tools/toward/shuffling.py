"""Scores given to other features: the arm that tells steering toward a text from steering by just as many features.

A feature that is active more often is chosen more often whatever its score, and one that never is never. So scores change
places only among features that are active about as often, and among those that are active nowhere.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tools.maths import seed_of

BINS = 10


def shuffle_scores(
    scores: Float[Tensor, "n d_sae"], density: Float[Tensor, " d_sae"], seed: int, bins: int = BINS
) -> Float[Tensor, "n d_sae"]:
    """The same scores, each given to a feature of about the same density; all rows are shuffled alike.

    Args:
        scores: of every feature.
        density: share of tokens at which each is active.
        seed: of the shuffling.
        bins: of equal numbers of features, by density; those that are never active are one more.

    Raises:
        ValueError: a density is NaN, or there is less than one bin.
    """
    if bool(density.isnan().any()) or bins < 1:
        raise ValueError("scores are shuffled by a density of every feature, in one bin or several")
    shuffled = scores.clone()
    for number, members in enumerate(cut_bins(density.cpu().numpy(), bins)):
        order = np.random.default_rng(seed_of(seed, "shuffled scores", number)).permutation(len(members))
        shuffled[:, torch.from_numpy(members)] = scores[:, torch.from_numpy(members[order])]
    return shuffled


def cut_bins(density: Float[np.ndarray, " d_sae"], bins: int = BINS) -> list[Int64[np.ndarray, " _"]]:
    """Features that are never active, then all others in bins of rising density."""
    order = np.argsort(density, kind="stable")
    silent = density[order] == 0
    return [order[silent], *np.array_split(order[~silent], bins)]
