"""Values in other spellings, fitted to what a schema asks for where that can mean one thing only.

A number as text, a word of a list in capitals, a key in capitals, an object wrapped in one that only says "answer", a
text longer than asked for. Nothing is made up: no default stands in for a missing field, and what fits nothing stays
as it is, for validation to refuse.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, JsonValue

_WRAPPERS = frozenset(
    ["answer", "final", "final_answer", "response", "final_response", "reply", "result", "output", "json", "object"]
    + ["data", "value", "content", "verdict", "judgement", "judgment", "arguments", "parameters", "properties"]
)
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d*)?(?:[eE][+-]?\d{1,2})?|[+-]?\.\d+")


def fitted(value: dict[str, JsonValue], model: type[BaseModel]) -> JsonValue:
    """An object as the model's schema spells it."""
    schema = _schema_of(model)
    unwrapped = _unwrapped(value, schema["properties"], model.__name__)
    return _fit(unwrapped, schema, schema.get("$defs", {}))


def clipped(text: str, most: int) -> str:
    """The text, cut after a word if it is longer than so many characters."""
    if len(text) <= most:
        return text
    words = text[: most + 1].rsplit(None, 1)
    return words[0] if len(words) == 2 and words[0] else text[:most]


@functools.cache
def _schema_of(model: type[BaseModel]) -> Mapping[str, Any]:
    return model.model_json_schema()


def _unwrapped(value: dict[str, JsonValue], fields: Iterable[str], name: str) -> dict[str, JsonValue]:
    while len(value) == 1:
        (key, inner), *_ = value.items()
        if (
            _plain(key) in map(_plain, fields)
            or _plain(key) not in _WRAPPERS | {_plain(name)}
            or not isinstance(inner, dict)
        ):
            break
        value = inner
    return value


def _fit(value: JsonValue, part: Mapping[str, Any], definitions: Mapping[str, Any]) -> JsonValue:
    if "$ref" in part:
        return _fit(value, definitions[part["$ref"].rsplit("/", 1)[1]], definitions)
    for choices in (part.get("anyOf"), part.get("oneOf")):
        if choices:
            return _fit_one_of(value, choices, definitions)
    if "enum" in part or "const" in part:
        return _word(value, part.get("enum") or [part["const"]])
    kind = part.get("type")
    if kind == "object" and isinstance(value, dict):
        return _keys(value, part.get("properties", {}), definitions)
    if kind == "array" and isinstance(value, list):
        return [_fit(item, part.get("items", {}), definitions) for item in value]
    if kind == "string" and isinstance(value, str):
        return clipped(value, part["maxLength"]) if "maxLength" in part else value
    if kind in ("integer", "number"):
        return _number(value, kind)
    if kind == "boolean" and isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower(), value)
    return value


def _fit_one_of(value: JsonValue, choices: Sequence[Mapping[str, Any]], definitions: Mapping[str, Any]) -> JsonValue:
    """Fitted to the only choice beside null; among several the value says itself which one it is."""
    others = [choice for choice in choices if choice.get("type") != "null"]
    if len(others) < len(choices) and isinstance(value, str) and value.strip().lower() in ("null", "none"):
        texts = any(choice.get("type") == "string" or "enum" in choice for choice in others)
        return value if texts else None
    return _fit(value, others[0], definitions) if len(others) == 1 and value is not None else value


def _keys(value: dict[str, JsonValue], fields: Mapping[str, Any], definitions: Mapping[str, Any]) -> JsonValue:
    if value.keys() <= fields.keys():
        return {key: _fit(inner, fields[key], definitions) for key, inner in value.items()}
    spelt = {_plain(name): name for name in fields}
    names = {key: key if key in fields else spelt.get(_plain(key), key) for key in value}
    if len(spelt) != len(fields) or len(set(names.values())) != len(names):
        names = {key: key for key in value}
    return {names[key]: _fit(inner, fields.get(names[key], {}), definitions) for key, inner in value.items()}


def _word(value: JsonValue, options: Sequence[JsonValue]) -> JsonValue:
    """One of the words listed, in whatever capitals; true and false for yes and no."""
    if any(value is option or (type(value) is type(option) and value == option) for option in options):
        return value
    if all(isinstance(option, int) and not isinstance(option, bool) for option in options if option is not None):
        return _number(value, "integer")
    texts = {option.casefold(): option for option in options if isinstance(option, str)}
    if isinstance(value, bool):
        word = "true" if value else "false"
    elif isinstance(value, str):
        word = value.strip().strip("'\"`.").casefold()
    else:
        return value
    truths = {"true": "yes", "false": "no"} if {"yes", "no"} <= texts.keys() else {}
    return texts.get(word, texts.get(truths.get(word, ""), value))


def _number(value: JsonValue, kind: str) -> JsonValue:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value) if re.search(r"[.eE]", value) else int(value)
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip()).casefold()
