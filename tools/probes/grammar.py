"""Texts written by a grammar: a table of forms for every word, the same texts from the same file on any machine.

A text is a plan of sentences; a sentence is a form whose `{words}` are replaced by forms of theirs, until none is left. A
word's forms stand in the table of the text's attribute, else in that of its label, else in `common`. Choices are made by
a hash of the seed and of what is chosen, so that no library's random numbers have a say in them.

A grammar may also frame sentences of a study's own passages: `{passage}` then stands for the next of them that is about one
of the label's topics, and the text belongs to the document that it was cut from.

No two texts have a sentence in common: one that stands in an earlier text, or differs from one there only in words that
the grammar counts as alike (names, places, pronouns), is drawn again.
"""

from __future__ import annotations

import json
import re
import tomllib
from itertools import product
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, ValidationError

from tools.border.text_files import read_text
from tools.errors import StudyError, first_problem
from tools.maths import seed_of
from tools.records import Record
from tools.study.texts import read_jsonl

_WORD = re.compile(r"\{(\w+)\}")
_SPOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_BETWEEN = re.compile(r"(?<=[.?!]) (?=[A-Z“])")
"""Where one sentence of a passage ends and the next begins."""
_ENDS = ".?!”"
_MASK = "_"
MOST_TRIES = 1000
"""Sentences that are drawn in search of a new one."""
_DEEPEST = 12
"""Replacements within replacements; a word that leads back to itself would go on for ever."""

Forms = dict[str, tuple[str, ...]]


class Cuts(Record):
    """Passages that texts are cut from."""

    file: str
    """JSON lines with `document`, `topic` and `text`, relative to the grammar's folder."""
    topics: dict[str, tuple[str, ...]]
    """Of each label."""
    sentences: int = Field(default=2, ge=1)
    """Consecutive ones that each text is cut with; what is left of a passage is left out."""


class Grammar(Record):
    """What texts are made of."""

    folder: Path
    seed: int = Field(ge=0)
    texts: int = Field(ge=1, le=10**6)
    """In all, as many of each label and attribute; fewer where passages run out."""
    passages: Cuts | None = None
    plan: tuple[str, ...] = Field(min_length=1)
    """The word that each sentence of a text is a form of."""
    once: tuple[str, ...] = ()
    """Words that have one form throughout a text."""
    alike: tuple[str, ...] = ()
    """Words whose other forms make no other sentence."""
    common: Forms
    label: dict[str, Forms] = Field(min_length=2)
    attribute: dict[str, Forms] = Field(min_length=2)


class Cut(NamedTuple):
    """A stretch of a passage."""

    document: str
    text: str


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
        return Grammar.model_validate({**tomllib.loads(read_text(file)), "folder": file.parent})
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{file} is not TOML: {error}") from error
    except ValidationError as error:
        raise StudyError(f"{file}: {first_problem(error)}") from error


def write_texts(grammar: Grammar, name: str) -> str:
    """All texts as JSON lines with `document`, `text`, `label` and `attribute`.

    Args:
        grammar: what they are made of.
        name: documents are called NAME-0001 and so on, where they are not cut from others.

    Raises:
        StudyError: a word has no forms, there are not enough sentences, or the passages do not read.
    """
    known: set[str] = set()
    quadrants = list(product(grammar.label, grammar.attribute))
    cuts = {label: _cut(grammar, label) for label in grammar.label} if grammar.passages else {}
    lines: list[str] = []
    for number in range(grammar.texts):
        label, attribute = quadrants[number % len(quadrants)]
        cut = Cut(f"{name}-{number + 1:04d}", "")
        if grammar.passages:
            if number % len(quadrants) == 0 and min(map(len, cuts.values())) < len(grammar.attribute):
                break
            cut = cuts[label].pop(0)
        writer = _Writer(grammar, label, attribute, number, cut.text)
        text = " ".join(writer.sentence(word, known) for word in grammar.plan)
        lines.append(json.dumps({"document": cut.document, "text": text, "label": label, "attribute": attribute}))
    return "\n".join(lines) + "\n"


def list_cues(grammar: Grammar) -> list[str]:
    """Words that stand among the forms of one attribute and not of another: what gives the attribute away."""
    spoken = [
        {word.lower() for forms in table.values() for form in forms for word in _SPOKEN.findall(_WORD.sub(" ", form))}
        for table in grammar.attribute.values()
    ]
    return sorted(set.union(*spoken) - set.intersection(*spoken))


def _cut(grammar: Grammar, label: str) -> list[Cut]:
    """Stretches of the passages about a label's topics, in their order."""
    assert grammar.passages
    n, topics = grammar.passages.sentences, grammar.passages.topics.get(label, ())
    found: list[Cut] = []
    for passage in read_jsonl(grammar.folder / grammar.passages.file):
        if passage.topic in topics:
            sentences = _BETWEEN.split(passage.text)
            stretches = [sentences[start : start + n] for start in range(0, len(sentences) - n + 1, n)]
            found += [Cut(passage.document, " ".join(stretch)) for stretch in stretches]
    return found


class _Writer:
    """Writes one text."""

    def __init__(self, grammar: Grammar, label: str, attribute: str, number: int, passage: str) -> None:
        self._grammar, self._number, self._drawn, self._passage = grammar, number, 0, passage
        self._label, self._attribute = grammar.label[label], grammar.attribute[attribute]
        self._once: dict[str, str] = {}

    def sentence(self, word: str, known: set[str]) -> str:
        """One that is not known, and is from now on."""
        for _ in range(MOST_TRIES):
            text, key = self._expand(f"{{{word}}}", 0)
            if key not in known:
                known.add(key)
                return f"{text[0].upper()}{text[1:]}{'' if text[-1] in _ENDS else '.'}"
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
        if word == "passage" and self._passage:
            return Sentence(self._passage, self._passage)
        if word in self._once:
            return self._masked(word, Sentence(self._once[word], self._once[word]))
        forms = self._attribute.get(word) or self._label.get(word) or self._grammar.common.get(word)
        if not forms:
            raise StudyError(f"the grammar has no forms of {word!r}")
        self._drawn += 1
        place = seed_of(self._grammar.seed, self._number, self._drawn, word) % len(forms)
        found = self._expand(forms[place], depth + 1)
        if word in self._grammar.once:
            self._once[word] = found.text
        return self._masked(word, found)

    def _masked(self, word: str, found: Sentence) -> Sentence:
        return Sentence(found.text, _MASK) if word in self._grammar.alike else found
