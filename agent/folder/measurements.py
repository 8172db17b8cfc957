"""What is remembered of a run's measurements, and under which address."""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from tools.border.json_text import canonical_json
from tools.records import Record

CLOCK = "clock"
"""Stored beside the measurements: that a feature's time was up, so that a replay, which is faster, stops there too."""


class Measurement(Record):
    """One call of an instrument and what came of it, stored under its hash."""

    sha256: str
    instrument: str
    feature: str
    """The feature's key."""
    arguments: JsonValue
    """As they were given; text if they were no JSON."""
    status: Literal["ok", "error"]
    result: JsonValue
    """The instrument's record, or the error as text."""

    def observation(self) -> str:
        """What the LLM is shown, before it is fenced."""
        if self.status == "error":
            return f"error: {self.result}"
        return json.dumps(self.result, ensure_ascii=False)


def address_of(instrument: str, feature: str, arguments: JsonValue) -> str:
    """What a measurement is remembered under: the hash of what was asked for."""
    named: JsonValue = {"instrument": instrument, "feature": feature, "arguments": arguments}
    return hashlib.sha256(canonical_json(named).encode()).hexdigest()


class Observed(BaseModel):
    """One measurement in the course of an investigation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    round: int
    call_id: str
    hypothesis: int | None
    """Whose prediction it tests, from 1; None when the LLM chose it."""
    measurement: Measurement
