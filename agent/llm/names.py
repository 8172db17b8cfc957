"""Names of models: servers write one model in several ways."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

_SHOWN = 5
_RELEASE = re.compile(r"[-@:](latest|free|\d{4}-\d{2}-\d{2}|\d{8}|\d{6}|\d{4}|\d{2}-\d{4})$")
"""An alias or a date at the end of a name, as in gpt-4o-2024-08-06, mistral-small-latest and llama3:latest."""


def is_same_model(one: str, other: str) -> bool:
    """Whether two names mean one model: whatever folder, provider, file ending, date or alias stands around them."""
    return _core(one) == _core(other)


def is_listed(name: str, listed: Sequence[str]) -> bool:
    """Whether a server that lists these takes that name; gateways list patterns such as openai/*."""
    return any(is_same_model(name, each) or fnmatchcase(name, each) for each in listed)


def nearest(name: str, listed: Sequence[str]) -> list[str]:
    """The listed names most like it; the first few where none is."""
    return get_close_matches(name, listed, n=_SHOWN, cutoff=0.5) or sorted(listed)[:_SHOWN]


def _core(name: str) -> str:
    last = re.split(r"[/\\]", name.strip().rstrip("/\\"))[-1].lower().removesuffix(".gguf")
    return _RELEASE.sub("", last)
