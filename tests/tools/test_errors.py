"""What does not fit is said in one line, which quotes nothing that may be a key."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError, model_validator

from tools.errors import first_problem


class Inner(BaseModel):
    key: int


class Outer(BaseModel):
    rows: tuple[Inner, ...] = ()
    low: float = 0
    high: float = 1

    @model_validator(mode="after")
    def _in_order(self) -> Outer:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


def problem_of(data: object, root: str = "") -> str:
    with pytest.raises(ValidationError) as raised:
        Outer.model_validate(data)
    return first_problem(raised.value, root)


def test_the_first_problem_is_named_with_its_place() -> None:
    said = problem_of({"rows": [{"key": 1}, {"key": "sk-secret"}], "low": "x"})
    assert said == "rows.1.key: Input should be a valid integer, unable to parse string as an integer"


def test_a_record_wrong_as_a_whole_has_no_place_unless_one_is_given() -> None:
    assert problem_of({"low": 2}) == "low is above high"
    assert problem_of({"low": 2}, "a line") == "a line: low is above high"
