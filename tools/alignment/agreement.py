"""How far two scorers agree on a text: over all features that both have scored, and at the top."""

from __future__ import annotations

from typing import Any

import numpy as np

from tools.alignment.scores import FeatureScores
from tools.errors import UnveilError
from tools.records import Record

TOP = 100


class Agreement(Record):
    """Of two scorers."""

    n: int
    """Features scored by both."""
    spearman: float | None
    """Rank correlation of their scores; None where one of them gives all features the same."""
    top: int
    """Best features of each that are compared."""
    overlap: int
    """Features among the best of both."""
    by_chance: float
    """As many would be by chance: top squared by n."""
    chance_share: float
    """How often chance has at least as many in common (hypergeometric)."""

    @property
    def sentence(self) -> str:
        """For the console."""
        rho = "no rank correlation" if self.spearman is None else f"rank correlation {self.spearman:.2f}"
        return (
            f"the two scorers: {rho} over {self.n:,} features that both score; {self.overlap} of their best {self.top} "
            f"are the same, {self.by_chance:.1f} by chance (p {self.chance_share:.2g})"
        )


def agree(first: FeatureScores, second: FeatureScores, top: int = TOP) -> Agreement:
    """Compare two scorers of the same features.

    Args:
        first: of one scorer.
        second: of the other.
        top: best features compared, no more than half of those scored by both.

    Raises:
        UnveilError: they are of different SAEs, or fewer than two features have both scores.
    """
    from scipy.stats import hypergeom, spearmanr  # their library takes a second to import

    if len(first.score) != len(second.score):
        raise UnveilError(f"scores of {len(first.score)} and of {len(second.score)} features are of different SAEs")
    both = first.scored & second.scored
    n = int(both.sum())
    if n < 2:
        raise UnveilError(f"{n} features are scored by both scorers: they cannot be compared")
    top = max(1, min(top, n // 2))
    best = [set(ranked[both[ranked]][:top].tolist()) for ranked in (first.ranking(), second.ranking())]
    overlap = len(best[0] & best[1])
    pair = first.score[both], second.score[both]
    level = any(np.ptp(values) == 0 for values in pair)
    correlation: Any = None if level else spearmanr(*pair)
    return Agreement(
        n=n,
        spearman=None if correlation is None else float(correlation.statistic),
        top=top,
        overlap=overlap,
        by_chance=top * top / n,
        chance_share=float(hypergeom.sf(overlap - 1, n, top, top)),
    )
