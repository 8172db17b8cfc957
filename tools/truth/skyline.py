"""Skylines: what linear probes read of every variable from the residual stream, which no SAE on it can be asked to exceed by far.

`fit_ridge` goes through examples in a stream and fits all variables at once, by least squares. `fit_logistic` is the probe of
`tools.probes`, a variable at a time on as many examples as are held in memory: better where classes are far apart, and slow.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from tools.probes.probe import train_probe
from tools.truth.counts import f1_of
from tools.truth.examples import Chunk, Stream, read

PENALTIES = tuple(10.0**power for power in range(-6, 2))
"""Of least squares, as shares of the inputs' mean variance."""
_CUTS = np.linspace(-0.25, 1.25, 61)
"""Above which a variable is said to be true; its values are 0 and 1."""


class Linear(NamedTuple):
    """A linear classifier for each variable."""

    weights: Float[np.ndarray, "d g"]
    biases: Float[np.ndarray, " g"]

    def predict(self, activations: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, "n g"]:
        """Which variables each input is said to have."""
        return activations.astype(np.float64) @ self.weights + self.biases > 0


def fit_ridge(train: Stream, development: Stream) -> Linear:
    """Least squares with a penalty; penalty and cut of each variable are those of the highest F1 on the development split.

    Raises:
        ValueError: a split has no example.
    """
    solutions = _solve(train)
    hits, said = np.zeros((2, *solutions.shape[::2], len(_CUTS)), dtype=np.int64)
    true: np.ndarray | int = 0
    for chunk in read(development):
        values = _with_one(chunk.activations) @ solutions
        passed = (values[..., None] > _CUTS).transpose(1, 0, 2, 3)  # examples, penalties, variables, cuts
        said += passed.sum(axis=0)
        hits += np.einsum("npgc,ng->pgc", passed, chunk.truths, dtype=np.int64, casting="unsafe")
        true = true + chunk.truths.sum(axis=0)
    f1 = f1_of(hits, said, np.asarray(true)[None, :, None])
    best = f1.max(axis=2).argmax(axis=0)
    columns = np.arange(solutions.shape[2])
    chosen = solutions[best, :, columns].T
    return Linear(chosen[:-1], chosen[-1] - _CUTS[f1[best, columns].argmax(axis=1)])


def _solve(train: Stream) -> Float[np.ndarray, "penalties inputs g"]:
    """Weights, and the bias as one more, under each penalty; the bias is not held back."""
    squares = products = np.float64(0)
    for chunk in read(train):
        inputs = _with_one(chunk.activations)
        squares = squares + inputs.T @ inputs
        products = products + inputs.T @ chunk.truths.astype(np.float64)
    moments = np.asarray(squares)
    n, d = moments[-1, -1], len(moments) - 1
    mean = moments[-1, :-1] / n
    covariance, crossed = moments[:-1, :-1] / n - np.outer(mean, mean), np.asarray(products) / n
    centred = crossed[:-1] - np.outer(mean, crossed[-1])
    variance = float(np.trace(covariance)) / d or 1.0
    weights = [np.linalg.solve(covariance + share * variance * np.eye(d), centred) for share in PENALTIES]
    return np.stack([np.concatenate([w, (crossed[-1] - mean @ w)[None]]) for w in weights])


def _with_one(activations: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n inputs"]:
    return np.concatenate([activations.astype(np.float64), np.ones((len(activations), 1))], axis=1)


def fit_logistic(train: Stream, development: Stream, examples: int = 4000) -> Linear:
    """Logistic regression, a variable at a time; one that does not vary there is never said to be true.

    Args:
        train: to learn from.
        development: to choose penalties by.
        examples: of each split, spread evenly over it.

    Raises:
        ValueError: a split has no example.
    """
    inputs, truths = _spread(train, examples)
    held, held_truths = _spread(development, examples)
    weights, biases = np.zeros((inputs.shape[1], truths.shape[1])), np.full(truths.shape[1], -1.0)
    for g in np.flatnonzero(truths.any(axis=0) & ~truths.all(axis=0)):
        probe = train_probe(inputs, truths[:, g].astype(np.int64), held, held_truths[:, g].astype(np.int64))
        weights[:, g], biases[g] = probe.weights, probe.bias
    return Linear(weights, biases)


def _spread(stream: Stream, examples: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and truths of so many examples, evenly spaced over the stream."""
    n = sum(len(chunk.truths) for chunk in read(stream))
    wanted = np.unique(np.linspace(0, n - 1, min(n, examples)).astype(np.int64))
    taken: list[Chunk] = []
    start = 0
    for chunk in read(stream):
        here = wanted[(wanted >= start) & (wanted < start + len(chunk.truths))] - start
        taken.append(Chunk(chunk.activations[here], chunk.truths[here], chunk.games[here], chunk.positions[here]))
        start += len(chunk.truths)
    return np.concatenate([one.activations for one in taken]), np.concatenate([one.truths for one in taken])
