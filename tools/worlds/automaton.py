"""Grammars whose every word is said in a state that the words before it have settled.

A state is what is known (a frame) and what is still to be said. As each word that may come next leads to one state only, the
words said so far decide what is so, and how likely each next word is can be told exactly.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int, Int16, Int64


class Word(NamedTuple):
    """A token, and what is so from it on."""

    text: str
    sets: tuple[tuple[str, object], ...] = ()
    """Fields of the frame, with their new values."""


class Maybe(NamedTuple):
    """Said with that probability, and otherwise left out."""

    chance: float
    parts: tuple[object, ...]


class State(NamedTuple):
    """What is known, and what is still to be said: texts, words, `Maybe`s and rules."""

    frame: Any
    """A named tuple, whose fields words set."""
    todo: tuple[object, ...]


Rule = Callable[[Any], Sequence[tuple[int | float, tuple[object, ...]]]]
"""Ways to go on, with their weights, where so much is known."""


class _Ways(NamedTuple):
    """How it may go on from a state; words in the order of the grammar."""

    tokens: list[int]
    bounds: list[float]
    """Cumulated probabilities."""
    after: list[int]
    """Numbers of the states that the words lead to."""


class Automaton:
    """A grammar's states, numbered as they are met."""

    def __init__(self, start: State, vocabulary: Sequence[str]) -> None:
        self._token_of = {text: token for token, text in enumerate(vocabulary)}
        self._number_of: dict[State, int] = {start: 0}
        self.states: list[State] = [start]
        self._ways: list[_Ways | None] = [None]

    def say(self, n: int, length: int, rng: np.random.Generator) -> Int16[np.ndarray, "n length"]:
        """Rows of words from the start on."""
        said = np.empty((n, length), dtype=np.int16)
        for row, chances in enumerate(rng.random((n, length)).tolist()):
            number, words = 0, list[int]()
            for chance in chances:
                ways = self._ways[number] or self._ways_from(number)
                chosen = min(bisect(ways.bounds, chance), len(ways.tokens) - 1)
                words.append(ways.tokens[chosen])
                number = ways.after[chosen]
            said[row] = words
        return said

    def follow(self, tokens: Int[np.ndarray, "n length"]) -> Int64[np.ndarray, "n length"]:
        """Numbers of the states that rows of words lead to; -1 from the first word on that may not be said there."""
        reached = np.full(tokens.shape, -1, dtype=np.int64)
        for row, words in enumerate(tokens.tolist()):
            number = 0
            for position, token in enumerate(words):
                ways = self._ways[number] or self._ways_from(number)
                if token not in ways.tokens:
                    break
                number = ways.after[ways.tokens.index(token)]
                reached[row, position] = number
        return reached

    def chances(self, number: int) -> Float32[np.ndarray, " vocabulary"]:
        """How likely each word is to be said in a state; nothing is in state -1."""
        told = np.zeros(len(self._token_of), dtype=np.float32)
        if number >= 0:
            ways = self._ways[number] or self._ways_from(number)
            told[ways.tokens] = np.diff(ways.bounds, prepend=0.0)
        return told

    def _ways_from(self, number: int) -> _Ways:
        found = continuations(self.states[number])
        tokens = [self._token_of[text] for _, text, _ in found]
        after = [self._number(state) for *_, state in found]
        ways = self._ways[number] = _Ways(tokens, list(accumulate(chance for chance, *_ in found)), after)
        return ways

    def _number(self, state: State) -> int:
        number = self._number_of.setdefault(state, len(self.states))
        if number == len(self.states):
            self.states.append(state)
            self._ways.append(None)
        return number


def continuations(state: State) -> list[tuple[float, str, State]]:
    """Words that may come next: how likely each is, and the state it leads to.

    Raises:
        ValueError: one word leads to two states, so that what is so would not be settled by what was said.
    """
    found: dict[str, tuple[float, str, State]] = {}
    for chance, text, after in _expand(state, 1.0):
        before, _, known = found.get(text, (0.0, text, after))
        if known != after:
            raise ValueError(f"the grammar is ambiguous at {text!r}")
        found[text] = (before + chance, text, after)
    return list(found.values())


def _expand(state: State, chance: float) -> list[tuple[float, str, State]]:
    head, rest = state.todo[0], state.todo[1:]
    if isinstance(head, str):
        return [(chance, head, State(state.frame, rest))]
    if isinstance(head, Word):
        return [(chance, head.text, State(state.frame._replace(**dict(head.sets)), rest))]
    if isinstance(head, Maybe):
        options = [(head.chance, head.parts), (1 - head.chance, ())]
    else:
        rule: Rule = head  # pyright: ignore[reportAssignmentType]
        options = rule(state.frame)
    total = sum(weight for weight, _ in options)
    return [
        one
        for weight, parts in options
        if weight > 0
        for one in _expand(State(state.frame, (*parts, *rest)), chance * weight / total)
    ]
