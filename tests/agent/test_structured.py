"""What may be read from a reply, and what may not."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from agent.structured import Unfit, instruction, one_object, parse, strict_json_schema
from tests.servers.openai_stub import instance_of


class Part(BaseModel):
    word: str
    weight: float | None = None


class Verdict(BaseModel):
    """A verdict with what it rests on."""

    reasons: tuple[str, ...] = Field(min_length=1, description="What speaks for it.")
    relevant: Literal["yes", "no", "undecided"]
    confidence: float = Field(ge=0, le=1)
    sure: bool
    parts: tuple[Part, ...] = ()


GOOD = {
    "reasons": ['a {brace} and a "quote"'],
    "relevant": "yes",
    "confidence": 1,
    "sure": True,
    "parts": [{"word": "heart", "weight": None}],
}
TEXT = json.dumps(GOOD)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"```json\n{TEXT}\n```",
        f"```\n{json.dumps(GOOD, indent=2)}\n```",
        f"Here it is: {TEXT} Anything else?",
        f"From the set {{a, b}} I choose:\n{TEXT}",
        f"Draft {TEXT}\nFinal, unchanged: {TEXT}",
        f'<think>perhaps {{"relevant": "no"}}, or not {{</think>\n{TEXT}',
    ],
    ids=["bare", "fence", "fence without language", "prose", "braces in prose", "same object twice", "thoughts"],
)
def test_one_object_is_read_whatever_stands_around_it(text: str) -> None:
    assert parse(text, Verdict).relevant == "yes"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        '"yes"',
        TEXT[:-1],
        TEXT[: TEXT.index('"parts"')],
        f'{{"relevant": "no"}} {TEXT}',
        f"```json\n{TEXT}\n```\n```json\n{TEXT.replace('yes', 'no')}\n```",
        f"[{TEXT}, {TEXT}]",
        f"[{TEXT}]",
        json.dumps(TEXT),
        f"{{'draft': {TEXT}}}",
        f"{{draft: {TEXT}}}",
        TEXT.replace("true", "True"),
        TEXT.replace("1,", "NaN,"),
        TEXT.replace('"sure"', '"relevant": "no", "sure"'),
        '{"a":' * 100_000,
        TEXT.replace("heart", "\\ud800"),
    ],
    ids=[
        "nothing",
        "no object",
        "a string",
        "last brace missing",
        "cut before the last field",
        "another object first",
        "two different fences",
        "a list of two",
        "a list of one",
        "JSON within a string",
        "inside Python",
        "inside JavaScript",
        "Python constants",
        "not a number",
        "a key twice",
        "endless nesting",
        "half a surrogate pair",
    ],
)
def test_no_object_or_a_broken_one_or_several_is_unparseable(text: str) -> None:
    with pytest.raises(Unfit) as caught:
        parse(text, Verdict)
    assert caught.value.type == "unparseable"


def test_part_of_a_cut_object_is_never_read_as_the_whole() -> None:
    with pytest.raises(Unfit):
        one_object('{"outer": {"relevant": "yes"}, "reasons": [')


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"relevant": "perhaps"}, "relevant"),
        ({"relevant": "Yes"}, "relevant"),
        ({"relevant": None}, "relevant"),
        ({"relevant": ...}, "relevant: Field required"),
        ({"confidence": "0.9"}, "confidence"),
        ({"confidence": 1.5}, "confidence"),
        ({"confidence": True}, "confidence"),
        ({"sure": "yes"}, "sure"),
        ({"sure": 1}, "sure"),
        ({"reasons": []}, "reasons"),
        ({"reasons": "because"}, "reasons"),
        ({"surprise": 1}, "surprise"),
        ({"parts": [{"word": "heart", "weight": 1, "x": 1}]}, "parts.0.x"),
        ({"parts": ...}, "parts: Field required"),
        ({"parts": [{"word": "heart"}]}, "parts.0.weight: Field required"),
    ],
)
def test_wrong_values_are_neither_converted_nor_defaulted(change: dict[str, object], named: str) -> None:
    changed = {name: value for name, value in {**GOOD, **change}.items() if value is not ...}
    with pytest.raises(Unfit, match=named.replace(".", r"\.")) as caught:
        parse(json.dumps(changed), Verdict)
    assert caught.value.type == "wrong_schema"


def test_strict_schema_has_closed_objects_with_every_field_required_in_order() -> None:
    schema = strict_json_schema(Verdict)
    assert schema["required"] == ["reasons", "relevant", "confidence", "sure", "parts"]
    assert schema["additionalProperties"] is False
    items = schema["properties"]["parts"]["items"]  # type: ignore[index, call-overload]
    assert items["required"] == ["word", "weight"] and items["additionalProperties"] is False  # type: ignore[index, call-overload]
    spelt = json.dumps(schema)
    assert not any(f'"{word}"' in spelt for word in ("minimum", "maximum", "minItems", "default", "title", "$ref"))
    assert "What speaks for it. (number of items at least 1)" in spelt and "(at least 0, at most 1)" in spelt


def test_an_instance_of_the_strict_schema_is_accepted() -> None:
    assert parse(json.dumps(instance_of(strict_json_schema(Verdict))), Verdict).relevant == "yes"


def test_what_strict_mode_cannot_express_is_an_error() -> None:
    class Tree(BaseModel):
        children: tuple[Tree, ...]

    class Bag(BaseModel):
        scores: dict[str, float]

    class Pair(BaseModel):
        both: tuple[int, str]

    Tree.model_rebuild(_types_namespace={"Tree": Tree})
    for model in (Tree, Bag, Pair):
        with pytest.raises(ValueError, match="strict schemas|recursive"):
            strict_json_schema(model)


def test_instruction_holds_the_schema_on_one_line() -> None:
    assert json.loads(instruction(Verdict).splitlines()[-1]) == strict_json_schema(Verdict)
