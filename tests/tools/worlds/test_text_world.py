"""The text world: what it says, what is so at each word, and that what comes next rests on all of it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.sparse import csr_array

from tools.errors import StudyError
from tools.training.tokenizer import word_tokenizer
from tools.worlds.automaton import Automaton, Maybe, State, Word, continuations
from tools.worlds.catalogue import load_world
from tools.worlds.grammar import Told, story
from tools.worlds.world import Transcripts

WORLD = load_world("text")
TOKENIZER = word_tokenizer(WORLD.vocabulary)
VARIABLES = {variable.name: variable for variable in WORLD.variables}


def row_of(text: str) -> np.ndarray:
    return np.array([[0, *TOKENIZER(text)["input_ids"]]])


def told(text: str) -> dict[str, str]:
    """Class names after the last word."""
    states = WORLD.read(row_of(text))
    return {name: VARIABLES[name].classes[values[0, -1]] for name, values in states.items()}


def next_words(text: str) -> set[str]:
    allowed = WORLD.legal(row_of(text))[0, -1]
    return {WORLD.vocabulary[token] for token in np.flatnonzero(allowed)}


PAST = "In the kitchen last night, everything went well."


def test_a_text_settles_its_variables_word_by_word() -> None:
    none = {"person": "none", "number": "none", "speaker": "none", "quotation": "outside", "brackets": "outside"}
    assert told("In") == {"topic": "none", "tense": "none", "sentiment": "none", **none}
    assert told("In the kitchen") == {"topic": "cooking", "tense": "none", "sentiment": "none", **none}
    assert told("In the kitchen last") == {"topic": "cooking", "tense": "past", "sentiment": "none", **none}
    known = {"topic": "cooking", "tense": "past", "sentiment": "positive", **none}
    assert told(PAST) == {**known, "person": "third", "number": "singular"}
    assert told(f"{PAST} However, we") == {**known, "person": "first", "number": "plural", "sentiment": "negative"}


def test_words_within_marks_belong_to_who_speaks_and_marks_close_what_they_opened() -> None:
    begun = f"{PAST} Anna said, “I heard Ruth say, ‘"
    inner = f"{begun}They loved their soup (a gift from Clara (as usual"
    seen = [told(text) for text in (f"{PAST} Anna said,", begun, inner, f"{inner}))", f"{inner})).’", f"{inner})).’”")]
    assert [one["quotation"] for one in seen] == ["outside", "nested", "nested", "nested", "inside", "outside"]
    assert [one["speaker"] for one in seen] == ["none", "Ruth", "Ruth", "Ruth", "Anna", "none"]
    assert [one["brackets"] for one in seen] == ["outside", "outside", "nested", "outside", "outside", "outside"]


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("topic", f"{PAST} We loved the", PAST.replace("kitchen", "garden") + " We loved the"),
        ("tense", f"{PAST} I", "In the kitchen every day, everything goes well. I"),
        ("person", f"{PAST} I", f"{PAST} You"),
        ("number", f"{PAST} I", f"{PAST} We"),
        ("sentiment", f"{PAST} I", PAST.replace("well", "badly") + " I"),
        ("speaker", f"{PAST} Anna said, “", f"{PAST} Ruth said, “"),
        ("quotation", f"{PAST} I", f"{PAST} Anna said, “I"),
        ("brackets", f"{PAST} I loved the soup (a gift from Ruth", f"{PAST} I loved the soup (a gift from Ruth (a gift from Ruth"),
    ],
)  # fmt: skip
def test_another_value_of_a_variable_gives_other_words_next(text: str, first: str, second: str) -> None:
    a, b = told(first), told(second)
    assert a[text] != b[text]
    assert {name for name in a if a[name] != b[name]} <= {text, "speaker"}, "nobody speaks outside quotations"
    assert next_words(first) != next_words(second)


@pytest.mark.parametrize("name", list(VARIABLES))
def test_every_variable_tells_of_the_next_word_what_the_last_word_does_not(name: str) -> None:
    """Mutual information of the variable with the next word, given the last word, over the grammar's own chances."""
    drawn, told = some_texts()
    chances = told[:, 1:-1].reshape(-1, len(WORLD.vocabulary))
    words, values = (what[:, 1:-1].ravel().astype(int) for what in (drawn.tokens, drawn.states[name]))
    known, blind = entropy_given(chances, words * 10 + values), entropy_given(chances, words)
    assert blind - known > 0.002


