"""Secrets taken out of what a server wrote: as they are, and in the forms in which servers quote them."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from urllib.parse import quote, quote_plus

SHORTEST = 8
"""Characters of a secret that is looked for; shorter ones are the stand-ins of local servers, and ordinary words."""
_LAYERS = 3
"""Of JSON within JSON."""


class Redactor:
    """Replaces secrets in texts.

    Args:
        secrets: what stands instead -> the secret.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._instead = {
            form.lower(): instead
            for instead, secret in secrets.items()
            if len(secret) >= SHORTEST
            for form in _forms(secret)
        }
        longest_first = sorted(self._instead, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)", re.IGNORECASE | re.ASCII)

    def __call__(self, text: str) -> str:
        """The text without them."""
        lower = text.lower()
        if not any(
            form in lower for form in self._instead
        ):  # far quicker than the pattern, and what nearly always holds
            return text
        return self._pattern.sub(lambda found: self._instead[found[0].lower()], text)


def _forms(secret: str) -> set[str]:
    """The secret as itself, in Python, in a URL, on a page, in digits, in base64; each also within JSON, and JSON in that."""
    forms = {secret, repr(secret)[1:-1], html.escape(secret), html.escape(secret, quote=False), secret.encode().hex()}
    forms |= {quote(secret), quote(secret, safe=""), quote_plus(secret)} | _in_base64(secret)
    for _ in range(_LAYERS):
        forms |= {spelt for form in forms for spelt in _in_json(form)}
    return forms


def _in_json(text: str) -> set[str]:
    """As most write it, as PHP does, and as Go does."""
    plain = json.dumps(text)[1:-1]
    return {plain, plain.replace("/", "\\/"), re.sub(r"[<>&]", lambda sign: f"\\u{ord(sign[0]):04x}", plain)}


def _in_base64(secret: str) -> set[str]:
    """The digits of base64 that only the secret decides, wherever in a longer text it stands."""
    found = set[str]()
    for before in range(3):
        digits = base64.b64encode(b"\0" * before + secret.encode()).decode().rstrip("=")
        # The first digits hold bits of what stands before, the last may hold bits of what follows.
        inside = digits[-(-before * 8 // 6) : len(digits) - 1]
        found |= {inside, inside.replace("+", "-").replace("/", "_")}
    return {form for form in found if len(form) >= SHORTEST}
