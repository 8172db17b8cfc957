"""Characters that a reader does not see, spelt out: so that what is shown is what is there.

An escape sequence repaints a terminal, a right-to-left override or a zero-width letter changes what a line seems to say,
and a line feed begins a line that seems to be ours. Each stands as its code point instead; letters of any script,
right-to-left ones too, stay as they are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_BLANK = {"\u115f", "\u1160", "\u17b4", "\u17b5", "\u2800", "\u3164", "\uffa0", "\ufffc"}
"""Without a glyph, although their category is not one of the unseen."""
_DRAWN = {"\n": "⏎", "\r": "␍", "\t": " "}
_SPECIAL = re.compile(r"[^ -~]")


def is_unseen(letter: str) -> bool:
    """Whether a character leaves nothing on a page or a screen that shows it is there; a space does not count."""
    code = ord(letter)
    selector = 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or 0x180B <= code <= 0x180F
    return selector or letter in _BLANK or unicodedata.category(letter) in _CATEGORIES


def spell_out(text: str) -> str:
    r"""The text as one line in which every unseen character stands as `\u{1b}`, and line ends are drawn."""
    return _SPECIAL.sub(lambda found: _spelt(found[0]), text)


def page(lines: Iterable[str]) -> str:
    """Lines as the text of a file, each spelt out as one."""
    return "".join(f"{spell_out(line)}\n" for line in lines)


def _spelt(letter: str) -> str:
    if letter in _DRAWN:
        return _DRAWN[letter]
    return f"\\u{{{ord(letter):x}}}" if is_unseen(letter) else letter
