"""What a study has learned of when steering toward a text works: `studies/STUDY/toward.json`, fitted by `evals.steered`.

It is a logistic model of success from what is known of a target before a word is written (`Doubt`), and holds for the
weights, hook and scorer that it was fitted on, and no others.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from agent.folder.steered import Doubt, Interval, Scheme, Scorer
from tools.records import SCHEMA_VERSION, Record

FILE = "toward.json"
"""In a study's folder."""
DoubtPart = Literal["auroc", "error_ratio", "as_unexplained", "significant", "uninterpretable"]
"""A figure of `Doubt` that a term may read."""


class Term(Record):
    """One figure's part in the confidence: `coefficient * (value - mean) / scale`."""

    part: DoubtPart
    logged: bool = False
    """The value is ln(1 + figure), for counts and ratios."""
    mean: float = Field(allow_inf_nan=False)
    scale: float = Field(gt=0, allow_inf_nan=False)
    coefficient: float = Field(allow_inf_nan=False)

    def value(self, doubt: Doubt) -> float | None:
        """What it reads of a target; None where that was not measured."""
        found: float | None = getattr(doubt, self.part)
        return math.log1p(found) if self.logged and found is not None else found


class FittedTarget(Record):
    """A target that the model was fitted on."""

    name: str
    sha256: str
    succeeded: bool


class ConfidenceModel(Record):
    """How likely steering toward a target is to succeed, from its doubt."""

    schema_version: Literal[1] = SCHEMA_VERSION
    model_sha256: str
    sae_sha256: str
    hook_name: str
    scorer: Scorer
    scheme: Scheme
    """Whose success it tells."""
    success: str
    """What counted as success, in a sentence."""
    intercept: float = Field(allow_inf_nan=False)
    terms: tuple[Term, ...] = Field(min_length=1)
    level: float = Field(default=0.5, ge=0, le=1)
    """Below it a target is said to be outside what the SAE can represent."""
    targets: tuple[FittedTarget, ...]
    auroc: Interval | None = None
    """Of the confidence for success, each target by a model that was fitted without it; `n` is their number."""

    def confidence(self, doubt: Doubt) -> float | None:
        """That steering succeeds, in [0, 1]; None where a figure that it needs was not measured."""
        total = self.intercept
        for term in self.terms:
            value = term.value(doubt)
            if value is None:
                return None
            total += term.coefficient * (value - term.mean) / term.scale
        return 1 / (1 + math.exp(-total)) if total > -700 else 0.0
