"""When a text has collapsed: beyond what the unsteered model's own texts show of perplexity and repetition."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tools.effects.stock import UsualTexts
from tools.survey.keywords import words_of

MOST_REPETITION = 0.5
"""A larger share of repeated word pairs is a collapse, unless the model's own texts repeat themselves as much."""
USUAL_SHARE = 0.99
"""Of the unsteered texts, those within the bounds before any factor."""


class Bounds(NamedTuple):
    """What a text may not exceed if it is to count as fluent."""

    usual: float
    """Perplexity that hardly any unsteered text exceeds."""
    perplexity: float
    repetition: float


def draw_bounds(usual: UsualTexts, factor: float) -> Bounds:
    """Bounds from unsteered texts: the 99th percentile of their perplexity times a factor, and of their repetition."""
    perplexity = float(np.quantile(usual.perplexity, USUAL_SHARE))
    repetition = float(np.quantile([repetition_of(text) for text in usual.texts], USUAL_SHARE))
    return Bounds(perplexity, factor * perplexity, max(MOST_REPETITION, repetition))


def repetition_of(text: str) -> float:
    """Share of a text's pairs of consecutive words that it has used before; 0 for fewer than two words."""
    words = words_of(text)
    pairs = list(zip(words, words[1:], strict=False))
    return 1 - len(set(pairs)) / len(pairs) if pairs else 0.0
