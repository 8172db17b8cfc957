"""Directions planted for known concepts, beside placebos that look like them and mean nothing.

A concept's direction is the difference of mean residuals at tokens where it is present and where it is not. Residuals are long
in few directions, which would drown it: so it is read by the difference in units of what residuals vary by (a linear
discriminant), and written as it is. Placebos are made in the same way from shuffled labels, or drawn at random; what would
make them read a concept is taken out, and one that tells any all the same is drawn again. Each fires where its reading exceeds
a threshold, at as many training tokens as its concept has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float, Int64

MOST_AGREEMENT = 0.3
"""Correlation, either way, that shuffled labels may have with the true ones, and the firing of a placebo with any concept."""
_TRIES = 20
_RAISED = 1e-3
_NOTHING_LEFT = 1e-6
Kind = Literal["concept", "shuffled", "random"]


class Planted(NamedTuple):
    """Directions with their thresholds, in the order: all concepts, all with shuffled labels, all random."""

    names: tuple[str, ...]
    """Of the concept that a direction is of, or that it is a placebo of."""
    kinds: tuple[Kind, ...]
    directions: Float[np.ndarray, "m d"]
    """What is written: of unit length."""
    readers: Float[np.ndarray, "m d"]
    """What residuals are projected on; one more of a direction is read as one more."""
    thresholds: Float[np.ndarray, " m"]

    def activations(self, residuals: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n m"]:
        """By how much readings exceed the thresholds; 0 where they do not."""
        return np.maximum(residuals @ self.readers.T - self.thresholds, 0)


class _Feature(NamedTuple):
    direction: Float[np.ndarray, " d"]
    reader: Float[np.ndarray, " d"]
    threshold: float


def plant(
    residuals: Float[np.ndarray, "n d"],
    concepts: Mapping[str, Bool[np.ndarray, " n"]],
    documents: Int64[np.ndarray, " n"],
    seed: int = 0,
    whitened: bool = True,
) -> Planted:
    """A direction for each concept, and two placebos.

    Args:
        residuals: at the tokens of the training split, attention sinks left out.
        concepts: at which tokens each is present.
        documents: which document each token is of.
        seed: of labels and directions.
        whitened: read in units of what residuals vary by; otherwise by the very direction that is written.

    Raises:
        ValueError: a concept is present at all tokens or at none, or cannot be shuffled; or no placebo is found for it.
    """
    rng = np.random.default_rng(seed)
    d = residuals.shape[1]
    metric = _measure_metric(residuals) if whitened else np.eye(d)
    found = [
        _make(difference_of_means(residuals, labels, name), residuals, float(labels.mean()), metric)
        for name, labels in concepts.items()
    ]
    draws: list[Callable[[np.ndarray, str], np.ndarray]] = [
        lambda labels, name: difference_of_means(residuals, shuffle_labels(labels, documents, rng, name), name),
        lambda labels, name: rng.standard_normal(d),
    ]
    apart = np.linalg.qr(np.stack([feature.reader for feature in found]).T)[0]
    for draw in draws:
        for name, labels in concepts.items():
            make = partial(_make, residuals=residuals, share=float(labels.mean()), metric=metric)
            found.append(_find_placebo(partial(draw, labels, name), make, residuals, concepts, apart))
    kinds = [kind for kind in get_args(Kind) for _ in concepts]
    directions, readers, thresholds = map(np.stack, zip(*found, strict=True))
    return Planted(tuple(concepts) * 3, tuple(kinds), directions, readers, thresholds)


def _measure_metric(residuals: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "d d"]:
    """The inverse of the covariance, each direction's variance raised by a share of their mean."""
    covariance = np.cov(residuals, rowvar=False, dtype=np.float64).reshape(residuals.shape[1], -1)
    spread = np.trace(covariance) / len(covariance)
    return np.linalg.inv(covariance + _RAISED * (spread or 1.0) * np.eye(len(covariance)))


