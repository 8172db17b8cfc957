"""The grammar of the text world: scenes, sentences, quotations, and what each word settles.

Every rule is told what is known and gives the ways to go on. Two ways never begin with the same word, so that what is known
is settled by what was said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tools.worlds.automaton import Maybe, Word
from tools.worlds.lexicon import (
    ADDRESSES,
    DEEDS,
    FEELINGS,
    GOES,
    HABITS,
    HEARS,
    INSIDE_PLACES,
    LATER,
    MOODS,
    OPENERS,
    OTHER_PLACES,
    OUTCOMES,
    PEOPLE,
    POSSESSIVES,
    QUALITIES,
    SAYS,
    SPEAKERS,
    SUBJECTS,
    THINGS,
    TIMES,
    bare,
    capital,
)

Ways = list[tuple[int | float, tuple[object, ...]]]
"""To go on, with their weights."""
UNTOLD = -1
"""Before a text has said it."""
DEEPEST = 2
"""Quotations, and brackets, within each other."""
_PAST, _PRESENT, _FUTURE = range(3)
_FIRST, _SECOND, _THIRD = range(3)
_SINGULAR, _PLURAL = range(2)
_MARKS = ((" “", "”"), (" ‘", "’"))
"""Of quotations, the outer and the inner."""


class Told(NamedTuple):
    """What is known after some words; numbers are places in the lexicon's tuples."""

    topic: int = UNTOLD
    tense: int = UNTOLD
    person: int = UNTOLD
    number: int = UNTOLD
    sentiment: int = UNTOLD
    speakers: tuple[int, ...] = ()
    """Whose words are quoted, the innermost last."""
    brackets: int = 0


def story(told: Told) -> Ways:
    """Scene after scene."""
    return [(1, (scene, story))]


def scene(told: Told) -> Ways:
    """A sentence about where, when and how, and then others."""
    inside = (" In", " the", place_inside)
    rest = (when, ",", _subject(" everything", _THIRD, _SINGULAR), going, outcome, ".", sentence, more)
    others = [
        (1, (preposition, " the", Word(noun, (("topic", topic),)), *rest))
        for topic, (preposition, noun) in OTHER_PLACES.items()
    ]
    return [(len(INSIDE_PLACES), (*inside, *rest)), *others]


def place_inside(told: Told) -> Ways:
    """Where one is in."""
    return [(1, (Word(noun, (("topic", topic),)),)) for topic, noun in INSIDE_PLACES.items()]


def when(told: Told) -> Ways:
    """Which settles the tense."""
    return [
        (1, (Word(first, (("tense", tense),)), *others)) for tense, ways in enumerate(TIMES) for first, *others in ways
    ]


def going(told: Told) -> Ways:
    """How the first sentence's verb is said."""
    return [(1, (" will", GOES[0]) if told.tense == _FUTURE else (inflect(GOES, told),))]


def outcome(told: Told) -> Ways:
    """Which settles the mood."""
    return [
        (1, (Word(word, (("sentiment", sentiment),)),)) for sentiment, words in enumerate(OUTCOMES) for word in words
    ]


def more(told: Told) -> Ways:
    """Sentences until the scene ends."""
    return [(0.78, (sentence, more)), (0.22, ())]


def sentence(told: Told) -> Ways:
    """Somebody does, feels or says something, or the mood turns."""
    named = [(0.8, (_subject(f" {name}", _THIRD, _SINGULAR), Doing(speaker))) for speaker, name in enumerate(SPEAKERS)]
    turned = Word(" However", (("sentiment", 1 - told.sentiment),))
    return [(4, (Subject("capital"), predicate)), *named, (0.8, (turned, ",", Subject("plain"), predicate))]


@dataclass(frozen=True)
class Subject:
    """Who it is about, which settles person and number."""

    form: str
    """`capital` where a sentence begins, `bare` after an opening mark, else `plain`."""

    def __call__(self, told: Told) -> Ways:
        """Pronouns, somebody of the topic, and within a sentence names."""
        write = {"capital": capital, "bare": lambda text: bare(capital(text)), "plain": str}[self.form]
        ways: Ways = [(1, (_subject(write(text), *which),)) for which, text in SUBJECTS.items()]
        ways.append((1.5, (write(" the"), somebody)))
        if self.form == "plain":
            ways += [(0.3, (_subject(f" {name}", _THIRD, _SINGULAR),)) for name in SPEAKERS]
        return ways


def somebody(told: Told) -> Ways:
    """One or several people of the topic."""
    return [(1, (_subject(text, _THIRD, number),)) for number, text in enumerate(PEOPLE[told.topic])]


def predicate(told: Told) -> Ways:
    """What a subject does; within a quotation perhaps with the speaker's favourite word."""
    return [(1, (*([Maybe(0.3, (HABITS[told.speakers[-1]],))] if told.speakers else []), Doing()))]


