"""Linear probes: logistic regression on pooled activations, how strongly it is held back chosen on development texts.

Three of them are trained alike. The oracle learns the class from balanced texts; the biased one from ambiguous texts, in
which the attribute gives the class away; the attribute probe learns the attribute from balanced texts. The biased probe's
development texts are ambiguous too: whoever has to make do with such texts has no others to choose by.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from tools.maths import Interval, wilson_interval
from tools.probes.draws import draw_ambiguous, draw_balanced
from tools.probes.task import PAIRS, Task

STRENGTHS = tuple(10.0**power for power in range(-4, 4))
"""Inverse strengths of the L2 penalty that are tried."""
RESAMPLES = 4000
_ITERATIONS = 2000


class Probe(NamedTuple):
    """A linear classifier of two classes, in the units of what it reads."""

    weights: Float[np.ndarray, " d"]
    bias: float
    strength: float
    """The inverse of the penalty that did best on development texts."""

    def logits(self, inputs: Float[np.ndarray, "texts d"]) -> Float[np.ndarray, " texts"]:
        """Log odds of the positive class."""
        return inputs.astype(np.float64) @ self.weights + self.bias

    def is_correct(
        self, inputs: Float[np.ndarray, "texts d"], classes: Int64[np.ndarray, " texts"]
    ) -> Bool[np.ndarray, " texts"]:
        """Which texts it puts in their class."""
        return (self.logits(inputs) > 0) == (classes == 1)


class Probes(NamedTuple):
    """The three probes of a seed."""

    oracle: Probe
    biased: Probe
    attribute: Probe


class Accuracy(NamedTuple):
    """Of a probe on balanced texts."""

    share: float
    interval: Interval
    by_quadrant: tuple[float, ...]
    """In the order of `PAIRS`; nan for a quadrant without texts."""
    quadrant_intervals: tuple[Interval, ...]
    worst: float
    """Of the quadrant that does worst."""
    worst_interval: Interval
    """Over resamples of each quadrant's texts: which one is worst is found anew in each."""
    texts: int


def train_probe(
    inputs: Float[np.ndarray, "texts d"],
    classes: Int64[np.ndarray, " texts"],
    development: Float[np.ndarray, "others d"],
    development_classes: Int64[np.ndarray, " others"],
) -> Probe:
    """A probe of class 1 against class 0.

    Inputs are centred and divided by one number, their root mean square, so that the penalty means the same at every hook
    and no direction counts for more than it has. The penalty that puts most development texts in their class is taken; of
    equal ones the strongest: the log loss would go on to reward a classifier for how far it keeps apart what is apart already.

    Raises:
        ValueError: there is only one class.
    """
    from sklearn.linear_model import LogisticRegression

    centre = inputs.mean(axis=0, dtype=np.float64)
    scale = float(np.sqrt(np.mean((inputs - centre) ** 2))) or 1.0
    train, held = (inputs - centre) / scale, (development - centre) / scale
    fits: list[tuple[float, float, np.ndarray, float]] = []
    for strength in STRENGTHS:
        fitted = LogisticRegression(C=strength, max_iter=_ITERATIONS).fit(train, classes)
        weights, bias = np.asarray(fitted.coef_[0], dtype=np.float64), float(fitted.intercept_[0])
        missed = float(((held @ weights + bias > 0) != (development_classes == 1)).mean())
        fits.append((missed, strength, weights, bias))
    _, strength, weights, bias = min(fits, key=lambda fit: fit[:2])
    return Probe(weights / scale, bias - float(centre @ weights) / scale, strength)


def centre_threshold(probe: Probe, inputs: Float[np.ndarray, "texts d"], classes: Int64[np.ndarray, " texts"]) -> Probe:
    """The probe with its threshold half way between the mean logits of two classes' texts, its weights as they were.

    Taking features out moves all logits: a probe that called half of all texts positive may then call nearly all of them
    so. Its training texts, the biased ones, are enough to set that right.

    Raises:
        ValueError: a class has no text.
    """
    logits = probe.logits(inputs)
    if not 0 < int((classes == 1).sum()) < len(classes):
        raise ValueError("both classes need texts")
    middle = (logits[classes == 1].mean() + logits[classes != 1].mean()) / 2
    return probe._replace(bias=probe.bias - float(middle))


def train_probes(task: Task, inputs: Float[np.ndarray, "texts d"], seed: int) -> Probes:
    """Oracle, biased and attribute probe on the texts that a seed draws.

    Args:
        task: with an attribute.
        inputs: of all texts of the task, in order.
        seed: which texts are drawn.
    """
    balanced, ambiguous = draw_balanced(task, "train", seed), draw_ambiguous(task, "train", seed)
    held, held_ambiguous = draw_balanced(task, "development", seed), draw_ambiguous(task, "development", seed)

    def fit(drawn: Int64[np.ndarray, " n"], others: Int64[np.ndarray, " m"], classes: np.ndarray) -> Probe:
        return train_probe(inputs[drawn], classes[drawn], inputs[others], classes[others])

    return Probes(
        oracle=fit(balanced, held, task.labels),
        biased=fit(ambiguous, held_ambiguous, task.labels),
        attribute=fit(balanced, held, task.attributes),
    )


def measure_accuracy(
    correct: Bool[np.ndarray, " texts"], quadrants: Int64[np.ndarray, " texts"], seed: int = 0
) -> Accuracy:
    """Accuracy over texts and by quadrant, with 95 % intervals.

    Args:
        correct: which texts were put in their class.
        quadrants: place of each text in `PAIRS`.
        seed: of the resamples.

    Raises:
        ValueError: there is no text.
    """
    if not len(correct):
        raise ValueError("no text was measured")
    n = np.bincount(quadrants, minlength=len(PAIRS))
    hits = np.bincount(quadrants, weights=correct, minlength=len(PAIRS)).astype(int)
    shares = np.divide(hits, n, out=np.full(len(n), np.nan), where=n > 0)
    there = n > 0
    drawn = np.random.default_rng(seed).binomial(n[there], shares[there], size=(RESAMPLES, int(there.sum())))
    worst = np.quantile((drawn / n[there]).min(axis=1), (0.025, 0.975))
    return Accuracy(
        share=float(correct.mean()),
        interval=wilson_interval(int(correct.sum()), len(correct)),
        by_quadrant=tuple(shares.tolist()),
        quadrant_intervals=tuple(wilson_interval(int(hit), int(size)) for hit, size in zip(hits, n, strict=True)),
        worst=float(np.nanmin(shares)),
        worst_interval=Interval(float(worst[0]), float(worst[1])),
        texts=len(correct),
    )
