"""All of it about one feature."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tools.records.activity import ActivationEvidence
from tools.records.effects import CausalEvidence, PromotionEvidence, SteeringEvidence
from tools.records.record import SCHEMA_VERSION, FeatureRef, Record, Stratum, is_none
from tools.records.weights import CoherenceEvidence, KeywordEvidence, Projection


class Evidence(Record):
    """Everything about one feature that a judge may look at."""

    schema_version: Literal[1] = SCHEMA_VERSION
    feature: FeatureRef
    stratum: Stratum
    projection: Projection | None = None
    keywords: KeywordEvidence | None = None
    coherence: CoherenceEvidence | None = None
    activations: ActivationEvidence | None = None
    steering: SteeringEvidence | None = None
    causal: CausalEvidence | None = None
    promotion: PromotionEvidence | None = Field(default=None, exclude_if=is_none)
