"""What may be read from a reply, and what may not."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from agent.briefing.first.forms import Label
from agent.llm.errors import Unfit
from agent.llm.reading.markup import object_in
from agent.llm.reading.structured import SchemaForm, instruction, parse, repair, strict_json_schema
from tests.servers.openai_stub import JsonDict, instance_of


class Part(BaseModel):
    word: str = Field(max_length=20)
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
        f"{{draft: {TEXT}}}",
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
        "inside JavaScript",
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
        object_in('{"outer": {"relevant": "yes"}, "reasons": [')


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"relevant": "perhaps"}, "relevant"),
        ({"relevant": None}, "relevant"),
        ({"relevant": ...}, "relevant: Field required"),
        ({"confidence": "90 %"}, "confidence"),
        ({"confidence": "high"}, "confidence"),
        ({"confidence": 1.5}, "confidence"),
        ({"confidence": True}, "confidence"),
        ({"sure": "yes"}, "sure"),
        ({"sure": 1}, "sure"),
        ({"reasons": []}, "reasons"),
        ({"reasons": "because"}, "reasons"),
        ({"surprise": 1}, "surprise"),
        ({"draft": {}}, "draft"),
        ({"parts": [{"word": "heart", "weight": 1, "x": 1}]}, "parts.0.x"),
        ({"parts": ...}, "parts: Field required"),
        ({"parts": [{"word": "heart"}]}, "parts.0.weight: Field required"),
    ],
)
def test_wrong_values_are_neither_guessed_at_nor_defaulted(change: dict[str, object], named: str) -> None:
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
    assert not any(f'"{word}"' in spelt for word in ("default", "title", "$ref", "maxLength"))
    assert '"minItems": 1' in spelt and '"maximum": 1, "minimum": 0' in spelt and "(length at most 20)" in spelt


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


def test_a_plain_schema_says_limits_in_words_and_null_as_a_value() -> None:
    class Chosen(BaseModel):
        best: int | None = Field(ge=1, le=3)
        word: Literal["a", "b"] | None
        text: str | None

    plain = strict_json_schema(Verdict, SchemaForm(plain=True))
    spelt = json.dumps(plain)
    assert not any(f'"{word}"' in spelt for word in ("minimum", "maximum", "minItems", "anyOf"))
    assert "What speaks for it. (number of items at least 1)" in spelt and "(at least 0, at most 1)" in spelt
    fields: dict[str, JsonDict] = strict_json_schema(Chosen, SchemaForm(plain=True))["properties"]  # type: ignore[assignment]
    assert fields["best"]["enum"] == [1, 2, 3, None] and fields["word"]["enum"] == ["a", "b", None]
    assert fields["text"]["type"] == ["string", "null"]
    assert "additionalProperties" not in json.dumps(strict_json_schema(Verdict, SchemaForm(closed=False)))


OTHER_SPELLINGS = {
    "numbers as text": {"confidence": "1", "parts": [{"word": "heart", "weight": "null"}]},
    "words in capitals": {"relevant": "YES", "sure": "True"},
    "a word with a full stop": {"relevant": " Yes."},
    "truth for yes": {"relevant": True},
    "TRUE for yes": {"relevant": "TRUE"},
    "a whole number with a point": {"confidence": 1.0},
}


@pytest.mark.parametrize("change", OTHER_SPELLINGS.values(), ids=OTHER_SPELLINGS)
def test_other_spellings_of_a_value_are_that_value(change: JsonDict) -> None:
    assert parse(json.dumps({**GOOD, **change}), Verdict) == parse(TEXT, Verdict)


WRITTEN_OTHERWISE = {
    "a list of one": f"[{TEXT}]",
    "JSON within a string": json.dumps(TEXT),
    "wrapped": json.dumps({"answer": GOOD}),
    "wrapped twice": json.dumps({"Response": {"verdict": GOOD}}),
    "keys in capitals": json.dumps({key.capitalize(): value for key, value in GOOD.items()}),
    "as Python": repr(GOOD),
    "Python constants": TEXT.replace("true", "True").replace("null", "None"),
    "trailing commas": TEXT.replace("]", ",]").replace("}", ", }").replace("{brace, }", "{brace}"),
    "comments": TEXT.replace('"sure"', '/* { */ "sure" // yes\n'),
    "line ends in a text": TEXT.replace("brace", "brace}\n{brace"),
    "a byte order mark": "\ufeff" + TEXT,
}


@pytest.mark.parametrize("text", WRITTEN_OTHERWISE.values(), ids=WRITTEN_OTHERWISE)
def test_json_in_other_spellings_is_read_where_it_can_mean_one_thing_only(text: str) -> None:
    read = parse(text, Verdict)
    assert read.model_dump(exclude={"reasons"}) == parse(TEXT, Verdict).model_dump(exclude={"reasons"})


@pytest.mark.parametrize(
    "text",
    [
        "{'relevant': 'it's yes'}",
        '{"relevant": "yes" "sure": true}',
        "{'relevant': 'yes', \"relevant\": 'no'}",
        '{"confidence": 1e999}',
        '{"confidence": Infinity}',
        '{"confidence": 007}',
        "{'relevant': 'yes'",
        "{relevant: 'yes'}",
        '{"sure": tRuE}',
    ],
)
def test_what_can_be_read_in_two_ways_or_in_none_is_refused(text: str) -> None:
    with pytest.raises(Unfit) as caught:
        parse(text, Verdict)
    assert caught.value.type == "unparseable"


def test_texts_that_are_too_long_are_cut_after_a_word() -> None:
    class Named(BaseModel):
        label: Label
        text: str = Field(max_length=10)

    read = parse(
        json.dumps({"label": "one two three four five six seven eight nine ten", "text": "heart and soul"}), Named
    )
    assert read == Named(label="one two three four five six seven eight", text="heart and")
    assert parse(json.dumps({"label": "x" * 500, "text": "x" * 11}), Named).text == "x" * 10
    with pytest.raises(Unfit, match="label"):
        parse(json.dumps({"label": "", "text": ""}), Named)


def test_the_repair_message_counts_the_items_there_are_and_names_the_field() -> None:
    class Pairs(BaseModel):
        words: tuple[Part, ...] = Field(min_length=2, max_length=3)

    def complaint(words: object) -> str:
        with pytest.raises(Unfit) as caught:
            parse(json.dumps({"words": words}), Pairs)
        return repair(caught.value, Pairs)

    word = {"word": "heart", "weight": 1}
    wrong = complaint([{"word": 1, "weight": 1}, {"word": 2, "weight": 1}])
    assert "words.0.word: " in wrong and "words.1.word: " in wrong and "items" not in wrong.split("\n\n")[0]
    assert "words: there must be at least 2 items, and there are 1" in complaint([word])
    assert "words: there must be at most 3 items, and there are 4" in complaint([word] * 4)
