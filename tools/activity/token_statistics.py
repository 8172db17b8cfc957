"""At which tokens a feature is active, counted: what ten contexts only suggest, a few shares settle.

Mass is activation summed over tokens: it weighs a token by how strongly the feature is active there, and says what the
feature is for most of all; occurrences weigh every active token alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from tools.activity.recurrence import RecurrenceNull
from tools.records import TokenShare, TokenStatistics

LISTED = 12
"""Tokens listed at most."""


def count_tokens(
    tokens: Int64[np.ndarray, "rows width"],
    real: Bool[np.ndarray, "rows width"],
    values: Float[np.ndarray, "rows width"],
    token_strings: Sequence[str],
    listed: int = LISTED,
    null: RecurrenceNull | None = None,
) -> TokenStatistics | None:
    """Statistics of the tokens at which a feature is active, and of the tokens before them; None if it never is.

    Args:
        tokens: the corpus; position 0 of each row opens it and is no text.
        real: positions that hold text.
        values: activations of the feature, 0 where it is silent.
        token_strings: text of every token id, the leading space kept.
        listed: tokens named at most, those with the most mass first, of equal mass the lower id.
        null: of random readings of the same text, which recurrence is held against; None: it is not measured.
    """
    active = (values > 0) & real
    if not active.any():
        return None
    size = len(token_strings)
    names = [*token_strings, START]
    before = _previous(tokens, real, size)
    strengths = values[active].astype(np.float64)
    at, after = (
        _counts(tokens[active], strengths, tokens[real], size),
        _counts(before[active], strengths, before[real], size),
    )
    recurs = null.measure(active[real]) if null else None
    return TokenStatistics(
        n_active=int(active.sum()),
        different=int((at.active > 0).sum()),
        tokens=_list(at, names, listed),
        different_before=int((after.active > 0).sum()),
        before=_list(after, names, listed),
        recurrence=recurs.share if recurs else None,
        usual_recurrence=recurs.usual if recurs else None,
        recurrence_null_share=recurs.null_share if recurs else None,
    )


START = ""
"""Stands for the start of a row in the list of tokens before."""


class _Counts(NamedTuple):
    """Of each token id; the last one stands for the start of a row."""

    mass: Float[np.ndarray, " ids"]
    active: Int64[np.ndarray, " ids"]
    all: Int64[np.ndarray, " ids"]


def _previous(
    tokens: Int64[np.ndarray, "rows width"], real: Bool[np.ndarray, "rows width"], start: int
) -> Int64[np.ndarray, "rows width"]:
    """The token before each position; `start` where no text stands before."""
    before = np.full_like(tokens, start)
    before[:, 1:] = np.where(real[:, :-1], tokens[:, :-1], start)
    return before


def _counts(
    ids: Int64[np.ndarray, " active"],
    strengths: Float[np.ndarray, " active"],
    everywhere: Int64[np.ndarray, " real"],
    size: int,
) -> _Counts:
    return _Counts(
        np.bincount(ids, strengths, size + 1),
        np.bincount(ids, minlength=size + 1),
        np.bincount(everywhere, minlength=size + 1),
    )


def _list(counts: _Counts, names: Sequence[str], listed: int) -> tuple[TokenShare, ...]:
    mass, n = counts.mass.sum(), counts.active.sum()
    return tuple(
        TokenShare(
            token=names[token],
            mass=float(counts.mass[token] / mass),
            occurrences=float(counts.active[token] / n),
            active_share=float(counts.active[token] / counts.all[token]),
        )
        for token in map(int, np.argsort(-counts.mass, kind="stable")[:listed])
        if counts.active[token]
    )
