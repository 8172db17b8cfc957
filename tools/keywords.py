"""Domain keywords among a feature's top tokens, matched on words.

The published study calls a token a hit when some keyword is a substring of it, so that "Hearth" counts as "heart".
Here a token first becomes the word it stands for, and only equal words match. Sub-word tokens are dealt with openly:
the beginning of a word is joined to the most frequent word it can begin, and marked as joined; a piece from the middle
or the end of a word stands for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tools.errors import StudyError
from tools.records import KeywordHit

_WORD = re.compile(r"[A-Za-z]+")
MIN_JOINED = 4
"""Letters a word's beginning needs before it is joined: shorter ones begin too many words."""


class TokenWord(NamedTuple):
    """The word a token stands for."""

    word: str | None
    """Lower-case; None for a piece, a number or punctuation."""
    joined: bool
    """The token is only the beginning of the word."""


def load_vocabulary(path: Path) -> frozenset[str]:
    """Lower-case words of a vocabulary file, one a line, `#` opens a comment.

    Raises:
        StudyError: the file is missing, empty, or holds a line that is not a single lower-case word.
    """
    if not path.is_file():
        raise StudyError(f"no vocabulary file at {path}: write one lower-case word a line")
    words: set[str] = set()
    for number, raw in enumerate(path.read_text("utf-8").splitlines(), 1):
        line = raw.split("#", 1)[0].strip()
        if not line:
            continue
        if not re.fullmatch(r"[a-z]+", line):
            raise StudyError(f"{path}:{number}: {line!r} is not one lower-case word of the letters a-z")
        words.add(line)
    if not words:
        raise StudyError(f"the vocabulary file {path} holds no word: write one lower-case word a line")
    return frozenset(words)


def words_of(text: str) -> list[str]:
    """Lower-case words of running text, in order."""
    return _WORD.findall(text.lower())


def token_words(tokens: Sequence[str], known_words: Sequence[str]) -> list[TokenWord]:
    """The word each decoded token stands for.

    Args:
        tokens: decoded vocabulary strings, leading spaces kept.
        known_words: lower-case words in order of falling frequency, as word-vector files list them.

    A token opens a word when a space leads it or it begins with a capital. Such a token stands for itself when it is a
    known word, or for the most frequent known word it begins when it has four letters or more, and otherwise for
    itself, so that a rare whole word is not lost.
    """
    known = frozenset(known_words)
    completions = _completions(known_words)
    return [_word_of(token, known, completions) for token in tokens]


def match_keywords(tokens: Sequence[str], words: Sequence[TokenWord], vocabulary: frozenset[str]) -> list[KeywordHit]:
    """Hits by equal words, in the tokens' order; a word is counted at every token that stands for it."""
    return [
        KeywordHit(token=token, word=entry.word, joined=entry.joined)
        for token, entry in zip(tokens, words, strict=True)
        if entry.word is not None and entry.word in vocabulary
    ]


def count_substring_hits(tokens: Sequence[str], vocabulary: frozenset[str]) -> int:
    """Hits by the published rule: some keyword lies anywhere in the lower-cased token (METHODS 1.2c)."""
    return sum(any(word in token.lower() for word in vocabulary) for token in tokens)


def _completions(known_words: Sequence[str]) -> dict[str, str]:
    """Beginning -> most frequent longer word with it."""
    table: dict[str, str] = {}
    for word in known_words:
        for end in range(MIN_JOINED, len(word)):
            table.setdefault(word[:end], word)
    return table


def _word_of(token: str, known: frozenset[str], completions: dict[str, str]) -> TokenWord:
    text = token.strip()
    if not _WORD.fullmatch(text):
        return TokenWord(None, False)
    opens = token[:1].isspace() or text[:1].isupper()
    if not opens:
        return TokenWord(None, False)
    word = text.lower()
    if word in known or word not in completions:
        return TokenWord(word, False)
    return TokenWord(completions[word], True)
