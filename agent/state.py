"""What flows through the graph for one feature (state), and what is given to it (context)."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated, TypedDict

from pydantic import BaseModel, ConfigDict

from agent.records import Decision, Failure, SelectedFeature, TranscriptStep, Usage
from agent.rules import Judgement
from tools.records import Evidence
from tools.studies import Study


class FeatureState(BaseModel):
    """Records only; machinery comes by the context."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    item: SelectedFeature
    steps: Annotated[list[TranscriptStep], operator.add] = []
    judgement: Judgement | None = None
    failure: Failure | None = None
    usage: Usage = Usage()
    decision: Decision | None = None


class FeatureUpdate(TypedDict, total=False):
    """What a node may return. The graph library drops a misspelt key in silence; the type checker does not."""

    steps: list[TranscriptStep]
    judgement: Judgement
    failure: Failure
    usage: Usage
    decision: Decision


@dataclass(frozen=True)
class Context:
    """Given to every node of every feature."""

    run_id: str
    study: Study
    evidence: dict[str, Evidence]
    """By the feature's key."""
