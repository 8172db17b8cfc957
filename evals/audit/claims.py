"""What is published: the figures of the paper and of the repository's own notes (METHODS 1.2, 1.3)."""

from __future__ import annotations

from typing import NamedTuple

D_SAE = 24_576
"""Features of either SAE."""
DIFFERENCE, NORMALISED_DIFFERENCE = 0.1927, 0.3037
"""Table 2: of the mean coherences, and that over the mean of the two ranges."""


class Claims(NamedTuple):
    """The figures of one arm."""

    arm: str
    """As files are named."""
    title: str
    folder: str
    """Of its recorded run, under `experiments`."""
    kept: int
    """Features that a person kept."""
    share: float
    """The same, in per cent of all features."""
    keyword_hits: int
    """Features with two keyword hits or more, before a person looked."""
    wins: int
    """Of the kept features, Table 1."""
    pass_rate: float
    """In per cent, Table 1."""
    steered: float
    unsteered: float
    """Mean similarities, Table 1."""
    tested: int
    tested_wins: int
    tested_rate: float
    """The earlier run, in the appendix; the rate in per cent."""
    reports: int
    """Reports of that run in the repository: one for each feature of the first pass."""
    coherence: float
    """Table 2: mean, said to be of the entire feature set."""
    weight_mean: float
    weight_variance: float
    """Logit weights of the kept features' medical tokens; the paper's "activations"."""
    coverage: float
    """Tokens with a word vector, in per cent."""


BASELINE = Claims(
    arm="baseline",
    title="baseline",
    folder="baseline",
    kept=101,
    share=0.39,
    keyword_hits=128,
    wins=100,
    pass_rate=99.0,
    steered=0.6118,
    unsteered=0.4634,
    tested=311,
    tested_wins=307,
    tested_rate=98.0,
    reports=311,
    coherence=0.5438,
    weight_mean=2.166,
    weight_variance=0.633,
    coverage=84.51,
)
FINETUNED = Claims(
    arm="finetuned",
    title="fine-tuned",
    folder="fine-tuned",
    kept=111,
    share=0.43,
    keyword_hits=123,
    wins=93,
    pass_rate=83.7,
    steered=0.5165,
    unsteered=0.4651,
    tested=451,
    tested_wins=307,
    tested_rate=68.0,
    reports=452,
    coherence=0.3511,
    weight_mean=0.794,
    weight_variance=0.018,
    coverage=89.99,
)
ARMS = (BASELINE, FINETUNED)
