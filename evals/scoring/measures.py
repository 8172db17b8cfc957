"""Statistics of yes-or-no answers about a feature's texts, and their means over features with intervals.

Balanced accuracy does not see how rare the right answer is, and misses labels that are too wide (METHODS 6.8); F1, the
area under the precision-recall curve and Matthews' correlation do. Each is taken feature by feature: the feature is what
was drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from evals.statistics import matrices
from evals.statistics.bootstrap import gather_units, resample
from evals.statistics.estimate import Estimate, estimate_statistic

Truth = Bool[np.ndarray, " n"]
Graded = Float[np.ndarray, " n"]
Weights = Float[np.ndarray, " n"]
MEASURES = ("balanced_accuracy", "f1", "auprc", "mcc")
RATES = ("recall", "false_alarms")
_FLAT = 1e-12
YES = 0.5
"""A graded answer above this is a yes."""


def count_answers(truth: Truth, answers: Graded) -> Float[np.ndarray, "2 2"]:
    """Answers by what is right (rows) and what was said (columns), no before yes."""
    return np.bincount(2 * truth + (answers > YES), minlength=4).reshape(2, 2).astype(float)


def measure_counts(counts: Float[np.ndarray, "2 2"]) -> dict[str, float]:
    """What the counts alone say: balanced accuracy, F1 of yes, Matthews' correlation (0 if one answer was given only)."""
    recalls = [float(matrices.recall(counts, answer)) for answer in (0, 1)]
    return {
        "balanced_accuracy": sum(recalls) / 2,
        "f1": float(matrices.f1(counts, 1)),
        "mcc": float(matrices.matthews(counts)),
    }


def average_precision(truth: Truth, answers: Graded, weights: Weights | None = None) -> float:
    """Area under the precision-recall curve by steps, equal answers taken together.

    sum_k (R_k - R_{k-1}) P_k over the distinct answers from high to low, as scikit-learn has it.
    """
    order = np.argsort(-answers, kind="stable")
    heavy = np.ones(len(truth)) if weights is None else weights[order]
    ranked, right = answers[order], np.cumsum(heavy * truth[order])
    last = np.append(ranked[1:] != ranked[:-1], True)  # of each group of equal answers
    recall, precision = right[last] / right[-1], right[last] / np.cumsum(heavy)[last]
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def measure(truth: Truth, answers: Graded) -> dict[str, float]:
    """Every statistic of one feature's answers; none where no yes or no no is left.

    Args:
        truth: the right answers.
        answers: how likely a yes is held to be, 0 to 1; NaN for a failure, which is left out.
    """
    given = ~np.isnan(answers)
    truth, answers = truth[given], answers[given]
    if not truth.any() or truth.all():
        return {}
    return {**measure_counts(count_answers(truth, answers)), "auprc": average_precision(truth, answers)}


def measure_weighed(truth: Truth, answers: Graded, weights: Weights) -> dict[str, float]:
    """Every statistic where texts weigh differently: all active ones together as much as all silent ones.

    Beside the others, the shares of yeses: `recall` of the active texts, `false_alarms` of the silent ones. None of them
    where no text of either kind is left.

    Args:
        truth: the right answers.
        answers: how likely a yes is held to be, 0 to 1; NaN for a failure, which is left out.
        weights: of the texts, above 0.
    """
    given = ~np.isnan(answers)
    truth, answers = truth[given], answers[given]
    if not truth.any() or truth.all():
        return {}
    shares = balance(truth, weights[given])
    counts = np.bincount(2 * truth + (answers > YES), weights=shares, minlength=4).reshape(2, 2)
    rates = {"recall": 2 * float(counts[1, 1]), "false_alarms": 2 * float(counts[0, 1])}
    return {**measure_counts(counts), "auprc": average_precision(truth, answers, shares), **rates}


def balance(truth: Truth, weights: Weights) -> Weights:
    """The weights, scaled so that those of the active texts come to a half, and those of the silent ones."""
    return np.where(truth, weights / weights[truth].sum(), weights / weights[~truth].sum()) / 2


def correlate(actual: Graded, guessed: Graded, weights: Weights) -> float:
    """Pearson's correlation of weighed pairs; 0 where either is the same throughout, for nothing is told by it."""
    shares = weights / weights.sum()
    apart = [values - (shares * values).sum() for values in (actual, guessed)]
    spread = [float((shares * values**2).sum()) for values in apart]
    if min(spread) <= _FLAT:
        return 0.0
    return float((shares * apart[0] * apart[1]).sum() / np.sqrt(spread[0] * spread[1]))


def count_as_wrong(truth: Truth, answers: Graded) -> Graded:
    """The answers with every failure taken for the surest wrong answer."""
    return np.where(np.isnan(answers), 1.0 - truth, answers)


def estimate_mean(values: Sequence[float], seed: int) -> Estimate:
    """Mean over features with its bootstrap interval over features."""
    if not len(values):
        return Estimate(value=None)
    units = gather_units(np.column_stack([np.array(values, dtype=float), np.ones(len(values))]))
    return estimate_statistic(_mean, units, resample(units, seed))


def _mean(sums: Float[np.ndarray, "*many 2"]) -> Float[np.ndarray, "*many"]:
    return sums[..., 0] / sums[..., 1]
