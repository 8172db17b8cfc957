"""Hosts and ports as URLs, sockets and the environment's proxies name them, in one form."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks5": 1080, "socks5h": 1080}


class Place(NamedTuple):
    """Where a connection may lead."""

    host: str
    """In lower case: a name, an address, or `*.DOMAIN` for every name below a domain."""
    port: int

    @classmethod
    def of(cls, url: str) -> Place:
        """The place that a URL names, with its scheme's port unless it names one; none that exists for what is no URL."""
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            return cls(canonical(parts.hostname or ""), parts.port or _PORTS.get(parts.scheme, 443))
        except ValueError:
            return cls("", 0)

    def covers(self, name: str) -> bool:
        """Whether a name, or an address, is this place's."""
        return name == self.host or (self.host.startswith("*.") and name.endswith(self.host[1:]))


def find_proxy(url: str) -> str | None:
    """URL of the proxy that the environment names for a URL's scheme and host."""
    from urllib.request import getproxies, proxy_bypass

    scheme, _, rest = url.partition("://")
    proxies = getproxies()
    proxy = proxies.get(scheme.lower()) or proxies.get("all")
    return None if proxy is None or proxy_bypass(rest.partition("/")[0].rpartition("@")[2]) else proxy


def host_text(host: object) -> str:
    """A host as it was given to a socket, in one form; empty for none."""
    if isinstance(host, bytes | bytearray):
        return canonical(bytes(host).decode("ascii", "replace"))
    return canonical(host) if isinstance(host, str) else ""


def canonical(host: str) -> str:
    """Lower case, no final dot; an address in its shortest form, and IPv4 within IPv6 as IPv4."""
    bare = host.lower().removesuffix(".").partition("%")[0]
    try:
        address = ip_address(bare)
    except ValueError:
        return bare
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def is_address(name: str) -> bool:
    """Whether it is an IP address in canonical form, and so nothing to look up."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
