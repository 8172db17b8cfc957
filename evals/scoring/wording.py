"""What a label says: which words or pieces it lists, and whether it is about pieces of words, whose borders have to be seen."""

from __future__ import annotations

import re
from collections.abc import Sequence

from evals.scoring.detection import Item
from tools.survey.keywords import find_words, normalise, words_of

_QUOTED = r"""["“”«»`][^"“”«»`]+["“”«»`]|(?<!\w)['‘][^'‘’]+['’](?!\w)"""
_PART = re.compile(rf"(?:{_QUOTED}|[^,;])+")
_WHOLLY_QUOTED = re.compile(rf"(?:{_QUOTED})")
MOST_WORDS = 4
"""Of a part of a list; a longer one is a clause, and the commas are a sentence's."""
_WORD = r"(?:words?|names?|surnames?|tokens?)"
_ABOUT_PIECES = re.compile(
    rf"""\b(?:sub-?words?
    |{_WORD}[ -]?(?:pieces?|parts?|fragments?|halves|half|initial|final|internal|medial)
    |(?:pieces?|parts?|fragments?|half|halves|middle|inside|starts?|beginnings?|ends?|rest)[ ](?:of|in)[ ](?:\w+[ ]){{0,3}}{_WORD}
    |(?:inside|within|mid)[ -](?:\w+[ ])?{_WORD}
    |fragments?|tokens?|syllables?|morphemes?|letters?|digraphs?|(?:pre|suf|af|in)fix(?:es)?
    |(?:end|start|beginn?)(?:s|ings?|ing)?[ ](?:in|with)[ ][^\w\s])""",
    re.IGNORECASE | re.VERBOSE,
)
_AFFIX = re.compile(r"(?<![\w-])-[^\W\d_]{1,8}(?![\w-])|(?<![\w-])[^\W\d_]{1,8}-(?![\w-])|##[^\W\d_]+")
"""`-tion`, `un-`."""


def list_alternatives(label: str) -> list[str]:
    """The parts of a label that lists words, pieces or signs, each of which stands for itself; else the whole label.

    What stands in quotation marks is a part as it is, so that a comma can be one.
    """
    found = [part.strip() for part in _PART.findall(label)]
    found = [part[1:-1].strip() if _WHOLLY_QUOTED.fullmatch(part) else part for part in found]
    if any(len(words_of(part)) > MOST_WORDS for part in found) or not any(found):
        return [label]
    return list(dict.fromkeys(part.casefold() for part in found if part))


def is_about_pieces(label: str, items: Sequence[Item] = ()) -> bool:
    """Whether a label speaks of pieces of words, so that one who goes by it has to see where tokens end.

    It does if it says so, or names an affix, or names something in quotation marks or in a list that stands in the texts
    more often as a token inside of a word than as a word.
    """
    if _ABOUT_PIECES.search(label) or _AFFIX.search(label):
        return True
    quoted = (one[1:-1] for one in _WHOLLY_QUOTED.findall(label))
    named = {normalise(part) for part in (*quoted, *list_alternatives(label)) if part.isalpha()}
    inside, whole = (sum(counts) for counts in zip((0, 0), *(_count(item, named) for item in items), strict=True))
    return inside > whole


def _count(item: Item, named: set[str]) -> tuple[int, int]:
    """How often what is named stands in a text as a token that is a part of a word, and as a word."""
    inner = sum(token.strip().casefold() in named for token in inner_tokens(item.tokens)) if named else 0
    return inner, sum(word in named for word in words_of(item.text)) if named else 0


def inner_tokens(tokens: Sequence[str]) -> list[str]:
    """Tokens that are a part of a word, and not the whole of it."""
    text, place, found = "".join(tokens), 0, list[str]()
    words = [match.span() for match in find_words(text)]
    for token in tokens:
        start, stop = place + len(token) - len(token.lstrip()), place + len(token)
        place = stop
        if any(first <= start and stop <= last and (first, last) != (start, stop) for first, last in words):
            found.append(token)
    return found
