"""Structured output: the schema a server is shown, and the reading of what comes back.

Servers may ignore a schema they accepted, so every reply is validated here. A value may be spelt in other ways (see
`agent.llm.reading.fitting`), but nothing is guessed: no default stands in for a missing field, and of two different objects none
is chosen.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from pydantic import BaseModel, JsonValue, ValidationError

from agent.llm.errors import Unfit
from agent.llm.reading.fitting import fitted
from agent.llm.reading.markup import BROKEN, object_in

S = TypeVar("S", bound=BaseModel)
Schema = dict[str, JsonValue]

CLIP = {"clip": True}
"""The context under which records cut a text that is too long, where else they would refuse it."""
_KEPT = {"type", "enum", "const", "description", "required"}
_DROPPED = {"title", "default", "discriminator", "$defs", "additionalProperties"}
"""The last is written anew for every object."""
_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "above {}",
    "exclusiveMaximum": "below {}",
    "minItems": "number of items at least {}",
    "maxItems": "number of items at most {}",
}
_IN_WORDS = {
    "minLength": "length at least {}",
    "maxLength": "length at most {}",
    "pattern": "matches {}",
}
"""Limits of texts: grammars grow too large with them, and servers refuse the whole request."""
_MOST_ONE_BY_ONE = 20
_MOST_PROBLEMS = 10


class SchemaForm(NamedTuple):
    """How much of a schema a server understands."""

    plain: bool = False
    """Limits in words, and no `anyOf` where a list of values or of types can say the same."""
    closed: bool = True
    """With `additionalProperties`, which strict mode wants and others do not know."""


LIMITED = SchemaForm()


@functools.cache
def strict_json_schema(model: type[BaseModel], form: SchemaForm = LIMITED) -> Schema:
    """The model's schema as strict mode wants it: closed objects, every field required, no references.

    Limits of numbers and of lists stay in it, for a server to enforce; those of texts go into the description, for the
    model to read. `parse` enforces both, or clips.

    Raises:
        ValueError: the model is recursive, or holds what strict mode cannot express: free-form dictionaries, tuples of
            mixed types.
    """
    schema = model.model_json_schema()
    return _Writer(form, schema.get("$defs", {})).write(schema, ())


class _Writer(NamedTuple):
    form: SchemaForm
    definitions: Mapping[str, Any]

    def write(self, part: dict[str, Any], inside: tuple[str, ...]) -> Schema:
        if "$ref" in part:
            name = part["$ref"].rsplit("/", 1)[1]
            if name in inside:
                raise ValueError(f"{name} is recursive; strict schemas here have no references")
            beside = {key: value for key, value in part.items() if key != "$ref"}
            return self.write({**self.definitions[name], **beside}, (*inside, name))
        in_words = _IN_WORDS | (_LIMITS if self.form.plain else {})
        strict: Schema = {key: value for key, value in part.items() if key in _KEPT or key in _LIMITS.keys() - in_words}
        for key, value in part.items():
            if key == "properties":
                strict[key] = {name: self.write(field, inside) for name, field in value.items()}
            elif key == "items":
                strict[key] = self.write(value, inside)
            elif key in ("anyOf", "oneOf"):
                strict |= self._choice([self.write(choice, inside) for choice in value], value)
            elif key not in _KEPT | _DROPPED | _LIMITS.keys() | _IN_WORDS.keys():
                raise ValueError(f"strict schemas cannot say {key!r}")
        if part.get("type") == "object":
            strict |= self._object(part)
        limits = [words.format(part[key]) for key, words in in_words.items() if key in part]
        if limits:
            strict["description"] = " ".join(filter(None, [part.get("description"), f"({', '.join(limits)})"]))
        return strict

    def _object(self, part: dict[str, Any]) -> Schema:
        if not part.get("properties") or part.get("additionalProperties"):
            raise ValueError("strict schemas cannot say which keys a free-form dictionary has")
        closed: Schema = {"additionalProperties": False} if self.form.closed else {}
        return {"required": list(part["properties"]), **closed}

    def _choice(self, written: list[Schema], choices: list[dict[str, Any]]) -> Schema:
        """`anyOf`, or for one thing or null a list of values, or of types."""
        others = [choice for choice in written if choice.get("type") != "null"]
        if not self.form.plain or len(others) != 1 or len(choices) != 2:
            return {"anyOf": cast("JsonValue", written)}
        (other,) = others
        (limits,) = [choice for choice in choices if choice.get("type") != "null"]
        if (
            other.get("type") == "integer"
            and 0 <= limits.get("maximum", 99) - limits.get("minimum", 0) < _MOST_ONE_BY_ONE
        ):
            return {"enum": [*range(limits.get("minimum", 0), limits["maximum"] + 1), None]}
        if "enum" in other:
            return {**other, "enum": [*cast("list[JsonValue]", other["enum"]), None]}
        return (
            {**other, "type": [other.get("type"), "null"]} if "type" in other else {"anyOf": cast("JsonValue", written)}
        )


def instruction(model: type[BaseModel]) -> str:
    """What a model is told where no schema can be sent with the request. The schema stands on a line of its own."""
    schema = json.dumps(strict_json_schema(model), ensure_ascii=False)
    return f"Reply with exactly one JSON object and nothing else. It must fit this JSON schema:\n{schema}"


def repair(unfit: Unfit, model: type[BaseModel]) -> str:
    """What a model is told after a reply that could not be used."""
    return f"Your last reply could not be used: {unfit.message}\n\n{instruction(model)}"


def parse(text: str, model: type[S]) -> S:
    """The one JSON object in a reply, as a record.

    What may stand around it is in `agent.llm.reading.markup`, how it may be spelt in `spellings` and `fitting`.

    Raises:
        Unfit: `unparseable` for no object, a broken one, or several different ones; `wrong_schema` for one that lacks a
            field, has one too many, or holds a value the model does not allow.
    """
    value = object_in(text)
    try:
        record = model.model_validate_json(json.dumps(fitted(value, model)), strict=True, extra="forbid", context=CLIP)
    except ValidationError as error:
        problems = _problems(error)
        if problems is None:
            raise Unfit("unparseable", BROKEN) from None
    else:
        problems = [(path, "Field required") for path in _defaulted(record)]
        if not problems:
            return record
    listed = "; ".join(f"{path}: {message}" for path, message in problems[:_MOST_PROBLEMS])
    raise Unfit("wrong_schema", f"it does not fit the schema. {listed}")


def _problems(error: ValidationError) -> list[tuple[str, str]] | None:
    """Where a reply does not fit, and why; None if it is no JSON.

    Validation counts only the items of a list that are right in themselves. What is told of its length here is the
    length it has.
    """
    problems: list[tuple[str, str]] = []
    for problem in error.errors(include_url=False):
        message, given, limits = problem["msg"], problem["input"], problem.get("ctx", {})
        if problem["type"] == "json_invalid":
            return None
        if problem["type"] in ("too_short", "too_long") and isinstance(given, Sequence):
            number = len(cast("Sequence[object]", given))
            least, most = limits.get("min_length", 0), limits.get("max_length", number)
            if least <= number <= most:
                continue
            message = f"there must be at least {least} items, and there are {number}"
            if number > most:
                message = f"there must be at most {most} items, and there are {number}"
        problems.append((_path(problem["loc"]), message))
    return problems


def _defaulted(value: object, path: str = "") -> Iterable[str]:
    """Fields, at any depth, that the reply left to the record's default."""
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            here = f"{path}.{name}" if path else name
            if name not in value.model_fields_set:
                yield here
            yield from _defaulted(getattr(value, name), here)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(cast("list[object]", value)):
            yield from _defaulted(item, f"{path}.{number}")


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location)) or "reply"
