"""HTTP to one endpoint: nothing followed, nothing unbounded, and a secret in no exception."""

from __future__ import annotations

import itertools
import os
import ssl
from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

import httpx2

from agent.errors import RunError
from agent.llm.settings import LlmSettings

CONNECT_S = 10.0
MOST_BYTES = 8 * 2**20
"""Of a body, once it is unpacked: no reply comes near it."""
_CONNECTIONS_PER_POOL = 8
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")


class Received(NamedTuple):
    """An answer over HTTP, whatever its status."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.data.decode("utf-8", "replace")


class Silence(Exception):
    """Nothing came for as long as the settings allow."""


class Unreachable(Exception):
    """No connection, or one that broke off; the text says how."""


class TooLong(Exception):
    """A body of more bytes than any reply has."""


class Connection:
    """Sends to one endpoint, through several small pools: one large pool looks through all it has for every request."""

    def __init__(self, settings: LlmSettings) -> None:
        self._settings = settings
        self._pools: list[httpx2.AsyncClient] = []
        self._turns = itertools.count()
        self._urls: dict[str, httpx2.URL] = {}

    async def get(self, path: str) -> Received:
        """Ask for what lies under a path of the base URL.

        Raises:
            Silence, Unreachable, TooLong: no answer came.
            RunError: a setting of the machine stands in the way.
        """
        return await self._exchange("GET", path, None, lambda data: None)

    async def post(self, path: str, body: bytes, take: Callable[[bytes], object] = lambda data: None) -> Received:
        """Send JSON.

        Args:
            path: under the base URL.
            body: the JSON.
            take: gets the bytes of a good answer as they come.

        Raises:
            Silence, Unreachable, TooLong: no answer came, or not all of it.
            RunError: a setting of the machine stands in the way.
        """
        return await self._exchange("POST", path, body, take)

    async def aclose(self) -> None:
        """Close all that is open."""
        for pool in self._pools:
            await pool.aclose()
        self._pools.clear()

    async def _exchange(self, method: str, path: str, body: bytes | None, take: Callable[[bytes], object]) -> Received:
        # What is raised here begins anew (`from None`): the library's exceptions hold the request, and so the key.
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            url = self._url(path)
            async with self._pool().stream(method, url, content=body, headers=headers) as response:
                data, is_good = bytearray(), response.is_success
                packed = "content-encoding" in response.headers
                # What unpacks looks at every chunk even where there is nothing to unpack, and a stream has many.
                async for chunk in response.aiter_bytes() if packed else response.aiter_raw():
                    data += chunk
                    if len(data) > MOST_BYTES:
                        raise TooLong(f"more than {MOST_BYTES:,} bytes came")
                    if is_good:
                        take(chunk)
                return Received(response.status_code, response.headers, bytes(data))
        except httpx2.ConnectTimeout:
            raise Unreachable(f"no connection within {CONNECT_S:g} s") from None
        except httpx2.TimeoutException:
            raise Silence from None
        except (httpx2.RequestError, httpx2.InvalidURL, ssl.SSLError, UnicodeError) as error:
            raise Unreachable(self._settings.redacted(f"{type(error).__name__}: {error}".rstrip(": "))) from None

    def _url(self, path: str) -> httpx2.URL:
        if path not in self._urls:
            self._urls[path] = httpx2.URL(self._settings.base_url.rstrip("/") + path)
        return self._urls[path]

    def _pool(self) -> httpx2.AsyncClient:
        if not self._pools:
            certificates = read_certificates()
            count = -(-self._settings.concurrency // _CONNECTIONS_PER_POOL)
            self._pools = [open_client(self._settings, certificates) for _ in range(count)]
        return self._pools[next(self._turns) % len(self._pools)]


def read_certificates() -> ssl.SSLContext:
    """What the machine trusts; slow to read, so it is read once while the environment says the same of it.

    Raises:
        RunError: a variable of the environment names certificates that cannot be read.
    """
    try:
        return _read_certificates(*map(os.environ.get, _CERTIFICATES))
    except (OSError, ssl.SSLError) as error:
        name = next((name for name in _CERTIFICATES if os.environ.get(name)), "")
        which = f"{name}={os.environ[name]}" if name else "the machine's certificates"
        raise RunError(
            f"{which} cannot be read ({error.strerror or error}): name a file of certificates, or unset it"
        ) from None


@cache
def _read_certificates(*_named: str | None) -> ssl.SSLContext:
    return httpx2.create_ssl_context()


def open_client(settings: LlmSettings, certificates: ssl.SSLContext) -> httpx2.AsyncClient:
    """A pool of connections.

    Raises:
        RunError: a proxy is configured that cannot be used.
    """
    silence = settings.timeout_seconds
    try:
        return httpx2.AsyncClient(
            headers=settings.request_headers(),
            verify=certificates,
            follow_redirects=False,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=2 * _CONNECTIONS_PER_POOL),
            timeout=httpx2.Timeout(silence, connect=CONNECT_S, pool=None),
        )
    except (ImportError, ValueError, httpx2.InvalidURL) as error:
        names = [name for name in _PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
        which = " or ".join(names) or "the proxy"
        raise RunError(_explain_proxy(which, error)) from None


def _explain_proxy(which: str, error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"a SOCKS proxy is configured ({which}) and cannot be used: install httpx2[socks], or unset {which}"
    return f"the proxy that is configured ({which}) cannot be used: give http://HOST:PORT, or unset {which}"
