"""JSON from outside, read within bounds: what is read here can be stored in a record and read back.

Python reads JSON as deep as its stack allows, records are read back to a depth of 200. Text in between could be written
into a file that then opens no more.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

DEEPEST = 100
"""Lists and objects within each other: half of what can be read back, for what is read is stored within others."""
_PARTS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
"""Texts, which count for nothing, also when they do not end; openings; closings. Matching never goes back."""
LONGEST_NUMBER = 20
"""Signs of a whole number that fits into 64 bits."""
_LONG_NUMBER = re.compile(r"[0-9]{19}")


def read_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is no JSON, or nested deeper than `DEEPEST`.
    """
    _refuse_deep(text)
    return json.loads(text)


def read_storable(text: str) -> Any:
    """The value of a JSON text as records can hold it: a number that is none, or fits into no 64 bits, is null.

    Raises:
        ValueError: it is no JSON, or nested deeper than `DEEPEST`.
    """
    _refuse_deep(text)
    return _STORABLE.decode(text)


def _refuse_deep(text: str) -> None:
    if is_deep(text):
        raise ValueError(f"it is nested deeper than {DEEPEST} levels")


def is_storable(value: Any) -> bool:
    """Whether a value that was read as JSON reads back from a record: finite numbers, of 64 bits where whole; UTF-8."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except ValueError:
        return False
    return _LONG_NUMBER.search(text) is None or read_storable(text) == value


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _whole(text: str) -> int | None:
    if len(text) > LONGEST_NUMBER or abs(int(text)) >= 2**63:
        return None
    return int(text)


_STORABLE = json.JSONDecoder(parse_constant=lambda name: None, parse_float=_finite, parse_int=_whole)
"""Made once: a stream is read in thousands of pieces."""


def is_deep(text: str, most: int = DEEPEST) -> bool:
    """Whether a JSON text is nested deeper, told in time that grows with its length, without reading it."""
    if text.count("[") + text.count("{") <= most:
        return False
    depth = 0
    for found in _PARTS.finditer(text):
        sign = text[found.start()]
        if sign in "[{":
            depth += 1
            if depth > most:
                return True
        elif sign in "]}":
            depth -= 1
    return False


def canonical_json(value: object) -> str:
    """One spelling for equal values: sorted keys, no spaces, no escapes beyond what JSON needs."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
