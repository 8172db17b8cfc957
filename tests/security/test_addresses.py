"""Addresses that a manifest names: whatever is written there, a key goes where somebody of now said, or nowhere."""

from __future__ import annotations

import argparse

import httpx2
import pytest
from pydantic import ValidationError

from agent.beginning.resuming import choose_address
from agent.errors import RunError
from agent.llm.http.address import is_loopback, is_same
from agent.llm.settings import DEFAULT_BASE_URL, LlmChoice, Secrets

KEY = "sk-0123456789abcdef"
HOME = "127.0.0.1:1"
WRITTEN = (
    *("http://127.0.0.1:99999/v1", "http://[::1/v1", "http://h:abc/v1", "http://localhost\\evil/v1", "http://[v1.x]/"),
    *("http://127.0.0.1.evil.example/v1", "http://127.0.0.1#evil/", "http://0x7f000001:1/v1", "http://localhost.:1/"),
    *(
        "http://127。0。0。1:1/v1",
        "http://\x1b[31m:1/v1",
        "http://evil.example\\.localhost/v1",
        "http://api.openai.com:443/v1",
    ),
    *("http://evil.example%2f.localhost/v1", "http://evil.example#.localhost/v1", "http://evil.example?.localhost/v1"),
    *("https://api.openai.com?x=1", "https://api.openai.com\\.evil.example/v1", "https://api.openai.com:443:1/v1"),
    *("https://api.openai.com;evil/v1", "https://api.openai.com%2eevil.example/v1", "https://api.openai.com./v1"),
    *(
        "https://api.openai.com\x00.evil.example/v1",
        "https://ap\u0131.openai.com/v1",
        "https://api.openai.com@evil.example/v1",
    ),
    *("https://evil.example/api.openai.com/v1", "https://api.openai.com.evil.example/v1", "https://xapi.openai.com/v1"),
)


@pytest.mark.parametrize("written", WRITTEN, ids=ascii)
@pytest.mark.parametrize("named", [None, DEFAULT_BASE_URL, f"http://{HOME}/v1"])
@pytest.mark.parametrize("key", [None, KEY])
def test_an_address_in_a_manifest_is_taken_for_none_that_it_is_not(
    written: str, named: str | None, key: str | None
) -> None:
    try:
        LlmChoice(model="m", base_url=written)
    except ValidationError:
        return  # no manifest with it opens
    environment = {"OPENAI_BASE_URL": named} if named else {}
    with pytest.raises(RunError) as refused:
        choose_address(written, Secrets(key), argparse.Namespace(base_url=None), environment)
    assert "--base-url" in str(refused.value)
    assert not is_same(written, DEFAULT_BASE_URL) and not is_loopback(written)


@pytest.mark.parametrize(
    "written", ["https://API.openai.com/v1/", "https://api.openai.com:443/v1", "https://api.openai.com:0443"]
)
def test_another_spelling_of_the_same_address_is_the_same_to_whoever_sends(written: str) -> None:
    chosen = choose_address(written, Secrets(KEY), argparse.Namespace(base_url=None), {})
    assert httpx2.URL(chosen).host == "api.openai.com" and httpx2.URL(chosen).port in (None, 443)
