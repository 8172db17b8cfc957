"""Directions planted for known concepts, beside placebos that look like them and mean nothing.

A concept's direction is the difference of mean residuals at tokens where it is present and where it is not. Placebos are made
in the same way from shuffled labels, or drawn at random. Residuals are long in few directions, and some of these tell a
concept: what a placebo has of the concepts' own directions is taken out, and one that tells any of them all the same is drawn
again. Each direction fires where the projection on it exceeds a threshold, at as many training tokens as its concept has.
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
Kind = Literal["concept", "shuffled", "random"]


class Planted(NamedTuple):
    """Directions with their thresholds, in the order: all concepts, all with shuffled labels, all random."""

    names: tuple[str, ...]
    """Of the concept that a direction is of, or that it is a placebo of."""
    kinds: tuple[Kind, ...]
    directions: Float[np.ndarray, "m d"]
    """Of unit length."""
    thresholds: Float[np.ndarray, " m"]

    def activations(self, residuals: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n m"]:
        """By how much projections exceed the thresholds; 0 where they do not."""
        return np.maximum(residuals @ self.directions.T - self.thresholds, 0)


def plant(
    residuals: Float[np.ndarray, "n d"],
    concepts: Mapping[str, Bool[np.ndarray, " n"]],
    documents: Int64[np.ndarray, " n"],
    seed: int = 0,
) -> Planted:
    """A direction for each concept, and two placebos.

    Args:
        residuals: at the tokens of the training split, attention sinks left out.
        concepts: at which tokens each is present.
        documents: which document each token is of.
        seed: of labels and directions.

    Raises:
        ValueError: a concept is present at all tokens or at none, or cannot be shuffled; or no placebo is found for it.
    """
    rng = np.random.default_rng(seed)
    d = residuals.shape[1]
    means = [difference_of_means(residuals, labels, name) for name, labels in concepts.items()]
    draws: list[Callable[[np.ndarray, str], np.ndarray]] = [
        lambda labels, name: difference_of_means(residuals, shuffle_labels(labels, documents, rng, name), name),
        lambda labels, name: rng.standard_normal(d),
    ]
    placebos = [
        _find_placebo(partial(draw, labels, name), residuals, labels.mean(), concepts, np.stack(means))
        for draw in draws
        for name, labels in concepts.items()
    ]
    found = [(row, _cut(residuals @ row, of.mean())) for row, of in zip(means, concepts.values(), strict=True)]
    directions, thresholds = zip(*found, *placebos, strict=True)
    kinds = [kind for kind in get_args(Kind) for _ in concepts]
    return Planted(tuple(concepts) * 3, tuple(kinds), np.stack(directions), np.array(thresholds))


def _find_placebo(
    draw: Callable[[], Float[np.ndarray, " d"]],
    residuals: Float[np.ndarray, "n d"],
    share: float,
    concepts: Mapping[str, Bool[np.ndarray, " n"]],
    means: Float[np.ndarray, "m d"],
) -> tuple[Float[np.ndarray, " d"], float]:
    """A direction apart from those of the concepts, and its threshold."""
    own = np.linalg.qr(means.T)[0]
    for _ in range(_TRIES):
        drawn = draw()
        direction = drawn - own @ (own.T @ drawn)
        direction /= np.linalg.norm(direction) or 1.0
        projections = residuals @ direction
        threshold = _cut(projections, share)
        if all(abs(_agreement(projections > threshold, labels)) <= MOST_AGREEMENT for labels in concepts.values()):
            return direction, threshold
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
