"""Two numbers for what taking features out does to classifiers (arXiv 2411.18895).

SCR, spurious correlation removal: the share of the way from a biased classifier to an unbiased one that the biased one
comes when features are taken out, without being trained again. TPP, targeted probe perturbation: how much more a class's
own classifier loses by the features taken out for it than the classifiers of the other classes do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from tools.maths import Interval

LEAST_GAP = 1e-3
"""Between the two classifiers' accuracies: with less there is no way to go."""
RESAMPLES = 2000
_FEWEST_DEFINED = 0.5


class Removal(NamedTuple):
    """SCR with its 95 % interval; None where the biased classifier is as good as the unbiased one."""

    score: float | None
    interval: Interval | None


def removal_score(ablated: float, biased: float, oracle: float) -> float | None:
    """SCR of three accuracies; None where the oracle is no better than the biased classifier.

    It is 0 where nothing was gained and 1 where the oracle was reached; scores below and beyond are there too.
    """
    gap = oracle - biased
    return (ablated - biased) / gap if gap >= LEAST_GAP else None


def measure_removal(
    ablated: Bool[np.ndarray, " texts"],
    biased: Bool[np.ndarray, " texts"],
    oracle: Bool[np.ndarray, " texts"],
    quadrants: Int64[np.ndarray, " texts"],
    seed: int = 0,
) -> Removal:
    """SCR on balanced texts, over resamples of which its interval is taken: the same texts for all three classifiers.

    Args:
        ablated: which texts the biased classifier puts in their class once features are taken out.
        biased: with them.
        oracle: the unbiased classifier, with them.
        quadrants: of each text; each quadrant is resampled by itself.
        seed: of the resamples.
    """
    correct = np.stack([ablated, biased, oracle], axis=1).astype(np.float64)
    score = removal_score(*correct.mean(axis=0).tolist())
    sums = resample_sums(correct, quadrants, seed) / len(correct)
    gaps = sums[:, 2] - sums[:, 1]
    there = gaps >= LEAST_GAP
    if score is None or there.mean() < _FEWEST_DEFINED:
        return Removal(score, None)
    low, high = np.quantile((sums[there, 0] - sums[there, 1]) / gaps[there], (0.025, 0.975))
    return Removal(score, Interval(float(low), float(high)))


def resample_sums(
    values: Float[np.ndarray, "texts n"], quadrants: Int64[np.ndarray, " texts"], seed: int, resamples: int = RESAMPLES
) -> Float[np.ndarray, "resamples n"]:
    """Sums over resamples of texts, as many of each quadrant as there are.

    Columns are resampled together, and by the quadrants and the seed alone: what two calls give may be subtracted.
    """
    rng = np.random.default_rng(seed)
    total = np.zeros((resamples, values.shape[1]))
    for quadrant in np.unique(quadrants):
        own = values[quadrants == quadrant]
        weights = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), size=resamples)
        total += weights @ own
    return total


def perturbation_score(
    accuracies: Float[np.ndarray, " classes"], ablated: Float[np.ndarray, "classes classes"]
) -> float:
    """TPP: the mean over classes of what the class's own probe loses less what the others lose.

    Args:
        accuracies: of each class's probe against all other classes.
        ablated: the same with features taken out, [for which class, whose probe].

    Raises:
        ValueError: there are fewer than two classes.
    """
    n = len(accuracies)
    if n < 2:
        raise ValueError("one class has no others")
    lost = accuracies[None, :] - ablated  # [for which class, whose probe]
    own = np.diag(lost)
    others = (lost.sum(axis=1) - own) / (n - 1)
    return float((own - others).mean())
