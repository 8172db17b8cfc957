"""Base URLs as people paste them."""

from __future__ import annotations

import pytest

from agent.errors import RunError
from agent.llm.http.address import has_version, is_loopback, is_same, read_address


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (" http://localhost:8000/v1/ ", "http://localhost:8000/v1"),
        ("HTTPS://Host.example/v1", "https://Host.example/v1"),
        ("http://host:8000", "http://host:8000"),
        ("http://host/v1/chat/completions", "http://host/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_what_stands_around_an_address_is_taken_off(given: str, read: str) -> None:
    assert read_address(given) == read


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("localhost:11434/v1", "give http://localhost:11434/v1"),
        ("host.example", "give http://host.example"),
        ("ftp://host/v1", "no http:// or https://"),
        ("http://user:hunter2@host/v1", "host carries a user or a password"),
        ("http://host/v1?key=hunter2", "carries a query"),
        ("http://host/v1#hunter2", "carries a query"),
        ("http://host:port/v1", "cannot be read"),
        ("http://host:99999/v1", "cannot be read"),
        ("http:///v1", "names no host"),
        ("http://a host/v1", "names no host"),
        ("http://[::1/v1", "cannot be read"),
        ("", "no http:// or https://"),
    ],
)
def test_what_is_no_address_is_refused_without_repeating_a_secret(given: str, said: str) -> None:
    with pytest.raises(RunError, match=said) as caught:
        read_address(given)
    assert "hunter2" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["/v1", "/v1beta/openai", "/api/v1", "/api/paas/v4", "/openai/v1", "/v1/"])
def test_a_version_is_known_by_its_number(path: str) -> None:
    assert has_version(f"https://host{path}")


@pytest.mark.parametrize("path", ["", "/", "/api", "/vendor", "/v"])
def test_a_path_without_one_is_not(path: str) -> None:
    assert not has_version(f"https://v1.host{path}")


def test_a_missing_version_or_port_is_no_other_endpoint_but_another_host_is() -> None:
    assert is_same("http://HOST/v1/", "http://host:80")
    assert not is_same("http://host/v1", "https://host/v1")
    assert not is_same("http://host:81/v1", "http://host/v1")
    assert not is_same("http://host.example/v1", "http://host/v1")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "[::1]", "a.localhost"])
def test_loopback_is_this_machine(host: str) -> None:
    assert is_loopback(f"http://{host}:8000/v1")


@pytest.mark.parametrize("host", ["10.0.0.1", "0.0.0.0", "localhost.example", "127.0.0.1.example"])
def test_nothing_else_is(host: str) -> None:
    assert not is_loopback(f"http://{host}:8000/v1")
