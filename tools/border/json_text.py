"""JSON from outside, read within bounds: what is read here can be stored in a record and read back.

Python reads JSON as deep as its stack allows, records are read back to a depth of 200. Text in between could be written
into a file that then opens no more.
"""

from __future__ import annotations

import json
import re
from typing import Any

DEEPEST = 100
"""Lists and objects within each other: half of what can be read back, for what is read is stored within others."""
_PARTS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
"""Texts, which count for nothing, also when they do not end; openings; closings. Matching never goes back."""


def read_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is no JSON, or nested deeper than `DEEPEST`.
    """
    if is_deep(text):
        raise ValueError(f"it is nested deeper than {DEEPEST} levels")
    return json.loads(text)


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
