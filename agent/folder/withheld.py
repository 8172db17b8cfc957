"""Evidence of which a kind is kept from the judge, so that what the kind is worth to it can be measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from agent.errors import RunError
from tools.records import Evidence

Kind = Literal["contexts", "projection", "steering"]
KINDS: dict[Kind, tuple[str, ...]] = {
    "contexts": ("activations",),
    "projection": ("projection", "keywords", "coherence", "promotion"),
    "steering": ("steering", "causal"),
}
"""Each with the fields of `Evidence` that it stands for, whatever is counted in them included."""
_FIELDS = tuple(field for fields in KINDS.values() for field in fields)


def withhold(records: Sequence[Evidence], kinds: Sequence[Kind]) -> list[Evidence]:
    """The evidence as if nothing of these kinds had been measured.

    Raises:
        RunError: of a feature nothing is left then.
    """
    gone = {field: None for kind in kinds for field in KINDS[kind]}
    left = [record.model_copy(update=gone) for record in records] if gone else list(records)
    bare = [record.feature.key for record in left if not any(getattr(record, field) for field in _FIELDS)]
    if gone and bare:
        raise RunError(
            f"without {' and '.join(kinds)} nothing is left to judge of {bare[0]} ({len(bare)} such features)"
        )
    return left


def say_withheld(kinds: Sequence[Kind]) -> tuple[str, ...]:
    """What is to be said first of verdicts made without them; nothing where all was shown."""
    return (f"judged without {' and '.join(kinds)} (--without)",) if kinds else ()