def _make(
    direction: Float[np.ndarray, " d"],
    residuals: Float[np.ndarray, "n d"],
    share: float,
    metric: Float[np.ndarray, "d d"],
) -> _Feature:
    reader = metric @ direction
    reader /= float(reader @ direction)
    return _Feature(direction, reader, _cut(residuals @ reader, share))


def _find_placebo(
    draw: Callable[[], Float[np.ndarray, " d"]],
    make: Callable[[Float[np.ndarray, " d"]], _Feature],
    residuals: Float[np.ndarray, "n d"],
    concepts: Mapping[str, Bool[np.ndarray, " n"]],
    apart: Float[np.ndarray, "d m"],
) -> _Feature:
    """What reads none of the concepts: its direction is at right angles to `apart`, by which they are read."""
    for _ in range(_TRIES):
        drawn = draw()
        left = drawn - apart @ (apart.T @ drawn)
        length = float(np.linalg.norm(left))
        if length < _NOTHING_LEFT * float(np.linalg.norm(drawn)):
            continue
        feature = make(left / length)
        fires = residuals @ feature.reader > feature.threshold
        if all(abs(_agreement(fires, labels)) <= MOST_AGREEMENT for labels in concepts.values()):
            return feature
    raise ValueError(f"of {_TRIES} directions drawn as placebos each tells one of the concepts")


def difference_of_means(
    residuals: Float[np.ndarray, "n d"], labels: Bool[np.ndarray, " n"], name: str = "the concept"
) -> Float[np.ndarray, " d"]:
    """From the mean where the labels are false to the mean where they are true, of unit length.

    Raises:
        ValueError: they are all the same, or the two means are.
    """
    if labels.all() or not labels.any():
        raise ValueError(f"{name} is present at {'all' if labels.all() else 'none'} of the tokens")
    apart = residuals[labels].mean(axis=0, dtype=np.float64) - residuals[~labels].mean(axis=0, dtype=np.float64)
    length = np.linalg.norm(apart)
    if length == 0:
        raise ValueError(f"{name} has one mean where it is present and where it is not")
    return apart / length


def shuffle_labels(
    labels: Bool[np.ndarray, " n"],
    documents: Int64[np.ndarray, " n"],
    rng: np.random.Generator,
    name: str = "the concept",
) -> Bool[np.ndarray, " n"]:
    """Labels in another order, each document keeping as many as it has.

    Those of a concept that is present throughout most documents that it is in, as a topic is, would stay nearly as they are:
    then each document gets the share of labels that another one has.

    Raises:
        ValueError: however they are shuffled they still tell whether the concept is present, or absent.
    """
    _, which, lengths = np.unique(documents, return_inverse=True, return_counts=True)
    present = np.bincount(which, weights=labels)
    order = np.argsort(which, kind="stable")
    for exchange in (False, True):
        for _ in range(_TRIES):
            shares = present / lengths
            wanted = np.rint((rng.permutation(shares) if exchange else shares) * lengths)
            shuffled = np.zeros_like(labels)
            shuffled[np.lexsort((rng.random(len(labels)), which))] = (
                _place_in_document(which[order]) < wanted[which[order]]
            )
            if abs(_agreement(shuffled, labels)) <= MOST_AGREEMENT:
                return shuffled
    raise ValueError(f"labels of {name} cannot be shuffled: in any order they tell where it is present")


def _place_in_document(which: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """How many of the same document come before, where documents stand one after another."""
    firsts = np.flatnonzero(np.diff(which, prepend=-1))
    return np.arange(len(which)) - np.repeat(firsts, np.diff(firsts, append=len(which)))


def _agreement(one: Bool[np.ndarray, " n"], other: Bool[np.ndarray, " n"]) -> float:
    """Correlation of two labellings; 1 where one is all the same, and tells nothing."""
    spread = float(one.std() * other.std())
    return float((one & other).mean() - one.mean() * other.mean()) / spread if spread else 1.0


def _cut(projections: Float[np.ndarray, " n"], share: float) -> float:
    """What so large a share of the projections exceeds."""
    ordered = np.sort(projections)
    return float(ordered[len(ordered) - 1 - round(share * len(ordered))])
