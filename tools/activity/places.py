"""Whether a feature answers to a place rather than to text: to the beginning of a row, or of a document.

A row of text is cut anywhere, so that its first tokens have nothing in common but that little stands before them. A
feature that is active at hardly anything else has no meaning that a label could name.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tools.records import LEAST_ACTIVE, PositionEvidence
from tools.study.corpus import TokenRows

FIRST = 2
"""Tokens of a row that count as its beginning, BOS aside."""
WORTH_SAYING = 0.8
"""Share of the activation below which nothing is said of places, nor where only a handful of tokens have it."""


def describe_position(rows: TokenRows, values: Float[np.ndarray, "rows width"]) -> PositionEvidence | None:
    """How much of a feature's activation lies at the beginnings of rows, and of texts; None for less than most of it.

    Shares are of activation mass, the sum over tokens; shares of tokens stand beside them.
    """
    total = float(values.sum())
    early = slice(1, 1 + FIRST)
    share = float(values[:, early].sum()) / total if total > 0 else 0.0
    active = int((values[:, early] > 0).sum())
    if share < WORTH_SAYING or active < LEAST_ACTIVE:
        return None
    n_real = int(rows.real.sum())
    opening, opening_tokens = None, None
    if rows.opens is not None:
        opening = float(values[rows.opens, early].sum()) / total
        opening_tokens = float(rows.real[rows.opens, early].sum()) / n_real
    return PositionEvidence(
        first=FIRST,
        share=share,
        token_share=float(rows.real[:, early].sum()) / n_real,
        active=active,
        opening_share=opening,
        opening_token_share=opening_tokens,
        occurrences=active / int((values > 0).sum()),
    )
