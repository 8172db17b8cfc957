"""What a request may say to the desk: one host with nothing after it, and how long its body is."""

from __future__ import annotations

import pytest

from evals.review.border import LARGEST, is_own_host, why_refused


@pytest.mark.parametrize(
    "asked",
    [
        *(
            "evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1:8765@evil.example",
            "[::1]evil.example",
            "[::1",
            "",
            ":",
        ),
        *(
            "127.0.0.1:8765, evil.example",
            "127.0.0.1 evil.example",
            "localhost:evil.example",
            "localhost\\evil.example",
        ),
        *("localhost/evil", "localhost#x", "localhost?x", "0x7f.1", "127.1", "127.0.0.1:999999", "１２７.0.0.1"),
    ],
)
def test_a_host_that_is_none_of_this_machine_is_refused(asked: str) -> None:
    assert not is_own_host(asked, "127.0.0.1")
    assert (why_refused("GET", {"host": asked}, "127.0.0.1") or (0,))[0] == 400


@pytest.mark.parametrize(
    "asked", ["127.0.0.1", "127.0.0.1:8765", "LOCALHOST:1", "[::1]", "[::1]:8765", "desk.example:80"]
)
def test_its_own_hosts_are_let_in(asked: str) -> None:
    assert is_own_host(asked, "desk.example")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"transfer-encoding": "chunked"}, 411),
        ({"transfer-encoding": "chunked", "content-length": "1"}, 411),
        ({"content-length": str(LARGEST + 1)}, 413),
        ({"content-length": "9" * 5000}, 413),
        ({"content-length": "²"}, 413),
        ({"content-length": "-1"}, 413),
        ({"content-length": "1", "origin": "null"}, 403),
    ],
)
def test_a_body_without_a_bound_is_not_read(headers: dict[str, str], status: int) -> None:
    refused = why_refused("POST", {"host": "127.0.0.1:1", **headers}, "127.0.0.1")
    assert refused is not None and refused[0] == status
