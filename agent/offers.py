"""Instruments as offers: schema and documentation made from signature and docstring, so that nothing is written twice."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, JsonValue, create_model

from agent.requests import ToolSpec
from tools.records import Record

Instrument = Callable[..., Record]


class Offer(NamedTuple):
    """One instrument, ready to be called by a language model."""

    function: Instrument
    arguments: type[BaseModel]
    """Validates what the model gives: every parameter but the first."""
    spec: ToolSpec


def describe(function: Instrument) -> Offer:
    """The offer of an instrument; its first parameter is not the model's to choose.

    Raises:
        TypeError: a parameter has no type or no line under Args: whoever wrote the instrument must add it.
    """
    doc = inspect.getdoc(function) or ""
    described, kinds = _argument_lines(doc), typing.get_type_hints(function)
    fields: dict[str, Any] = {}
    for name in list(inspect.signature(function).parameters)[1:]:
        if name not in kinds or name not in described:
            raise TypeError(f"{function.__name__}: {name} needs a type and a line under Args")
        fields[name] = (kinds[name], Field(description=described[name]))
    model = create_model(f"{function.__name__}_arguments", __config__=ConfigDict(extra="forbid"), **fields)
    properties: dict[str, JsonValue] = {
        name: {key: value for key, value in part.items() if key != "title"}
        for name, part in model.model_json_schema().get("properties", {}).items()
    }
    parameters: dict[str, JsonValue] = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    first_line = " ".join(doc.split("\n\n", 1)[0].split())
    return Offer(function, model, ToolSpec(name=function.__name__, description=first_line, parameters=parameters))


def document(spec: ToolSpec) -> str:
    """The offer as text, for a server without tool calling."""
    properties = spec.parameters["properties"]
    arguments = [
        f"    {name} ({_type_name(part)}): {part.get('description')}"
        for name, part in (properties.items() if isinstance(properties, dict) else ())
        if isinstance(part, dict)
    ]
    return "\n".join([f"- {spec.name}: {spec.description}", *arguments])


def _argument_lines(doc: str) -> dict[str, str]:
    """Name -> description, from the docstring's Args section."""
    section = re.search(r"^Args:\n(.*?)(?:\n\n|\Z)", doc, re.DOTALL | re.MULTILINE)
    found = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", section[1] if section else "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def _type_name(part: dict[str, JsonValue]) -> str:
    items = part.get("items")
    return f"list of {items.get('type')}" if isinstance(items, dict) else str(part.get("type"))
