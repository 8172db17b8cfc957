"""Characters that a reader does not see, spelt out: so that what is shown is what is there.

An escape sequence repaints a terminal, a right-to-left override or a zero-width letter changes what a line seems to say,
and a line feed begins a line that seems to be ours. Each stands as its code point instead; letters of any script,
right-to-left ones too, stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from prompts.unseen import spell_letter

_SPECIAL = re.compile(r"[^ -~]")


def spell_out(text: str) -> str:
    r"""The text as one line in which every unseen character stands as `\u{1b}`, and line ends are drawn."""
    return _SPECIAL.sub(lambda found: spell_letter(found[0]), text)


def page(lines: Iterable[str]) -> str:
    """Lines as the text of a file, each spelt out as one."""
    return "".join(f"{spell_out(line)}\n" for line in lines)
