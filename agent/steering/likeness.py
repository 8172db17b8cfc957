"""How much more like a target than like other text a continuation is, by encoders that never saw the SAE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from agent.steering.stage import Stage
from tools.alignment.encoders import SentenceEncoder


class Axis(NamedTuple):
    """One encoder's direction from other text to a target: the difference of the two mean unit rows."""

    encoder: SentenceEncoder
    toward: Float[np.ndarray, " d"]

    @classmethod
    def of(cls, encoder: SentenceEncoder, target: Sequence[str], reference: Sequence[str]) -> Axis:
        """From held-out text of either."""
        own, others = (unit_mean(encoder.encode(texts)) for texts in (target, reference))
        return cls(encoder, own - others)

    def likeness(self, text: str) -> float | None:
        """Cosine with the target's mean minus that with the others', from -2 to 2; None where the encoder knows no word."""
        row = self.encoder.encode([text])[0]
        return float(row @ self.toward) if row.any() and self.toward.any() else None


class Likeness(NamedTuple):
    """By the study's word vectors, and by a trained encoder where one was named."""

    words: Axis
    trained: Axis | None

    @classmethod
    def of(cls, stage: Stage, target: Sequence[str], reference: Sequence[str]) -> Likeness:
        """From text that nothing was chosen by."""
        trained = None if stage.trained is None else Axis.of(stage.trained, target, reference)
        return cls(Axis.of(stage.words, target, reference), trained)

    def of_text(self, text: str) -> tuple[float | None, float | None]:
        """By either."""
        return self.words.likeness(text), None if self.trained is None else self.trained.likeness(text)


def unit_mean(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " d"]:
    """Direction of the mean of unit rows; zeros where there is none."""
    mean = rows.mean(axis=0)
    length = float(np.linalg.norm(mean))
    return mean / length if length else mean
