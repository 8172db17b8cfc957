"""JSON as models write it: read where it can mean one thing only, whatever its spelling.

Beside JSON itself this takes trailing commas, single quotes, line ends in texts, comments, and Python's names for true,
false and null. A key that occurs twice, a number that is none, and anything broken off is refused.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from pydantic import JsonValue

_DEEPEST = 60
_SPACE = re.compile(r"(?:[\s\ufeff\u200b]|//[^\n]{0,1000}|/\*.{0,1000}?\*/)*", re.DOTALL)
"""Comments have bounds, or one that never ends would be gone through anew from every brace before it."""
_STRINGS = {
    '"': re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL),
    "'": re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL),
}
_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d*|(?=\.\d))(?:\.\d*)?(?:[eE][+-]?\d+)?(?![\w.%])")
_WORD = re.compile(r"\w+")
_WORDS: dict[str, JsonValue] = {
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
    "null": None, "None": None, "NULL": None,
}  # fmt: skip


def read_object(text: str, start: int) -> tuple[dict[str, JsonValue], int]:
    """The object that begins at a brace, and where it ends.

    Raises:
        ValueError: none can be read there, or it can be read in two ways.
    """
    first = _skip(text, start + 1)
    if text[first : first + 1] not in ('"', "'", "}"):
        raise ValueError("no key follows the brace")
    try:
        value, end = _DECODER.raw_decode(text, start)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError:
        value, end = _object(text, start, 0)
    return value, end


def read_text(text: str) -> JsonValue:
    """The value that is the whole of a text.

    Raises:
        ValueError: it is no JSON in any spelling known here.
    """
    value, end = _value(text, _skip(text, 0), 0)
    if _skip(text, end) != len(text):
        raise ValueError("there is more after it")
    return value


def _value(text: str, at: int, depth: int) -> tuple[JsonValue, int]:
    if depth > _DEEPEST:
        raise ValueError("it is nested too deeply")
    sign = text[at : at + 1]
    if sign == "{":
        return _object(text, at, depth)
    if sign == "[":
        return _array(text, at, depth)
    if sign in _STRINGS:
        return _string(text, at)
    if (number := _NUMBER.match(text, at)) and any(map(str.isdigit, number[0])):
        return _number(number[0]), number.end()
    word = _WORD.match(text, at)
    if word is None or word[0] not in _WORDS:
        raise ValueError(f"no value at character {at}")
    return _WORDS[word[0]], word.end()


def _object(text: str, at: int, depth: int) -> tuple[dict[str, JsonValue], int]:
    found: dict[str, JsonValue] = {}
    at = _skip(text, at + 1)
    while text[at : at + 1] != "}":
        if text[at : at + 1] not in _STRINGS:
            raise ValueError(f"no key at character {at}")
        key, at = _string(text, at)
        at = _skip(text, at)
        if text[at : at + 1] != ":" or key in found:
            raise ValueError(f"a key twice, or without a value, at character {at}")
        found[key], at = _value(text, _skip(text, at + 1), depth + 1)
        at = _past_comma(text, at, "}")
    return found, at + 1


def _array(text: str, at: int, depth: int) -> tuple[list[JsonValue], int]:
    found: list[JsonValue] = []
    at = _skip(text, at + 1)
    while text[at : at + 1] != "]":
        value, at = _value(text, at, depth + 1)
        found.append(value)
        at = _past_comma(text, at, "]")
    return found, at + 1


def _past_comma(text: str, at: int, closing: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] == ",":
        return _skip(text, at + 1)
    if text[at : at + 1] != closing:
        raise ValueError(f"neither a comma nor the end at character {at}")
    return at


def _string(text: str, at: int) -> tuple[str, int]:
    found = _STRINGS[text[at]].match(text, at)
    if found is None:
        raise ValueError(f"a text without an end at character {at}")
    inside = found[1]
    if text[at] == "'":
        inside = re.sub(r"\\'", "'", re.sub(r'(\\.)|"', lambda sign: sign[1] or '\\"', inside, flags=re.DOTALL))
    return _LAX.decode(f'"{inside}"'), found.end()


def _number(text: str) -> int | float:
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    return _finite(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite)
_LAX = json.JSONDecoder(strict=False)
