"""How the first version wrote its schemas and read its replies, kept so that its runs resume and replay as they went.

A stored call says by which rules it was made; the calls of the first version carry no number and mean these. Nothing
here changes any more.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, TypeVar, cast

from pydantic import BaseModel, JsonValue, ValidationError

from agent.llm.errors import Unfit

S = TypeVar("S", bound=BaseModel)
Schema = dict[str, JsonValue]

_KEPT = {"type", "enum", "const", "description", "required", "additionalProperties"}
_DROPPED = {"title", "default", "discriminator", "$defs"}
_IN_WORDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "above {}",
    "exclusiveMaximum": "below {}",
    "minItems": "number of items at least {}",
    "maxItems": "number of items at most {}",
    "minLength": "length at least {}",
    "maxLength": "length at most {}",
    "pattern": "matches {}",
}
_MOST_PROBLEMS = 10
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_PLAIN_BRACES = re.compile(r"\{[^{}\"']*\}")
_BROKEN = "there is JSON in it that does not parse: broken off, or not JSON throughout"


_FORMAT_WORDS = re.compile(r"response_format|json_schema|json_object|structured.?output|guided", re.IGNORECASE)
_TOOL_WORDS = re.compile(r"\btools?\b|tool_choice|tool.?call|function.?call", re.IGNORECASE)


@functools.cache
def strict_json_schema(model: type[BaseModel]) -> Schema:
    """The model's schema as strict mode wants it: closed objects, every field required, no references.

    Limits that strict mode does not know (ranges, lengths, patterns) go into the description, for the model to read;
    `parse` enforces them.

    Raises:
        ValueError: the model is recursive, or holds what strict mode cannot express: free-form dictionaries, tuples of
            mixed types.
    """
    schema = model.model_json_schema()
    return _strict(schema, schema.get("$defs", {}), ())


def _strict(part: dict[str, Any], definitions: dict[str, Any], inside: tuple[str, ...]) -> Schema:
    if "$ref" in part:
        name = part["$ref"].rsplit("/", 1)[1]
        if name in inside:
            raise ValueError(f"{name} is recursive; strict schemas here have no references")
        beside = {key: value for key, value in part.items() if key != "$ref"}
        return _strict({**definitions[name], **beside}, definitions, (*inside, name))
    strict: Schema = {key: value for key, value in part.items() if key in _KEPT}
    limits = [words.format(part[key]) for key, words in _IN_WORDS.items() if key in part]
    for key, value in part.items():
        if key == "properties":
            strict[key] = {name: _strict(field, definitions, inside) for name, field in value.items()}
        elif key == "items":
            strict[key] = _strict(value, definitions, inside)
        elif key in ("anyOf", "oneOf"):
            strict["anyOf"] = [_strict(choice, definitions, inside) for choice in value]
        elif key not in _KEPT | _DROPPED | _IN_WORDS.keys():
            raise ValueError(f"strict schemas cannot say {key!r}")
    if part.get("type") == "object":
        if not part.get("properties") or part.get("additionalProperties"):
            raise ValueError("strict schemas cannot say which keys a free-form dictionary has")
        strict |= {"required": list(part["properties"]), "additionalProperties": False}
    if limits:
        strict["description"] = " ".join(filter(None, [part.get("description"), f"({', '.join(limits)})"]))
    return strict


def instruction(model: type[BaseModel]) -> str:
    """What a model is told where no schema can be sent with the request. The schema stands on a line of its own."""
    schema = json.dumps(strict_json_schema(model), ensure_ascii=False)
    return f"Reply with exactly one JSON object and nothing else. It must fit this JSON schema:\n{schema}"


def repair(unfit: Unfit, model: type[BaseModel]) -> str:
    """What a model is told after a reply that could not be used."""
    return f"Your last reply could not be used: {unfit.message}\n\n{instruction(model)}"


def parse(text: str, model: type[S]) -> S:
    """The one JSON object in a reply, as a record.

    It may stand bare, in a fence, or with prose or a leading `<think>` block around it.

    Raises:
        Unfit: `unparseable` for no object, a broken one, or several different ones; `wrong_schema` for one that lacks a
            field, has one too many, or holds a value the model does not allow. Values are not converted.
    """
    found = one_object(text)
    try:
        record = model.model_validate_json(found, strict=True, extra="forbid")
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            raise Unfit("unparseable", _BROKEN) from None
        problems = [(_path(problem["loc"]), problem["msg"]) for problem in error.errors(include_url=False)]
    else:
        problems = [(path, "Field required") for path in _defaulted(record)]
        if not problems:
            return record
    listed = "; ".join(f"{path}: {message}" for path, message in problems[:_MOST_PROBLEMS])
    raise Unfit("wrong_schema", f"it does not fit the schema. {listed}")


def one_object(text: str) -> str:
    """The JSON of the only object in a text.

    Braces in prose are passed over if they hold neither quotes nor braces; any other brace that starts no complete
    object is taken for broken JSON, so that a part of a broken object is never read as the whole.

    Raises:
        Unfit: `unparseable`.
    """
    text = _THOUGHTS.sub("", text)
    found: list[tuple[str, JsonValue]] = []
    start = text.find("{")
    while start != -1:
        plain = _PLAIN_BRACES.match(text, start)
        try:
            value, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            if plain is None:
                raise Unfit("unparseable", _BROKEN) from None
            end = plain.end()
        else:
            if text[:start].rstrip().endswith("[") and text[end:].lstrip().startswith((",", "]")):
                raise Unfit("unparseable", "it holds a list where one JSON object was asked for")
            found.append((text[start:end], value))
        start = text.find("{", end)
    if not found:
        raise Unfit("unparseable", "there is no JSON object in it")
    if any(value != found[0][1] for _, value in found):
        raise Unfit("unparseable", f"there are {len(found)} different JSON objects in it where one was asked for")
    return found[0][0]


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant)


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


def refusal(body: Mapping[str, JsonValue], type: str, words: str, tools_accepted: bool) -> str | None:
    """What the first version took a failed call for: a refusal of a part of the request, or None."""
    if type not in ("bad_request", "not_found"):
        return None
    response_format = body.get("response_format")
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind in ("json_schema", "json_object") and _FORMAT_WORDS.search(words):
        return "response_format"
    if "max_tokens" in body and "max_completion_tokens" in words:
        return "limit_field"
    if "temperature" in body and "temperature" in words:
        return "temperature"
    if "tools" in body and _TOOL_WORDS.search(words) and not tools_accepted:
        return "tools"
    return None
