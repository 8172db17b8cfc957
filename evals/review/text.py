"""Text from models and corpora as a page shows it: escaped, with every character that is not seen spelt out.

A right-to-left override or a zero-width letter changes what a reader sees without being seen. Here it stands as its code
point; letters of any script, right-to-left ones too, stay as they are.
"""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from prompts.unseen import is_unseen

_SPECIAL = re.compile(r"[^ -~]")
_LINE_FEED = Markup('<span class="unseen" title="line feed">⏎</span>')


def show_text(text: object) -> Markup:
    """Running text: line feeds and tabs are kept."""
    return _show(str(text), keep="\n\t")


def show_token(text: str) -> Markup:
    """A token, or a context's piece: line feeds are drawn."""
    return _show(text, keep="")


def _show(text: str, keep: str) -> Markup:
    pieces, start = list[str](), 0
    for found in _SPECIAL.finditer(text):
        letter = found[0]
        if letter in keep or not is_unseen(letter):
            continue
        spelt = _LINE_FEED if letter == "\n" else Markup(f'<span class="unseen">U+{ord(letter):04X}</span>')
        pieces += [str(escape(text[start : found.start()])), spelt]
        start = found.end()
    return Markup("".join([*pieces, str(escape(text[start:]))]))