@cache
def some_texts() -> tuple[Transcripts, np.ndarray]:
    drawn = WORLD.draw("train", 300, 0)
    return drawn, WORLD.chances(drawn.tokens)


def entropy_given(chances: np.ndarray, groups: np.ndarray) -> float:
    """Of the next word where only the group is known, averaged over positions."""
    _, places = np.unique(groups, return_inverse=True)
    member = csr_array((np.ones(len(places)), (places, np.arange(len(places)))))
    sums = member @ chances
    counts = sums.sum(1, keepdims=True)
    shares = sums / counts
    return float(-(sums * np.log(np.where(shares > 0, shares, 1))).sum() / counts.sum())


def test_verbs_agree_with_their_subjects() -> None:
    now = "In the kitchen these days, everything goes well."
    assert {" is", " loves", " says"} <= next_words(f"{now} Anna")
    assert next_words(f"{now} I") >= {" am", " love"}
    assert next_words(f"{now} We") >= {" are", " love"}
    assert not next_words(f"{now} We") & {" am", " is", " loves", " loved", " hate"}
    assert next_words("In the kitchen tomorrow, everything will go well. We") == {" will"}


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("In the ship", 3),
        (f"{PAST} I loves", 12),
        (f"{PAST} I loved the soup)", 15),
        (f"{PAST} Anna said, “We hated", 16),
    ],
)
def test_what_the_grammar_does_not_say_is_found_where_it_stands(text: str, position: int) -> None:
    row = row_of(text)
    with pytest.raises(StudyError, match=f"text: row 0 breaks the rules at position {position}"):
        WORLD.read(row)
    assert not WORLD.legal(row)[0, position:].any()
    assert WORLD.legal(row)[0, :position].any(1).all()
    assert WORLD.is_legal(row[0, :1], int(row[0, 1]))


def test_a_row_that_nothing_opens_breaks_the_rules_at_once() -> None:
    with pytest.raises(StudyError, match="position 0"):
        WORLD.read(row_of("In the kitchen")[:, 1:])


def test_texts_read_like_english() -> None:
    """Every sentence begins with a capital, marks close what they opened, and no mark stands after a space."""
    for row in WORLD.rows("test", 100, 0):
        text = WORLD.text(row)
        assert text[:3] in ("In ", "On ", "At ")
        assert not any(wrong in text for wrong in (" .", " ,", "“ ", "( ", " ”", "  ", ". a", ". the"))
        assert 0 <= text.count("“") - text.count("”") <= 1
        assert 0 <= text.count("(") - text.count(")") <= 2


class Lamp(tuple):
    """A frame for grammars of three words."""

    def _replace(self, **changed: object) -> Lamp:
        return Lamp({**dict(self), **changed}.items())


def blink(lamp: Lamp) -> list[tuple[int | float, tuple[object, ...]]]:
    return [(3, (Word("on", (("lit", 1),)), blink)), (1, (Maybe(0.5, ("and",)), Word("off", (("lit", 0),)), blink))]


def test_chances_are_the_weights_of_the_ways_that_begin_with_a_word() -> None:
    start = State(Lamp(), (blink,))
    found = {text: (chance, dict(after.frame)) for chance, text, after in continuations(start)}
    assert found == {"on": (0.75, {"lit": 1}), "and": (0.125, {}), "off": (0.125, {"lit": 0})}
    automaton = Automaton(start, ("off", "on", "and"))
    assert automaton.chances(0).tolist() == [0.125, 0.75, 0.125]
    assert automaton.chances(-1).tolist() == [0, 0, 0]


def test_a_grammar_in_which_a_word_does_not_settle_what_is_so_is_refused() -> None:
    def either(lamp: Lamp) -> list[tuple[int | float, tuple[object, ...]]]:
        return [(1, (Word("it", (("lit", 1),)),)), (1, (Word("it", (("lit", 0),)),))]

    with pytest.raises(ValueError, match="ambiguous at 'it'"):
        continuations(State(Lamp(), (either,)))


def test_the_grammar_itself_is_unambiguous_wherever_its_texts_go() -> None:
    """`continuations` refuses every state that is not; thousands of them are met here."""
    automaton = Automaton(State(Told(), (story,)), WORLD.vocabulary)
    automaton.say(600, 63, np.random.default_rng(4))
    assert len(automaton.states) > 3_000
