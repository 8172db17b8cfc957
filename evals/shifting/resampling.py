"""Intervals over test texts and probe seeds together, the same resamples for everything that is measured on them.

A figure is a mean over probe seeds. Another sample of test texts would have given another one, and so would other texts to
train on: both are drawn again. Of S seeds S - 1 are drawn, for S of so few would make the interval too narrow: the
variance of a mean of S - 1 draws from S is, on average, that of a mean of S independent ones. Draws of random features are
drawn again likewise. Of a single seed nothing is drawn, and the interval is over texts alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64

from evals.statistics.estimate import Estimate
from tools.probes.scr import LEAST_GAP, RESAMPLES, removal_score, resample_sums

_LOW, _HIGH = 0.025, 0.975

Correct = Float[np.ndarray, "texts seeds draws"]
"""Which texts were put in their class, by probe seed and by draw of random features; one draw where nothing is drawn."""


class Frame:
    """The resamples of one test set."""

    def __init__(self, quadrants: Int64[np.ndarray, " texts"], seeds: int, seed: int) -> None:
        """Draw them.

        Args:
            quadrants: of each test text; each is resampled by itself.
            seeds: number of probe seeds.
            seed: decides all draws.
        """
        self.quadrants, self.seed = quadrants, seed
        self._texts = resample_sums(np.eye(len(quadrants)), quadrants, seed)
        self._seeds = _draw_again(seeds, np.random.default_rng([seed, 1]))

    def shares(self, correct: Correct) -> Float[np.ndarray, " resamples"]:
        """Accuracy in each resample."""
        return self._over_seeds(self._texts @ correct.reshape(len(correct), -1), correct) / len(correct)

    def accuracy(self, correct: Correct) -> Estimate:
        """The mean with its interval."""
        return _between(float(correct.mean()), self.shares(correct))

    def total(self, values: Float[np.ndarray, "texts seeds"]) -> Estimate:
        """A sum over texts, the mean over seeds, with its interval."""
        resampled = self._over_seeds(self._texts @ values, values[..., None])
        return _between(float(values.sum(axis=0).mean()), resampled)

    def worst(self, correct: Correct) -> tuple[Estimate, tuple[float, ...]]:
        """Of the quadrant that does worst, found anew in each resample; and by probe seed."""
        parts, found = list[np.ndarray](), list[np.ndarray]()
        for quadrant in np.unique(self.quadrants):
            inside = self.quadrants == quadrant
            own = correct[inside].reshape(int(inside.sum()), -1)
            parts.append(self._texts[:, inside] @ own / len(own))
            found.append(own.mean(axis=0))
        by_seed = np.min(found, axis=0).reshape(correct.shape[1:]).mean(axis=1)
        resampled = self._over_seeds(np.min(parts, axis=0), correct)
        return _between(float(by_seed.mean()), resampled), tuple(by_seed.tolist())

    def scr(self, ablated: Correct, biased: Correct, oracle: Correct) -> Estimate:
        """Of mean accuracies over seeds; without a figure where the oracle is no better than the biased classifier."""
        score = removal_score(*(float(one.mean()) for one in (ablated, biased, oracle)))
        return self._in_gap(score, self.shares(ablated) - self.shares(biased), biased, oracle)

    def is_dead(self, biased: Correct, oracle: Correct) -> bool:
        """Whether there is no way to go: the oracle is no better than the biased classifier, or cannot be told to be.

        A share of a way that may as well be none is no figure: it would be divided by noise.
        """
        return float(np.quantile(self.shares(oracle) - self.shares(biased), _LOW)) < LEAST_GAP

    def difference(
        self, one: Correct, other: Correct, biased: Correct, oracle: Correct
    ) -> tuple[Estimate, float | None]:
        """SCR of one less that of another, on the same resamples, and how probable it is to lie on either side of 0."""
        gap = float(oracle.mean() - biased.mean())
        value = float(one.mean() - other.mean()) / gap if gap >= LEAST_GAP else None
        apart = self.shares(one) - self.shares(other)
        found = self._in_gap(value, apart, biased, oracle)
        return found, None if found.value is None else two_sided(apart)

    def difference_between(
        self, one: tuple[Correct, Correct, Correct], other: tuple[Correct, Correct, Correct]
    ) -> tuple[Estimate, float | None]:
        """The same where each has classifiers of its own, and a way to go: what is left, biased and oracle of either."""
        scores: list[tuple[float, np.ndarray]] = []
        for ablated, biased, oracle in (one, other):
            gaps = self.shares(oracle) - self.shares(biased)
            resampled = (self.shares(ablated) - self.shares(biased)) / np.where(gaps >= LEAST_GAP, gaps, np.nan)
            scores.append((float((ablated.mean() - biased.mean()) / (oracle.mean() - biased.mean())), resampled))
        value, apart = scores[0][0] - scores[1][0], scores[0][1] - scores[1][1]
        apart = apart[~np.isnan(apart)]
        return _between(value, apart), two_sided(apart)

    def _in_gap(self, value: float | None, apart: np.ndarray, biased: Correct, oracle: Correct) -> Estimate:
        if value is None or self.is_dead(biased, oracle):
            return Estimate(value=None)
        gaps = self.shares(oracle) - self.shares(biased)
        there = gaps >= LEAST_GAP
        return _between(value, apart[there] / gaps[there])

    def _over_seeds(self, sums: Float[np.ndarray, "resamples columns"], correct: Correct) -> np.ndarray:
        """Columns are seeds by draws; each resample has its own of both."""
        _, seeds, draws = correct.shape
        over_draws = _draw_again(draws, np.random.default_rng([self.seed, 2]))
        return np.einsum("rsd,rs,rd->r", sums.reshape(-1, seeds, draws), self._seeds, over_draws)


def two_sided(resampled: Float[np.ndarray, " resamples"]) -> float:
    """Twice the smaller share of resamples on either side of 0, never quite 0; 1 where nothing differs."""
    beyond = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
    return min(1.0, 2 * (beyond + 1) / (len(resampled) + 1))


def correct_together(ps: Sequence[float | None]) -> list[float | None]:
    """By Holm's method, of those that there are; `statsmodels` has it too, and collects all garbage at each call."""
    there = np.array([p for p in ps if p is not None])
    order = np.argsort(there, kind="stable")
    stepped = np.maximum.accumulate(there[order] * np.arange(len(there), 0, -1)).clip(max=1.0)
    corrected = iter(stepped[np.argsort(order, kind="stable")].tolist())
    return [None if p is None else next(corrected) for p in ps]


def _draw_again(n: int, rng: np.random.Generator) -> Float[np.ndarray, "resamples n"]:
    """Weights of n things in each resample, which add up to 1."""
    if n == 1:
        return np.ones((RESAMPLES, 1))
    return rng.multinomial(n - 1, np.full(n, 1 / n), size=RESAMPLES) / (n - 1)


def _between(value: float, resampled: Float[np.ndarray, " resamples"]) -> Estimate:
    low, high = np.quantile(resampled, (_LOW, _HIGH))
    return Estimate(value=value, low=float(low), high=float(high), method="percentile")
