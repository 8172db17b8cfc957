"""Scores of every feature for a text, and what makes them fit to rank by: none of them is ever no number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int64

from tools.errors import UnveilError

Scorer = Literal["contrast", "reference"]


@dataclass(frozen=True, eq=False)
class FeatureScores:
    """How much each feature stands for a text.

    A feature that is active nowhere in what was measured has no score: it holds 0, is not `scored`, and is in no ranking.

    Raises:
        UnveilError: when one is made of scores outside [0, 1] or of anything that is no finite number.
    """

    scorer: Scorer
    score: Float[np.ndarray, " d_sae"]
    """In [0, 1]; 0 where there is none."""
    scored: Bool[np.ndarray, " d_sae"]
    statistic: Float[np.ndarray, " d_sae"]
    """`contrast`: the standardised difference. `reference`: the mean squared distance, small for what is like the target."""
    p: Float[np.ndarray, " d_sae"] | None = None
    """One-sided, under the permutation null; 1 where there is no score. None for `reference`, which has no null."""
    q: Float[np.ndarray, " d_sae"] | None = None
    """The same by Benjamini and Hochberg's procedure over all scored features."""
    resolution: float | None = None
    """The smallest p that so many permutations of so many documents can give."""

    def __post_init__(self) -> None:
        arrays = {"score": self.score, "statistic": self.statistic, "p": self.p, "q": self.q}
        for name, values in arrays.items():
            if values is not None and not np.isfinite(values).all():
                worst = int(np.flatnonzero(~np.isfinite(values))[0])
                raise UnveilError(
                    f"feature {worst} has a {name} of {values[worst]}: the SAE's activations on this text are no numbers, "
                    "and none of its features can be ranked (--precision float32 may help)"
                )
        if (self.score < 0).any() or (self.score > 1).any() or self.score[~self.scored].any():
            raise UnveilError("scores lie between 0 and 1, and are 0 where there is none: this is a bug")

    @property
    def coverage(self) -> float:
        """Share of features that have a score."""
        return float(self.scored.mean())

    def ranking(self) -> Int64[np.ndarray, " n"]:
        """Scored features, best first: by score, then by the statistic behind it, then by number."""
        better = -self.statistic if self.scorer == "contrast" else self.statistic
        order = np.lexsort((np.arange(len(self.score)), better, -self.score))
        return order[self.scored[order]]

    def beyond(self, alpha: float) -> Bool[np.ndarray, " d_sae"]:
        """Features with a positive score whose q is at most alpha; without a null, all with a positive score."""
        positive = self.scored & (self.score > 0)
        return positive if self.q is None else positive & (self.q <= alpha)

    def keep(self, features: Bool[np.ndarray, " d_sae"]) -> FeatureScores:
        """The same with a score of 0 for all other features."""
        return replace(self, score=np.where(features, self.score, 0.0))
