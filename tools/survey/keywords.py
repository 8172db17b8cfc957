"""Domain keywords among a feature's top tokens, matched on words.

The published study calls a token a hit when some keyword is a substring of it, so that "Hearth" counts as "heart".
Here a token first becomes the word it stands for, and only equal words match. Sub-word tokens are dealt with openly:
the beginning of a word is joined to the most frequent word it can begin, and marked as joined; a piece from the middle
or the end of a word stands for nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tools.border.text_files import read_text
from tools.errors import StudyError
from tools.records import KeywordHit

_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
"""Accents and vowel signs that are written on a letter, and are none of their own to `\\w`."""
_WORD = re.compile(rf"(?:[^\W\d_]|[{_MARKS}]|(?![\d\u0964\u0965])[\u0900-\u0dff])+")
"""Letters of any alphabet, the signs on them, and whatever but digits and stops the scripts of India are written with.

A hyphen or an apostrophe ends a word: tokenizers split there, so that a token never holds both of its sides.
"""
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Scripts that are written without spaces: in them any token may open a word."""
_SEPARATORS = re.compile(r"[,;\t]")
_AROUND = ' \u00a0"“”„«»'
_NAMED = 8
MIN_JOINED = 4
"""Letters a word's beginning needs before it is joined: shorter ones begin too many words."""


class TokenWord(NamedTuple):
    """The word a token stands for."""

    word: str | None
    """Lower-case; None for a piece, a number or punctuation."""
    joined: bool
    """The token is only the beginning of the word."""


class Vocabulary(NamedTuple):
    """What a vocabulary file holds."""

    words: frozenset[str]
    """Lower-case."""
    passed_over: tuple[str, ...]
    """Entries that no token can stand for: phrases, words with a hyphen, an apostrophe or a digit in them."""


def read_vocabulary(path: Path) -> Vocabulary:
    """Words of a vocabulary file: one a line, or several with a comma, a semicolon or a tab between; `#` opens a comment.

    Capitals are lowered, and quotation marks around an entry are left out, as editors and spreadsheets write them.

    Raises:
        StudyError: the file is missing, not UTF-8, or holds no word.
    """
    if not path.is_file():
        raise StudyError(f"no vocabulary file at {path}: write one word a line")
    words: dict[str, None] = {}
    others: dict[str, None] = {}
    for line in read_text(path).splitlines():
        for cell in _SEPARATORS.split(line.split("#", 1)[0]):
            entry = normalise(cell.strip(_AROUND))
            if entry:
                (words if _WORD.fullmatch(entry) else others)[entry] = None
    if not words:
        more = f"; {', '.join(list(others)[:_NAMED])} are no single words" if others else ""
        raise StudyError(f"the vocabulary file {path} holds no word: write one word a line{more}")
    return Vocabulary(frozenset(words), tuple(others))


def load_vocabulary(path: Path) -> frozenset[str]:
    """Lower-case words of a vocabulary file.

    Raises:
        StudyError: as `read_vocabulary`.
    """
    return read_vocabulary(path).words


def describe_passed_over(path: Path, vocabulary: Vocabulary) -> str:
    """One line on the entries that cannot be matched; empty without any."""
    others = vocabulary.passed_over
    if not others:
        return ""
    listed = ", ".join(others[:_NAMED]) + (", …" if len(others) > _NAMED else "")
    return (
        f"{len(others)} of {len(others) + len(vocabulary.words)} entries of {path} are no single words of letters, as "
        f"tokens are, and are never matched: {listed}"
    )


def normalise(text: str) -> str:
    """Lower case, with accents written in one way, whichever way they came."""
    return unicodedata.normalize("NFC", text).lower()


def words_of(text: str) -> list[str]:
    """Lower-case words of running text, in order."""
    return _WORD.findall(normalise(text))


def find_words(text: str) -> Iterator[re.Match[str]]:
    """The words of running text as they stand there, with their places."""
    return _WORD.finditer(text)


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
    opens = token[:1].isspace() or text[:1].isupper() or _UNSPACED.match(text)
    if not opens:
        return TokenWord(None, False)
    word = normalise(text)
    if word in known or word not in completions:
        return TokenWord(word, False)
    return TokenWord(completions[word], True)