@dataclass(frozen=True)
class Doing:
    """A verb and what follows from it, to the end of the sentence."""

    speaker: int | None = None
    """Who may speak now."""
    will: bool = False
    """Whether that has been said."""

    def __call__(self, told: Told) -> Ways:
        """Being, feeling, doing, speaking, or hearing somebody speak."""
        if told.tense == _FUTURE and not self.will:
            return [(1, (" will", Doing(self.speaker, will=True)))]
        verbs = (*FEELINGS[told.sentiment], *DEEDS[told.topic])
        ways: Ways = [(1, (inflect(verb, told), thing, tail)) for verb in verbs]
        ways.append((2, (be(told), mood, tail)))
        if self.speaker is not None:
            ways.append((14, (inflect(SAYS, told), ",", Quotation(self.speaker))))
        if len(told.speakers) == 1 and (told.person, told.number) == (_FIRST, _SINGULAR):
            ways.append((5, (inflect(HEARS, told), heard)))
        return ways


def heard(told: Told) -> Ways:
    """Somebody else's words in a speaker's own."""
    return [
        (1, (_subject(f" {name}", _THIRD, _SINGULAR), SAYS[0], ",", Quotation(speaker)))
        for speaker, name in enumerate(SPEAKERS)
        if speaker != told.speakers[-1]
    ]


@dataclass(frozen=True)
class Quotation:
    """Somebody's words between marks."""

    speaker: int

    def __call__(self, told: Told) -> Ways:
        """One sentence, or two."""
        opening, closing = _MARKS[len(told.speakers)]
        begun, over = (("speakers", (*told.speakers, self.speaker)),), (("speakers", told.speakers),)
        second = Maybe(0.3, (Subject("capital"), predicate))
        return [(1, (Word(opening, begun), quoted, second, Word(closing, over)))]


def quoted(told: Told) -> Ways:
    """The first sentence after an opening mark, perhaps with the speaker's own word before it."""
    opener = OPENERS[told.speakers[-1]]
    return [(2, (Subject("bare"), predicate)), (1, (opener, ",", Subject("plain"), predicate))]


def thing(told: Told) -> Ways:
    """An object of the topic, the subject's or anybody's."""
    rest = (Maybe(0.4, (quality,)), noun, Maybe(0.2, (bracket,)))
    return [(1, (POSSESSIVES[told.person, told.number], *rest)), (1, (" the", *rest))]


def noun(told: Told) -> Ways:
    """Of the topic."""
    return [(1, (word,)) for word in THINGS[told.topic]]


def quality(told: Told) -> Ways:
    """Of the mood."""
    return [(1, (word,)) for word in QUALITIES[told.sentiment]]


def mood(told: Told) -> Ways:
    """How somebody feels."""
    return [(1, (word,)) for word in MOODS[told.sentiment]]


def bracket(told: Told) -> Ways:
    """Something said aside of a thing."""
    deeper, over = (("brackets", told.brackets + 1),), (("brackets", told.brackets),)
    return [(1, (Word(" (", deeper), aside, Word(")", over)))]


def aside(told: Told) -> Ways:
    """Within brackets; other brackets may follow in it."""
    nested = [Maybe(0.35, (bracket,))] if told.brackets < DEEPEST else []
    return [
        (1, ("a", " gift", " from", person, *nested)),
        (1, ("the", quality, " one", *nested)),
        (0.7, ("as", " usual")),
    ]


def person(told: Told) -> Ways:
    """Somebody by name who does nothing."""
    return [(1, (f" {name}",)) for name in SPEAKERS]


def tail(told: Told) -> Ways:
    """The rest of a sentence."""
    return [
        (0.55, (ending,)),
        (0.15, (LATER[told.tense], ending)),
        (0.18, (" and", predicate)),
        (0.12, (" because", Subject("plain"), predicate)),
    ]


def ending(told: Told) -> Ways:
    """A full stop; a speaker may address somebody before it."""
    address = [Maybe(0.25, (",", ADDRESSES[told.speakers[-1]]))] if told.speakers else []
    return [(1, (*address, "."))]


def inflect(forms: tuple[str, str, str], told: Told) -> str:
    """A verb as its subject and tense have it; of the future, what follows `will`."""
    base, third, past = forms
    if told.tense == _PAST:
        return past
    return third if told.tense == _PRESENT and (told.person, told.number) == (_THIRD, _SINGULAR) else base


def be(told: Told) -> str:
    """That verb, which has forms of its own."""
    if told.tense == _FUTURE:
        return " be"
    alone = told.number == _SINGULAR and told.person != _SECOND
    if told.tense == _PAST:
        return " was" if alone else " were"
    return (" am" if told.person == _FIRST else " is") if alone else " are"


def _subject(text: str, which: int, number: int) -> Word:
    return Word(text, (("person", which), ("number", number)))
