"""Agreement statistics as functions of counts, so that thousands of resamples cost one matrix product.

Every statistic here takes counts with any leading dimensions and returns one number for each; undefined ones are NaN.
Rows of a confusion matrix are the reference's categories, columns the judged ones. Formulas: Cohen (1960, 1968), Gwet
(2008), Gorodkin (2004) for MCC with several classes, Krippendorff (2011), Byrt et al. (1993) for the two indices.
Libraries have these for one table; none takes a stack of thousands.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Int

Counts = Float[np.ndarray, "*batch k k"]
Figures = Float[np.ndarray, "*batch"]
Scheme = Literal["nominal", "linear", "quadratic"]
Metric = Literal["nominal", "ordinal", "interval", "ratio"]


def confusion_cells(
    reference: Int[np.ndarray, " n"], judged: Int[np.ndarray, " n"], k: int
) -> Float[np.ndarray, "n k k"]:
    """One matrix an answer, with a single 1 in it; their sum is the confusion matrix."""
    cells = np.zeros((len(reference), k, k))
    cells[np.arange(len(reference)), reference, judged] = 1
    return cells


def accuracy(counts: Counts) -> Figures:
    """Share of equal answers."""
    return _ratio(_trace(counts), _total(counts))


def cohen_kappa(counts: Counts, scheme: Scheme = "nominal") -> Figures:
    """Cohen's kappa; with a scheme, weighted by how far two ratings are apart."""
    k = counts.shape[-1]
    steps = np.abs(np.subtract.outer(np.arange(k), np.arange(k))).astype(float)
    weights = {"nominal": np.sign(steps), "linear": steps, "quadratic": steps**2}[scheme]
    chance = counts.sum(-1)[..., :, None] * counts.sum(-2)[..., None, :]
    observed = (weights * counts).sum((-2, -1)) * _total(counts)
    return np.asarray(1 - _ratio(observed, (weights * chance).sum((-2, -1))))


def gwet_ac1(counts: Counts) -> Figures:
    """Gwet's AC1: chance agreement from how evenly the categories are used."""
    k, n = counts.shape[-1], _total(counts)[..., None]
    share = _ratio((counts.sum(-1) + counts.sum(-2)) / 2, n)
    chance = (share * (1 - share)).sum(-1) / (k - 1)
    return _ratio(accuracy(counts) - chance, 1 - chance)


def matthews(counts: Counts) -> Figures:
    """Matthews' correlation coefficient, for any number of classes; 0 when one side gave one answer only."""
    n, right = _total(counts), _trace(counts)
    given, judged = counts.sum(-1), counts.sum(-2)
    covariance = right * n - (given * judged).sum(-1)
    spread = (n**2 - (given**2).sum(-1)) * (n**2 - (judged**2).sum(-1))
    return np.where(spread > 0, covariance / np.sqrt(np.where(spread > 0, spread, 1)), np.where(n > 0, 0.0, np.nan))


def precision(counts: Counts, category: int) -> Figures:
    """Of the answers judged so, the share that the reference gives too."""
    return _ratio(counts[..., category, category], counts[..., :, category].sum(-1))


def recall(counts: Counts, category: int) -> Figures:
    """Of the answers the reference gives, the share judged so."""
    return _ratio(counts[..., category, category], counts[..., category, :].sum(-1))


def f1(counts: Counts, category: int) -> Figures:
    """Harmonic mean of precision and recall; also Dice's index, the agreement specific to the category."""
    used = counts[..., category, :].sum(-1) + counts[..., :, category].sum(-1)
    return _ratio(2 * counts[..., category, category], used)


def prevalence_index(counts: Counts) -> Figures:
    """|both no - both yes| / n of a 2 x 2 matrix: how far a rare class can push kappa down."""
    return _ratio(np.abs(counts[..., 0, 0] - counts[..., 1, 1]), _total(counts))


def bias_index(counts: Counts) -> Figures:
    """Difference between the two sides' share of yes, in size, of a 2 x 2 matrix."""
    return _ratio(np.abs(counts[..., 0, 1] - counts[..., 1, 0]), _total(counts))


def any_relation(counts: Counts) -> Float[np.ndarray, "*batch 2 2"]:
    """Ratings taken as no relation (0) or some (above 0)."""
    top, bottom = counts[..., :1, :].sum(-2), counts[..., 1:, :].sum(-2)
    rows = np.stack([top, bottom], axis=-2)
    return np.stack([rows[..., 0], rows[..., 1:].sum(-1)], axis=-1)


def coincidences(ratings: Int[np.ndarray, "units raters"], k: int) -> Float[np.ndarray, "units k k"]:
    """Krippendorff's coincidences by unit: every pair of ratings, over one less than the unit's number of them.

    Args:
        ratings: categories from 0 to k-1; -1 where a rater gave none. Units with fewer than two ratings give nothing.
        k: number of categories.
    """
    given = (ratings[:, :, None] == np.arange(k)).sum(1).astype(float)
    pairs = given[:, :, None] * given[:, None, :] - given[:, :, None] * np.eye(k)
    return pairs / np.maximum(given.sum(1) - 1, 1)[:, None, None]


def krippendorff_alpha(
    counts: Counts, metric: Metric = "nominal", values: Float[np.ndarray, " k"] | None = None
) -> Figures:
    """Krippendorff's alpha of summed coincidences: any number of raters, missing ratings allowed.

    Args:
        counts: sums of `coincidences`.
        metric: how far two categories are apart.
        values: what the categories stand for under the interval and ratio metrics; 0, 1, 2, ... if None.
    """
    used = counts.sum(-1)
    distance = _distances(used, metric, np.arange(counts.shape[-1], dtype=float) if values is None else values)
    expected = used[..., :, None] * used[..., None, :] * distance
    observed = (counts * distance).sum((-2, -1)) * (used.sum(-1) - 1)
    return np.asarray(1 - _ratio(observed, expected.sum((-2, -1))))


def _distances(
    used: Float[np.ndarray, "*batch k"], metric: Metric, values: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "*any k k"]:
    if metric == "ordinal":
        middle = np.cumsum(used, -1) - used / 2
        return (middle[..., :, None] - middle[..., None, :]) ** 2
    difference = values[:, None] - values[None, :]
    if metric == "ratio":
        total = np.abs(values[:, None] + values[None, :])
        return np.where(total > 0, difference / np.where(total > 0, total, 1), 0) ** 2
    return difference**2 if metric == "interval" else np.sign(difference) ** 2


def _total(counts: Counts) -> Figures:
    return np.asarray(counts.sum((-2, -1)))


def _trace(counts: Counts) -> Figures:
    return np.asarray(np.trace(counts, axis1=-2, axis2=-1))


def _ratio(above: np.ndarray | float, below: np.ndarray | float) -> np.ndarray:
    return np.where(below > 0, above / np.where(below > 0, below, 1), np.nan)
