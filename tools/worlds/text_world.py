"""English-like text, a few hundred words, in which what comes next depends on things that have a name.

A text is a row of scenes. The first sentence of a scene says where and when it is, and how things go; the sentences after it
keep to that. All that is so at a token has been settled by the words up to it, so the model can know it, and how likely each
next word is can be told exactly.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import numpy as np
from jaxtyping import Float32, Int, Int8, Int16, Int64

from tools.worlds.automaton import Automaton, State
from tools.worlds.grammar import UNTOLD, Told, story
from tools.worlds.lexicon import NUMBERS, PERSONS, SENTIMENTS, SPEAKERS, TENSES, TOPICS, list_words
from tools.worlds.world import BEGIN, Variable, World, broken


def _categorical(name: str, classes: tuple[str, ...], meaning: str, untold: str) -> Variable:
    return Variable(name, "categorical", (untold, *(meaning.format(one) for one in classes)), ("none", *classes))


def _depth(name: str, meanings: tuple[str, ...]) -> Variable:
    return Variable(name, "categorical", meanings, ("outside", "inside", "nested"))


class TextWorld(World):
    """The world of such texts."""

    name: ClassVar[str] = "text"
    context_size: ClassVar[int] = 64
    batch: ClassVar[int] = 512

    vocabulary: ClassVar[tuple[str, ...]] = (BEGIN, *list_words())
    variables: ClassVar[tuple[Variable, ...]] = (
        _categorical("topic", TOPICS, "the text is about {}", "the text has not said yet what it is about"),
        _categorical("tense", TENSES, "told in the {} tense", "no tense has been told yet"),
        _categorical("person", PERSONS, "the latest subject is in the {} person", "no subject has been named yet"),
        _categorical("number", NUMBERS, "the latest subject is {}", "no subject has been named yet"),
        _categorical("sentiment", SENTIMENTS, "the mood is {}", "no mood has been told yet"),
        _categorical("speaker", SPEAKERS, "inside words that {} speaks", "nobody is quoted"),
        _depth("quotation", ("outside quotation marks", "inside quotation marks", "inside a quotation in another")),
        _depth("brackets", ("outside brackets", "inside brackets", "inside brackets in other brackets")),
    )

    @cached_property
    def _automaton(self) -> Automaton:
        return Automaton(State(Told(), (story,)), self.vocabulary)

    def make(self, n: int, rng: np.random.Generator) -> Int16[np.ndarray, "n positions"]:
        """Random texts, each as long as its row; most end within a sentence."""
        said = self._automaton.say(n, self.context_size - 1, rng)
        return np.column_stack([np.zeros(n, dtype=np.int16), said])

    def read(self, tokens: Int[np.ndarray, "n positions"]) -> dict[str, Int8[np.ndarray, "n positions"]]:
        """Values after each token."""
        reached = self._follow(tokens)
        if (reached < 0).any():
            row, position = np.argwhere(reached < 0)[0].tolist()
            raise broken(self.name, row, position)
        numbers, places = np.unique(reached, return_inverse=True)
        table = np.array([_values(self._automaton.states[number].frame) for number in numbers], dtype=np.int8)
        told = table[places.reshape(reached.shape)]
        return {variable.name: told[..., i] for i, variable in enumerate(self.variables)}

    def chances(self, tokens: Int[np.ndarray, "n positions"]) -> Float32[np.ndarray, "n positions vocabulary"]:
        """By the grammar's own weights."""
        reached = self._follow(tokens)
        numbers, places = np.unique(reached, return_inverse=True)
        table = np.stack([self._automaton.chances(number) for number in numbers.tolist()])
        return table[places.reshape(reached.shape)]

    def _follow(self, tokens: Int[np.ndarray, "n positions"]) -> Int64[np.ndarray, "n positions"]:
        """States after each token, the start's after the first; -1 where the rules are broken."""
        first = np.where(tokens[:, :1] == 0, 0, -1)
        return np.column_stack([first, np.where(first < 0, -1, self._automaton.follow(tokens[:, 1:]))])


def _values(told: Told) -> tuple[int, ...]:
    """In the order of the variables."""
    speaker = told.speakers[-1] if told.speakers else UNTOLD
    by_lexicon = (told.topic, told.tense, told.person, told.number, told.sentiment, speaker)
    return (*(value + 1 for value in by_lexicon), len(told.speakers), told.brackets)
