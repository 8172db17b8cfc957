"""Prompts cut in silence: noticed by the server's own count, and by nothing that an honest server may count."""

from __future__ import annotations

import itertools
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.llm.reading.counts import counted_tokens, fewest_tokens, why_cut

PROSE = "The feature fires on words for the heart, its chambers and its valves; 17 of 20 contexts name one. " * 60


def body(text: str) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "system", "content": text}, {"role": "user", "content": "Judge it."}]}


def reply(prompt_tokens: Any, **rest: Any) -> dict[str, Any]:
    return {"message": {}, "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": 9, **rest}}


def test_a_count_far_below_what_was_sent_is_a_prompt_cut_in_silence() -> None:
    words = why_cut(body(PROSE), reply(512), 0)
    assert words is not None and "512" in words and str(fewest_tokens(body(PROSE))) in words
    assert "num_ctx" in words and "OLLAMA_CONTEXT_LENGTH" in words
    assert why_cut(body(PROSE), reply(512), most_counted=512), "every prompt is cut to the same length"


@pytest.mark.parametrize(
    ("answer", "most_counted"),
    [
        (reply(1500), 0),
        ({"message": {}, "usage": None}, 0),
        (reply(None), 0),
        (reply("900"), 0),
        (reply(0), 0),
        (reply(1), 0),
        (reply(200), 0),
        (reply(300, prompt_tokens_details={"cached_tokens": 1200}), 0),
        (reply(300, cache_read_input_tokens=1200), 0),
        (reply(300, prompt_cache_hit_tokens=1200, prompt_cache_miss_tokens=300), 0),
        (reply(600), 1700),
        (reply(600), 900),
    ],
    ids=[
        "enough",
        "no usage",
        "no count",
        "a count as text",
        "none counted",
        "one counted",
        "fewer than any context holds",
        "the cached counted apart",
        "the cached counted apart, as Anthropic does",
        "the cached counted apart, as DeepSeek does",
        "a prompt as long was counted before",
        "a longer count before: what is cached is left out",
    ],
)
def test_what_an_honest_server_may_count_is_not_taken_for_a_cut(answer: dict[str, Any], most_counted: int) -> None:
    assert why_cut(body(PROSE), answer, most_counted) is None


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("心臓の弁と心室についての説明である。" * 40, 700),
        ("หัวใจและหลอดเลือด" * 40, 500),
        ("Herzrhythmusstörungsbehandlung " * 50, 50),
        ("हिन्दी में हृदय के वाल्व " * 50, 250),
        ("الْقَلْبُ وَالْأَوْعِيَةُ " * 50, 100),
        ("cafe\u0301 " * 50, 50),
        ("x" * 5000, 1),
        ("0.123 " * 100, 200),
        ("===== ---- ....\n" * 100, 0),
    ],
    ids=[
        "Japanese",
        "Thai",
        "long German words",
        "Hindi",
        "Arabic with vowels",
        "accents apart",
        "one long word",
        "numbers",
        "rules and dots",
    ],
)
def test_the_fewest_tokens_are_few_in_every_script(text: str, most: int) -> None:
    assert fewest_tokens({"messages": [{"role": "user", "content": text}]}) <= most


@given(st.lists(st.sampled_from(["heart", "Herz", "心臓", " ", ", ", "1234", "«x»", "\n"])))
def test_the_fewest_tokens_are_never_more_than_letters_and_digits(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert fewest_tokens({"messages": [{"role": "user", "content": text}]}) <= sum(map(str.isalnum, text))


def test_signs_and_unspaced_scripts_are_counted_as_they_always_were() -> None:
    pieces = [
        "heart",
        "e\u0301",
        "\u200d",
        "心臓",
        "๑๒ก",
        "ก๑",
        "x1",
        "  ",
        "\u0651",
        "é",
        "«",
        "…",
        "_",
        "²",
        "฿",
        "?",
    ]
    for size in (1, 2, 3):
        for chosen in itertools.product(pieces, repeat=size):
            text = "".join(chosen)
            assert fewest_tokens({"messages": [{"role": "user", "content": text}]}) == fewest_sign_by_sign(text), text


def fewest_sign_by_sign(text: str) -> int:
    """The definition, spelt out: runs of letters, of digits and of letters of scripts without spaces, four of which are one."""
    kept = "".join(sign for sign in text if unicodedata.category(sign) not in ("Mn", "Mc", "Me", "Cf"))
    unspaced = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    runs = re.findall(rf"[^\W\d_{unspaced}]+|\d+|[{unspaced}]+", kept)
    return sum(-(-len(run) // 4) if re.match(f"[{unspaced}]", run) else 1 for run in runs)


def test_tokens_from_the_cache_are_counted_in() -> None:
    assert counted_tokens(reply(10, prompt_tokens_details={"cached_tokens": 5})) == 15
    assert counted_tokens(reply(10, prompt_tokens_details=None)) == 10
    assert counted_tokens({}) is None
