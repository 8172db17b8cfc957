"""A finished investigation, taken up again from its transcript: for judging the same case by another judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.records import SelectedFeature, TranscriptStep
from agent.schemas import Hypotheses
from agent.state import FeatureState, Observed


def recall_case(item: SelectedFeature, steps: Sequence[TranscriptStep]) -> FeatureState:
    """The state in which the case was last put to the judge: the last hypotheses and everything measured.

    A run by rules, or one that failed before it had hypotheses, leaves a case of evidence alone. The graph goes straight
    to the judge with such a state; give it a toolbox without instruments, so that it ends there.

    Raises:
        ValidationError: the transcript was written by another version.
    """
    proposed = [content["parsed"] for step in steps if (content := _parsed_reply(step)) is not None]
    observed = [Observed.model_validate(step.content) for step in steps if step.kind == "tool"]
    return FeatureState(
        item=item,
        round=max(1, len(proposed)),
        hypotheses=Hypotheses.model_validate(proposed[-1]).hypotheses if proposed else (),
        observed=observed,
    )


def _parsed_reply(step: TranscriptStep) -> dict[str, Any] | None:
    if step.node != "hypothesize" or step.kind != "reply" or not isinstance(step.content, dict):
        return None
    return dict(step.content) if "parsed" in step.content else None
