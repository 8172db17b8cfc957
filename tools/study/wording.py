"""What of a study is shown to a model as instruction: names and definitions of a line each, and the guideline.

They are said outside every fence, so none of them may look like one: a definition that could open or close a fence would
turn data into instruction, or hide the guideline from its reader.
"""

from __future__ import annotations

import glob
import re
import unicodedata
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from tools.border.text_files import read_text
from tools.errors import StudyError

LONGEST_LINE = 2000
"""Most characters of a name or a definition."""
LONGEST_GUIDELINE = 256 * 2**10
"""Most bytes of a guideline."""
_FENCE = re.compile(r"<{3}|>{3}")
_FENCE_LINE = re.compile(r"\s*(<{3}\s*[a-z][a-z ]*|[a-z][a-z ]*\s*>{3})\s*", re.IGNORECASE)
_JOINERS = "\u200c\u200d"
"""Unseen, and part of how some languages are spelt."""


def check_line(text: str) -> str:
    """One line of printable text without the marks of a fence.

    Raises:
        ValueError: it is not that.
    """
    if len(text) > LONGEST_LINE:
        raise ValueError(f"it is longer than {LONGEST_LINE:,} characters")
    if _FENCE.search(unicodedata.normalize("NFKC", text)):
        raise ValueError("it holds <<< or >>>, the marks that part data from instruction")
    for letter in text:
        if not (letter.isprintable() or unicodedata.category(letter) == "Zs" or letter in _JOINERS):
            what = "a line break" if letter in "\r\n\u2028\u2029" else f"the unseen character U+{ord(letter):04X}"
            raise ValueError(f"it holds {what}: it is one line of printable text")
    return text


Line = Annotated[str, AfterValidator(check_line)]
"""A name or a definition."""


def list_versions(file: Path) -> list[Path]:
    """A guideline's versions, oldest first: `guideline.md`, `guideline.v2.md` and so on.

    Like a prompt, one that judges or people have used is not changed: the next version is another file, which new runs
    take, and a stored run finds its own by its hash.

    Args:
        file: the first, which the study names.
    """
    later = {
        int(found[1]): path
        for path in file.parent.glob(f"{glob.escape(file.stem)}.v*{glob.escape(file.suffix)}")
        if (found := re.fullmatch(rf"{re.escape(file.stem)}\.v([1-9]\d*){re.escape(file.suffix)}", path.name))
    }
    return [file, *(later[number] for number in sorted(later))]


def read_guideline(file: Path) -> str:
    """A guideline as it is shown to judges and people.

    Raises:
        StudyError: it is missing, not UTF-8, empty, too long, or holds a line that is a fence's.
    """
    text = read_text(file, most=LONGEST_GUIDELINE)
    if not text.strip():
        raise StudyError(f"the guideline {file} is empty")
    for number, line in enumerate(text.split("\n"), 1):
        if _FENCE_LINE.fullmatch(unicodedata.normalize("NFKC", line)):
            raise StudyError(f"{file}: line {number} is the mark of a fence, which parts data from instruction")
    return text
