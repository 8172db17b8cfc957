"""What the desk lets in and what it sends along: hosts and sites that may ask, and the headers of every answer.

A page of another site must neither write labels here nor read runs. The first would send a form or a request across
sites, which browsers mark; the second would point a name of its own at this machine (DNS rebinding), which shows in `Host`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST = 1 << 20
"""Bytes of a request's body."""
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send no usable Origin along with a form
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HOST = re.compile(r"(?:[\w.\-]+|\[[0-9a-f:.%]+\])(?::[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
"""A name or an address with at most a port, and nothing after it."""
_SAFE = ("GET", "HEAD", "OPTIONS")


class Border:
    """ASGI middleware around the whole desk."""

    def __init__(self, app: ASGIApp, host: str = "127.0.0.1") -> None:
        """Guard an app that is served on `host`."""
        self._app = app
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse with 400 (host), 403 (another site) or 413 (too much)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refused = why_refused(scope["method"], Headers(scope=scope), self._host)
        if refused is None:
            await self._app(scope, receive, send_guarded)
        else:
            status, text = refused
            await PlainTextResponse(text + "\n", status)(scope, receive, send_guarded)


def why_refused(method: str, headers: Mapping[str, str], host: str) -> tuple[int, str] | None:
    """Status and reason; None for a request that is let in.

    Args:
        method: of the request.
        headers: of the request; names are found in any case.
        host: the desk is served on.
    """
    asked = headers.get("host", "")
    if not is_own_host(asked, host):
        return 400, "this desk answers to its own address only"
    if method in _SAFE:
        return None
    if not is_own_site(headers, asked):
        return 403, "this desk takes nothing from other sites"
    if "transfer-encoding" in headers:  # browsers say how long a form is; a body in chunks may never end
        return 411, "say how long the body is"
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdecimal() and len(length) < 20) or int(length) > LARGEST:
        return 413, f"more than {LARGEST:,} bytes"
    return None


def is_own_host(asked: str, host: str) -> bool:
    """Whether a `Host` header names this desk: by an address, as localhost, or as it was told to be served.

    An address cannot be rebound; a name that someone else owns can.
    """
    if not _HOST.fullmatch(asked):
        return False
    try:
        name = urlsplit(f"//{asked}").hostname or ""
    except ValueError:
        return False
    if name in ("localhost", host.lower()):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_own_site(headers: Mapping[str, str], asked: str) -> bool:
    """Whether a request that changes something comes from a page of this desk, or from no browser at all."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    return origin is None or origin == f"http://{asked}"
