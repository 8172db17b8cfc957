"""Records that were stored before a field was there are read, and come out again to the byte."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from tests.agent.cases import make_evidence
from tools import records
from tools.records import Context, Evidence, Shared

LATER = {
    "begins",
    "shared",
    "statistics",
    "usual_density",
    "domain_near",
    "passage_share",
    "occurrences",
    "words",
    "promotion",
}


def names_in(value: object) -> set[str]:
    if isinstance(value, dict):
        return {str(key) for key in value} | {name for part in value.values() for name in names_in(part)}  # pyright: ignore
    return {name for part in value for name in names_in(part)} if isinstance(value, list) else set()  # pyright: ignore


def test_evidence_without_later_measurements_is_stored_as_it_always_was() -> None:
    stored = make_evidence().model_dump_json()
    assert not names_in(json.loads(stored)) & LATER
    assert Evidence.model_validate_json(stored).model_dump_json() == stored


def test_what_a_context_shares_stands_in_it() -> None:
    fields = {"document": "d", "tokens": ("a", "b"), "activations": (0.0, 0.0)}
    assert Context.model_validate({**fields, "shared": Shared(kind="word", place=1)}).shared
    for place in (2, -1):
        with pytest.raises(ValidationError):
            Context.model_validate({**fields, "shared": Shared(kind="word", place=place)})


def test_every_record_can_be_had_from_one_place() -> None:
    assert {name for name in records.__all__ if hasattr(records, name)} == {*records.__all__}
