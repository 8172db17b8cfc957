"""One model under several names."""

from __future__ import annotations

import pytest

from agent.llm.names import is_listed, is_same_model, nearest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("gpt-3.5-turbo", "gpt-3.5-turbo-0125"),
        ("mistral-small-latest", "mistral-small-2409"),
        ("claude-x-20260101", "claude-x"),
        ("llama3", "llama3:latest"),
        ("gemini-flash", "models/gemini-flash"),
        ("openai/gpt-4o", "gpt-4o"),
        ("qwen", "/models/Qwen.gguf"),
        ("qwen", r"C:\models\qwen.gguf"),
    ],
)
def test_dates_folders_and_aliases_are_no_difference(one: str, other: str) -> None:
    assert is_same_model(one, other) and is_same_model(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [("gpt-4o", "gpt-4o-mini"), ("llama3:8b", "llama3:70b"), ("qwen2.5-7b", "qwen2.5-1.5b"), ("a", "b")],
)
def test_sizes_and_kinds_are(one: str, other: str) -> None:
    assert not is_same_model(one, other)


def test_gateways_list_patterns() -> None:
    assert is_listed("openai/gpt-4o", ["anthropic/*", "openai/*"])
    assert not is_listed("mistral/large", ["anthropic/*", "openai/*"])


def test_the_nearest_names_are_shown_or_the_first_where_none_is_near() -> None:
    assert nearest("qwen2.5-cdoer", ["llama", "qwen2.5-coder", "phi"])[0] == "qwen2.5-coder"
    assert nearest("zzz", [f"model-{n}" for n in range(9)]) == [f"model-{n}" for n in range(5)]
