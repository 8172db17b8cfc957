"""Characters that a reader does not see, and how each stands instead: the one table for prompts and for people."""

from __future__ import annotations

import unicodedata

_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_BLANK = {"\u115f", "\u1160", "\u17b4", "\u17b5", "\u2800", "\u3164", "\uffa0", "\ufffc"}
"""Without a glyph, although their category is not one of the unseen."""
_DRAWN = {"\n": "⏎", "\r": "␍", "\t": " "}


def is_unseen(letter: str) -> bool:
    """Whether a character leaves nothing on a page or a screen that shows it is there; a space does not count."""
    code = ord(letter)
    selector = 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or 0x180B <= code <= 0x180F
    return selector or letter in _BLANK or unicodedata.category(letter) in _CATEGORIES


def spell_letter(letter: str) -> str:
    r"""The character itself if it is seen, else `\u{1b}` and its kind; line ends are drawn."""
    if letter in _DRAWN:
        return _DRAWN[letter]
    return f"\\u{{{ord(letter):x}}}" if is_unseen(letter) else letter
