"""Texts written by a grammar: a table of forms for every word, the same texts from the same file on any machine.

A text is a plan of sentences; a sentence is a form whose `{words}` are replaced by forms of theirs, until none is left. A
word's forms stand in the table of the text's attribute, else in that of its label, else in `common`. Choices are made by
a hash of the seed and of what is chosen, so that no library's random numbers have a say in them.

No two texts have a sentence in common: one that stands in an earlier text, or differs from one there in the words of the
attribute and those drawn once a text alone (a name, a place), is drawn again.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, ValidationError

from tools.border.text_files import read_text
from tools.errors import StudyError, first_problem
from tools.maths import seed_of
from tools.records import Record

_WORD = re.compile(r"\{(\w+)\}")
_MASK = "_"
MOST_TRIES = 1000
"""Sentences that are drawn in search of a new one."""
_DEEPEST = 12
"""Replacements within replacements; a word that leads back to itself would go on for ever."""

Forms = dict[str, tuple[str, ...]]


class Grammar(Record):
    """What texts are made of."""

    seed: int = Field(ge=0)
    texts: int = Field(ge=1, le=10**6)
    """In all, as many of each label and attribute."""
    plan: tuple[str, ...] = Field(min_length=1)
    """The word that each sentence of a text is a form of."""
    once: tuple[str, ...] = ()
    """Words that have one form throughout a text."""
    common: Forms
    label: dict[str, Forms] = Field(min_length=2)
    attribute: dict[str, Forms] = Field(min_length=2)


class Sentence(NamedTuple):
    """One sentence, and what it has to differ in from all others."""

    text: str
    key: str


def read_grammar(file: Path) -> Grammar:
    """A grammar in TOML.

    Raises:
        StudyError: it is missing, or no grammar.
    """
    try:
        return Grammar.model_validate(tomllib.loads(read_text(file)))
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{file} is not TOML: {error}") from error
    except ValidationError as error:
        raise StudyError(f"{file}: {first_problem(error)}") from error


def write_texts(grammar: Grammar, name: str) -> str:
    """All texts as JSON lines with `document`, `text`, `label` and `attribute`.

    Args:
        grammar: what they are made of.
        name: documents are called NAME-0001 and so on.

    Raises:
        StudyError: a word has no forms, or there are not enough sentences.
    """
    lines = [
        json.dumps({"document": f"{name}-{number:04d}", "text": text, "label": label, "attribute": attribute})
        for number, (text, label, attribute) in enumerate(_texts(grammar), 1)
    ]
    return "\n".join(lines) + "\n"


def _texts(grammar: Grammar) -> Iterator[tuple[str, str, str]]:
    known: set[str] = set()
    quadrants = list(product(grammar.label, grammar.attribute))
    for number in range(grammar.texts):
        label, attribute = quadrants[number % len(quadrants)]
        writer = _Writer(grammar, label, attribute, number)
        sentences = [writer.sentence(word, known) for word in grammar.plan]
        known.update(sentence.key for sentence in sentences)
        yield " ".join(sentence.text for sentence in sentences), label, attribute


class _Writer:
    """Writes one text."""

    def __init__(self, grammar: Grammar, label: str, attribute: str, number: int) -> None:
        self._grammar, self._number, self._drawn = grammar, number, 0
        self._label, self._attribute = grammar.label[label], grammar.attribute[attribute]
        self._once: dict[str, str] = {}

    def sentence(self, word: str, known: set[str]) -> Sentence:
        """One that is not known."""
        for _ in range(MOST_TRIES):
            text, key = self._expand(f"{{{word}}}", 0)
            if key not in known:
                known.add(key)
                return Sentence(f"{text[0].upper()}{text[1:]}.", key)
        raise StudyError(f"the grammar has no {MOST_TRIES} sentences of {word!r} left that differ: give it more forms")

    def _expand(self, form: str, depth: int) -> Sentence:
        if depth > _DEEPEST:
            raise StudyError(f"the grammar's {form!r} leads back to itself")
        text, key, end = "", "", 0
        for found in _WORD.finditer(form):
            between, end = form[end : found.start()], found.end()
            own, own_key = self._word(found[1], depth)
            text, key = text + between + own, key + between + own_key
        return Sentence(text + form[end:], key + form[end:])

    def _word(self, word: str, depth: int) -> Sentence:
        if word in self._once:
            return Sentence(self._once[word], _MASK)
        forms = self._attribute.get(word)
        masked = forms is not None or word in self._grammar.once
        forms = forms or self._label.get(word) or self._grammar.common.get(word)
        if not forms:
            raise StudyError(f"the grammar has no forms of {word!r}")
        self._drawn += 1
        place = seed_of(self._grammar.seed, self._number, self._drawn, word) % len(forms)
        found = self._expand(forms[place], depth + 1)
        if word in self._grammar.once:
            self._once[word] = found.text
        return Sentence(found.text, _MASK) if masked else found
