"""Held-out text in which every feature has a word of its own, so that the right answers are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evals.scoring.subjects import Subject, find_subjects
from tests.evals.worlds import decide
from tools.activity.heldout import HeldOut
from tools.records import Context, Stratum
from tools.survey.coherence import WordVectors, make_vectors

FILLER = (" the", " ship", " was", " late", ",", " and", " the", " har", "bour", " empty", ".")


def word(index: int) -> str:
    """The word at which feature number `index` is active: letters only, and a part of no other's."""
    return f"topic{chr(97 + index // 26)}{chr(97 + index % 26)}x"


def context(index: int | None, place: int = 3, document: str = "d", quantile: int | None = None) -> Context:
    """A text with a feature's word and activation at a place, or without."""
    tokens = list(FILLER)
    if index is not None:
        tokens[place] = f" {word(index)}"
    active = [2.0 * (index is not None and at == place) for at in range(len(tokens))]
    return Context(
        document=document,
        tokens=tuple(tokens),
        activations=tuple(active),
        max_activation=max(active),
        quantile=quantile,
    )


def held_out(index: int, n: int = 5, kind: str = "feature") -> HeldOut:
    """Feature number `index`, with `n` contexts of each kind."""
    feature = decide(index, "no", stratum="random directions" if kind != "feature" else "candidates").feature
    return HeldOut(
        feature=feature,
        stretches=1000,
        active_stretches=2 * n,
        tokens=10_000,
        active_tokens=2 * n,
        active=tuple(context(index, 1 + i % 9, f"a{i}", 1 + i) for i in range(n)),
        further=tuple(context(index, 1 + i % 9, f"f{i}", 1 + i) for i in range(n)),
        random=tuple(context(None, document=f"r{i}") for i in range(n)),
        near_misses=tuple(context(None, document=f"m{i}") for i in range(n)),
        neighbour=tuple(context(None, document=f"n{i}") for i in range(n)),
    )


def subjects(n: int, n_random: int = 0) -> list[Subject]:
    """Features whose labels are their words, then random directions."""
    kinds: Sequence[tuple[Stratum, str]] = [("candidates", "feature")] * n + [
        ("random directions", "random_direction")
    ] * n_random
    decisions = [
        decide(index, "yes", stratum=stratum).model_copy(update={"label": word(index)})
        for index, (stratum, _) in enumerate(kinds)
    ]
    found, others = find_subjects(decisions, [held_out(i, kind=kind) for i, (_, kind) in enumerate(kinds)], seed=0)
    assert not others
    return found


def vectors(n: int) -> WordVectors:
    """Vectors of the features' words and the text's, no two alike; the frequent words come first and are none of them."""
    words = [f"zz{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(150)]
    words += ["ship", "late", "harbour", "empty", *(word(i) for i in range(n))]
    return make_vectors(words, np.eye(len(words), dtype=np.float32))
