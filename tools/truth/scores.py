"""What is predicted of every variable against the truth: by variable, by example, with intervals over transcripts.

Whatever says of each variable whether it is true is a predictor: the detectors that coverage chose, the assertions of
high-precision features, linear probes. All are measured here, several in one pass. Counts are kept by transcript, since
positions of one are anything but independent: whole transcripts are drawn again for an interval, from those counts alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64, Real

from tools.maths import Interval
from tools.truth.counts import f1_of
from tools.truth.examples import Stream, read

Predict = Callable[[Float[np.ndarray, "n d"]], Bool[np.ndarray, "n g"]]
RESAMPLES = 2000
_AT_ONCE = 100


class Estimate(NamedTuple):
    """A figure with its 95 % interval over transcripts."""

    value: float
    interval: Interval


class Scores(NamedTuple):
    """Of a predictor, by transcript."""

    variables: Int64[np.ndarray, "games g 3"]
    """Examples at which a variable is asserted and true, is asserted, is true."""
    boards: Float[np.ndarray, "games 2"]
    """Sum over examples of the F1 of all that is asserted of one, and the number of examples."""

    def by_variable(self) -> Float[np.ndarray, " g"]:
        """F1 for each variable over all examples; nan for variables that are true of all examples or of none."""
        hits, said, true = self.variables.sum(axis=0).T
        return np.where((true > 0) & (true < self.boards[:, 1].sum()), f1_of(hits, said, true), np.nan)

    @property
    def mean_f1(self) -> float:
        """`reconstruction` without its interval."""
        total, examples = self.boards.sum(axis=0)
        return float(total / examples)

    def coverage(self, seed: int = 0) -> Estimate:
        """Mean of `by_variable`, over those that vary; nan where none does.

        A variable that drawn transcripts have no example of counts with its F1 over all, or rare ones would leave the mean of
        just the draws that are hard on them.
        """
        games, g, _ = self.variables.shape
        overall = self.by_variable()
        varying = ~np.isnan(overall)
        if not varying.any():
            return Estimate(np.nan, Interval(np.nan, np.nan))

        def mean(sums: Float[np.ndarray, "r k"]) -> Float[np.ndarray, " r"]:
            hits, said, true = np.moveaxis(sums.reshape(-1, g, 3)[:, varying], -1, 0)
            return np.where(true > 0, f1_of(hits, said, true), overall[varying]).mean(axis=1)

        return bootstrap(self.variables.reshape(games, -1), mean, seed)

    def reconstruction(self, seed: int = 0) -> Estimate:
        """F1 of the variables that are asserted of an example, averaged over examples: the published figure."""
        return bootstrap(self.boards, lambda sums: sums[:, 0] / sums[:, 1], seed)

    def pooled(self, seed: int = 0) -> Estimate:
        """F1 over all examples and variables together."""
        return bootstrap(self.variables.sum(axis=1), lambda sums: f1_of(*sums.T), seed)


def measure(stream: Stream, predictors: Sequence[Predict]) -> list[Scores]:
    """Measure predictors on a split, all in one pass.

    Raises:
        ValueError: there is no example.
    """
    games: list[np.ndarray] = []
    parts: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in predictors]
    for chunk in read(stream):
        found, which = np.unique(chunk.games, return_inverse=True)
        games.append(found)
        for predict, part in zip(predictors, parts, strict=True):
            part.append(_score(predict(chunk.activations), chunk.truths, which, len(found)))
    _, which = np.unique(np.concatenate(games), return_inverse=True)
    return [
        Scores(*(_sum_by(np.concatenate(of), which, int(which.max()) + 1) for of in zip(*part, strict=True)))
        for part in parts
    ]


def bootstrap(
    by_game: Real[np.ndarray, "games k"],
    statistic: Callable[[Float[np.ndarray, "r k"]], Float[np.ndarray, " r"]],
    seed: int = 0,
) -> Estimate:
    """A statistic of sums over transcripts, and its percentile interval over transcripts drawn with replacement.

    Args:
        by_game: sums of each transcript. Two predictors' side by side give the interval of their difference, paired.
        statistic: from sums [r, k] to a figure each.
        seed: of the draws.
    """
    rng, n = np.random.default_rng(seed), len(by_game)
    drawn: list[np.ndarray] = []
    for _ in range(RESAMPLES // _AT_ONCE):
        weights = rng.multinomial(n, np.full(n, 1 / n), size=_AT_ONCE)
        drawn.append(statistic(weights.astype(np.float64) @ by_game))
    low, high = np.nanquantile(np.concatenate(drawn), (0.025, 0.975))
    return Estimate(float(statistic(by_game.sum(axis=0, dtype=np.float64)[None])[0]), Interval(float(low), float(high)))


def _score(
    said: Bool[np.ndarray, "n g"], truths: Bool[np.ndarray, "n g"], which: Int64[np.ndarray, " n"], games: int
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of one chunk, by its transcripts: [games, g, 3] and [games, 2]."""
    right = said & truths
    variables = np.stack([_sum_by(of, which, games) for of in (right, said, truths)], axis=-1)
    n_said, n_true = said.sum(axis=1), truths.sum(axis=1)
    f1 = f1_of(right.sum(axis=1), n_said, n_true)
    f1[(n_said == 0) & (n_true == 0)] = 1.0  # nothing is true, and nothing is said to be
    boards = np.stack([f1, np.ones(len(f1))], axis=-1)
    return variables, _sum_by(boards, which, games)


def _sum_by(values: np.ndarray, which: Int64[np.ndarray, " n"], groups: int) -> np.ndarray:
    """Sums over the first axis, by group."""
    kind = np.float64 if values.dtype.kind == "f" else np.int64
    sums = np.zeros((groups, *values.shape[1:]), dtype=kind)
    order = np.argsort(which, kind="stable")
    firsts = np.flatnonzero(np.diff(which[order], prepend=-1))
    sums[which[order][firsts]] = np.add.reduceat(values[order], firsts, axis=0, dtype=kind)
    return sums
