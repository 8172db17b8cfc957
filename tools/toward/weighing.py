"""What pre-activations are weighed with: scores, centred where a score of 0 only says that a feature is not the target's.

By contrast most features have a score near 0, those of grammar among them: they are no more active in the target than
elsewhere. Weighed with that, a swap silences half of the SAE, and what the text is about drowns in the damage. So a feature
that does not differ keeps half a weight; one that is a standard deviation more active in the target has 1, and one that
much less has 0. Scores by reference are spread between the extremes already, and weigh as they are.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tools.alignment.scores import FeatureScores

FULL = 1.0
"""Standard deviations; chosen on topics of the embedded study's corpus that are no target of its own (docs/toward-steering.md)."""
RULES = {
    "contrast": f"1/2 + difference / {2 * FULL:g} in standard deviations, from 0 to 1; 0 without a score",
    "reference": "the score itself; 0 without one",
}
"""By scorer, for whoever reads a run."""


def weigh(scores: FeatureScores) -> Float[np.ndarray, " d_sae"]:
    """Weights in [0, 1]; 0 for a feature without a score."""
    if scores.scorer == "reference":
        return scores.score
    return np.where(scores.scored, np.clip(0.5 + scores.statistic / (2 * FULL), 0.0, 1.0), 0.0)
