"""Addresses of endpoints: what may be one, which two are the same, and which need no key to be safe."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from agent.errors import RunError

_CHAT = "/chat/completions"
_HOST = re.compile(r"[\w.\-]+|[0-9a-f:.]+(?:%\w+)?", re.IGNORECASE)
"""Names and numbers: of other signs, programs differ in where a host ends."""
_VERSION = re.compile(r"/(v\d+\w*|openai)(/|$)")
"""What the path of a base URL has where providers number their interfaces: /v1, /v1beta/openai, /api/paas/v4."""


def read_address(text: str) -> str:
    """A base URL as it is stored and shown: without spaces around it, a slash at its end or the path that we add to it.

    Raises:
        RunError: it cannot be one. A password or a key in it is not repeated.
    """
    address = text.strip()
    if not re.match(r"https?://", address, re.IGNORECASE):
        guess = f"http://{address}" if re.fullmatch(r"[\w.\-\[\]:]+(/\S*)?", address) else "http://HOST:PORT/v1"
        raise RunError(f"the base URL has no http:// or https:// before it: give {guess}")
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise RunError(f"the base URL cannot be read: {error}") from None
    if not host or re.search(r"\s", address) or not _HOST.fullmatch(host):
        raise RunError("the base URL names no host: give http://HOST:PORT/v1")
    if "@" in parts.netloc:
        raise RunError(
            f"the base URL of {host} carries a user or a password: put secrets into OPENAI_API_KEY or --header"
        )
    if parts.query or parts.fragment or "?" in address or "#" in address:
        raise RunError(
            f"the base URL of {host} carries a query (?… or #…), which may hold a secret and would be stored: leave it out"
        )
    path = parts.path.rstrip("/").removesuffix(_CHAT).rstrip("/")
    return f"{parts.scheme.lower()}://{parts.netloc}{path}"


def is_readable(address: str) -> bool:
    """Whether it is an address at all; one that a manifest names may be anything."""
    try:
        read_address(address)
    except RunError:
        return False
    return True


def has_version(address: str) -> bool:
    """Whether a path such as /v1 stands in it."""
    return _VERSION.search(urlsplit(address).path) is not None


def is_same(one: str, other: str) -> bool:
    """Whether two base URLs lead to the same endpoint; a missing /v1 is no difference."""
    return is_readable(one) and is_readable(other) and _bare(one) == _bare(other)


def is_loopback(address: str) -> bool:
    """Whether it stays on this machine."""
    if not is_readable(address):
        return False
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _bare(address: str) -> tuple[str, str, int | None, str]:
    parts = urlsplit(address)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme.lower(), (parts.hostname or "").lower(), port, parts.path.rstrip("/").removesuffix("/v1")
