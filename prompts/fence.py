"""Fences: everything that comes from a corpus, a model or a token list stands inside one, and cannot get out.

A fence opens with `<<<label` and closes with `label>>>`, each on a line of its own. What stands inside cannot write either
mark, because no angle bracket of any kind survives in it, and cannot open a line, because each of its lines is given
`| ` first. Characters that are not seen (controls, zero-width, direction overrides, tags, variation selectors) are
spelt out, so that nothing reaches the reader of the text which a person looking at it would miss.
"""

from __future__ import annotations

import re
import unicodedata

from prompts.unseen import spell_letter

_ANGLES = {
    "≪": "‹‹",
    "≫": "››",
    "⋘": "‹‹‹",
    "⋙": "›››",
    "⟨": "‹",
    "⟩": "›",
    "〈": "‹",
    "〉": "›",
    "《": "‹‹",
    "》": "››",
}
_ORDINARY = re.compile(r"[ -;=?-Z\\-~]*")
"""ASCII without angle or opening brackets: most text, and nothing in it to escape."""
_SPECIAL = re.compile(r"[^ -;=?-~]")
"""Any letter that may have to be escaped: all but printable ASCII without angle brackets."""
_CONTROL_WORD = re.compile(r"\[(/?[A-Z_]{3,20})\]")
"""`[INST]` and its kind, which some models' templates read as the start of a turn."""


def escape(text: str) -> str:
    """The text as one line that cannot forge a fence: angle brackets replaced, unseen characters spelt out."""
    if _ORDINARY.fullmatch(text):
        return text
    return _CONTROL_WORD.sub(r"⟦\1⟧", _SPECIAL.sub(lambda found: _escape_letter(found[0]), text))


def clip(text: str, cap: int) -> str:
    """At most about `cap` characters; what is left out is counted in a mark at the end."""
    if len(text) <= cap:
        return text
    return f"{text[:cap]} [… {len(text) - cap} characters left out]"


def fence(label: str, text: str, cap: int) -> str:
    """The text inside a fence.

    Args:
        label: lower-case words that say what it is; ours, never from outside.
        text: from outside; its line feeds are kept, each line marked.
        cap: most characters of it, after escaping.

    Raises:
        ValueError: the label is not of the letters a-z and spaces.
    """
    if not re.fullmatch(r"[a-z][a-z ]*", label):
        raise ValueError(f"a fence's label is lower-case words, not {label!r}")
    lines = clip("\n".join(map(escape, text.split("\n"))), cap).split("\n")
    return "\n".join([f"<<<{label}", *(f"| {line}" for line in lines), f"{label}>>>"])


def outside(rendered: str) -> str:
    """What of a rendered prompt stands outside every fence: the text that may instruct."""
    kept: list[str] = []
    label: str | None = None
    for line in rendered.split("\n"):
        if label is None and (opened := re.fullmatch(r"<<<([a-z][a-z ]*)", line)):
            label = opened[1]
        elif label is None:
            kept.append(line)
        elif line == f"{label}>>>":
            label = None
    return "\n".join(kept)


def _escape_letter(letter: str) -> str:
    if letter in _ANGLES:
        return _ANGLES[letter]
    spelt = spell_letter(letter)
    if spelt != letter:
        return spelt
    plain = unicodedata.normalize("NFKC", letter)
    return plain.replace("<", "‹").replace(">", "›") if "<" in plain or ">" in plain else letter
