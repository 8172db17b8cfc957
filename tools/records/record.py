"""What a record is, and which direction it is about."""

from __future__ import annotations

import hashlib
import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1
_LONGEST_NAME = 60
LARGEST_INDEX = 10**12
"""Of a feature: more than any autoencoder has, and a number that every file format and array can hold."""

Stratum = Literal["candidates", "near controls", "unrelated controls", "random directions", "imported"]
STRATA: tuple[Stratum, ...] = ("candidates", "near controls", "unrelated controls", "random directions", "imported")


class Record(BaseModel):
    """Frozen, and closed to unknown fields: a misspelt or foreign field is an error, not data."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FeatureRef(Record):
    """Which direction is meant."""

    study: str
    sae: str
    """The arm's name, or the SAE's own id."""
    index: int = Field(ge=0, le=LARGEST_INDEX)
    """Row of `W_dec`, or the number of the random direction."""
    kind: Literal["feature", "random_direction"] = "feature"

    @property
    def key(self) -> str:
        """A file name: `base-000123`, random directions `base-r000123`. SAE ids that no file name can carry are hashed."""
        letter = "r" if self.kind == "random_direction" else ""
        return f"{_file_name(self.sae)}-{letter}{self.index:06d}"


def _file_name(sae: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._]", "_", sae).lstrip(".")
    if plain == sae and len(plain) <= _LONGEST_NAME:
        return plain
    return f"{plain[-_LONGEST_NAME:]}-{hashlib.sha256(sae.encode()).hexdigest()[:8]}"


def is_none(value: object) -> bool:
    """For fields that are left out of what is stored where there is nothing to say, as they always were."""
    return value is None
