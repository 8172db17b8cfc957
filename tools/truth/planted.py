"""Directions planted for known concepts, beside placebos that look like them and mean nothing.

A concept's direction is the difference of mean residuals at tokens where it is present and where it is not. Placebos are made
in the same way from shuffled labels, or drawn at random. Each fires where the projection on it exceeds a threshold, set so
that it fires at as many training tokens as its concept has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float, Int64

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
        ValueError: a concept is present at all tokens or at none, or cannot be shuffled.
    """
    rng = np.random.default_rng(seed)
    means = [difference_of_means(residuals, labels, name) for name, labels in concepts.items()]
    placebos = [
        difference_of_means(residuals, shuffle_labels(labels, documents, rng, name), name)
        for name, labels in concepts.items()
    ]
    random = [row / np.linalg.norm(row) for row in rng.standard_normal((len(concepts), residuals.shape[1]))]
    directions = np.stack([*means, *placebos, *random])
    shares = [float(labels.mean()) for labels in concepts.values()] * 3
    thresholds = [_cut(residuals @ row, share) for row, share in zip(directions, shares, strict=True)]
    n = len(concepts)
    kinds = [kind for kind in get_args(Kind) for _ in range(n)]
    return Planted(tuple(concepts) * 3, tuple(kinds), directions, np.array(thresholds))


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

    Those of a concept that is present throughout a document or nowhere in it, as a topic is, would stay as they are: whole
    documents exchange them.

    Raises:
        ValueError: there is only one document to exchange with.
    """
    _, which = np.unique(documents, return_inverse=True)
    order = np.argsort(which, kind="stable")
    shuffled = labels.copy()
    shuffled[order] = labels[np.lexsort((rng.random(len(labels)), which))]
    if (shuffled != labels).any():
        return shuffled
    firsts = np.unique(which, return_index=True)[1]
    of_document = labels[firsts]
    if of_document.all() or not of_document.any():
        raise ValueError(f"labels of {name} are the same in every order")
    exchanged = of_document
    while (exchanged == of_document).all():
        exchanged = rng.permutation(of_document)
    return exchanged[which]


def _cut(projections: Float[np.ndarray, " n"], share: float) -> float:
    """What so large a share of the projections exceeds."""
    ordered = np.sort(projections)
    return float(ordered[len(ordered) - 1 - round(share * len(ordered))])
