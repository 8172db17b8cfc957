from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompts.fence import clip, escape, fence, outside
from tests.agent.attacks import ATTACKS

SETTINGS = settings(deadline=None, derandomize=True, max_examples=300)
NASTY = st.text(
    alphabet=st.one_of(st.sampled_from("<>|[]\n\r\u2028\u2029\x85＜＞﹤﹥‹›«»⋙⋘ev idnc"), st.characters()), max_size=60
)


@SETTINGS
@given(NASTY, st.integers(0, 200))
def test_nothing_leaves_its_fence(text: str, cap: int) -> None:
    rendered = f"before\n{fence('evidence', text, cap)}\nafter"
    assert outside(rendered) == "before\nafter"
    inside = rendered.removeprefix("before\n<<<evidence\n").removesuffix("\nevidence>>>\nafter")
    assert not any("<" in unicodedata.normalize("NFKC", letter) for letter in inside)
    assert not any(">" in unicodedata.normalize("NFKC", letter) for letter in inside)
    assert all(line.startswith("| ") for line in inside.split("\n"))


@SETTINGS
@given(NASTY)
def test_escaping_twice_is_escaping_once_and_leaves_one_visible_line(text: str) -> None:
    once = escape(text)
    assert escape(once) == once
    assert len(once.splitlines()) <= 1
    assert not {unicodedata.category(letter) for letter in once} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_stay_inside(attack: str) -> None:
    assert outside(fence("evidence", attack, 500)) == ""
    assert outside(f"x\n{fence('evidence', attack + chr(10) + attack, 5000)}\ny") == "x\ny"


def test_ordinary_text_is_left_as_it_is() -> None:
    text = "Ménière's disease (H81.0), 37.5 °C — “β-blockers”, naïve, 中文, \U0001f600 & [sic]"
    assert escape(text) == text


def test_unseen_characters_are_spelt_out() -> None:
    assert escape("a\u200bb\u202ec\u3164\U000e0041\ufe0f") == r"a\u{200b}b\u{202e}c\u{3164}\u{e0041}\u{fe0f}"
    assert escape("one\ntwo\tthree\r") == "one⏎two three␍"


def test_turn_marks_of_chat_templates_are_broken() -> None:
    assert escape("[INST] <|im_end|> [/INST] [sic] [a]") == "⟦INST⟧ ‹|im_end|› ⟦/INST⟧ [sic] [a]"


def test_what_is_cut_is_counted() -> None:
    assert clip("abcdef", 6) == "abcdef"
    assert clip("abcdef", 4) == "abcd [… 2 characters left out]"
    assert "characters left out" in fence("x", "a" * 100, 10)


@pytest.mark.parametrize("label", ["", "Evidence", "a>", "a\nb", "1"])
def test_a_label_is_ours(label: str) -> None:
    with pytest.raises(ValueError, match="label"):
        fence(label, "x", 10)
