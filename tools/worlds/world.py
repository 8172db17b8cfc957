"""What a world of known truth is: transcripts, and the values of named variables at every token of them.

A model that is trained on a world's transcripts has to keep track of its variables in order to say what comes next. So
what a feature of such a model means can be right or wrong, which it cannot be of a language model's.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import ClassVar, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float32, Int, Int8, Int16

from tools.errors import StudyError

Split = Literal["train", "development", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
_SHARES: tuple[Split, ...] = ("train",) * 8 + ("development", "test")
"""Of ten transcripts, by their hash."""
BEGIN = "<|endoftext|>"
"""Text of token 0, which opens every transcript and, once or several times, closes one that is shorter than its row."""


class Variable(NamedTuple):
    """Something that is so, or has one of several values, at every token."""

    name: str
    kind: Literal["boolean", "categorical"]
    meanings: tuple[str, ...]
    """In words: of being so; of a categorical variable, of each class."""
    classes: tuple[str, ...] = ()
    """Of a categorical variable: what the values 0, 1, 2 and so on are called."""
    place: tuple[float, float] | None = None
    """Row and column on the board, for pictures, a half being between two squares; None where it has no place."""

    @property
    def truths(self) -> tuple[str, ...]:
        """Names of what may be true of it: its own, or `name: class` for each class."""
        return tuple(f"{self.name}: {one}" for one in self.classes) if self.classes else (self.name,)


class Transcripts(NamedTuple):
    """Rows of one length, and what is so at each of their tokens."""

    tokens: Int16[np.ndarray, "n positions"]
    """Token 0 opens a row, and fills what a short one leaves of it."""
    states: dict[str, Int8[np.ndarray, "n positions"]]
    """Of each variable by its name, after the token: 0 or 1, or the number of the class."""
    variables: tuple[Variable, ...]

    @property
    def lengths(self) -> Int[np.ndarray, " n"]:
        """Tokens of each row without what fills it, the opening one among them."""
        return lengths_of(self.tokens)

    def counted(self) -> Bool[np.ndarray, " cells"]:
        """Positions that count, in the order of `truths`' rows: neither the opening token nor what fills a row."""
        positions = np.arange(self.tokens.shape[1])
        return ((positions > 0) & (positions < self.lengths[:, None])).ravel()

    def truths(self) -> tuple[tuple[str, ...], Bool[np.ndarray, "cells truths"]]:
        """One column for each that may be true, in the variables' order and within one in that of its classes.

        Rows are the transcripts' positions one after another: position t of transcript i is row i * positions + t.
        """
        names = tuple(name for variable in self.variables for name in variable.truths)
        columns = np.empty((self.tokens.size, len(names)), dtype=bool)
        column = 0
        for variable in self.variables:
            values = self.states[variable.name].ravel()
            for value in range(len(variable.classes)) if variable.classes else (1,):
                columns[:, column] = values == value
                column += 1
        return names, columns


class World(ABC):
    """Makes transcripts by rules, and knows them."""

    name: ClassVar[str]
    context_size: ClassVar[int]
    """Tokens of a row."""
    batch: ClassVar[int]
    """Transcripts made at once. It decides which come of a seed, so it is no setting."""
    vocabulary: ClassVar[tuple[str, ...]]
    """Text of every token, spaces and all; the first is `BEGIN`."""
    variables: ClassVar[tuple[Variable, ...]]
    """All that is known at every token."""

    @abstractmethod
    def make(self, n: int, rng: np.random.Generator) -> Int16[np.ndarray, "n positions"]:
        """Rows at random, whatever split they belong to."""

    @abstractmethod
    def read(self, tokens: Int[np.ndarray, "n positions"]) -> dict[str, Int8[np.ndarray, "n positions"]]:
        """The variables' values after each token, in rows of any length.

        Raises:
            StudyError: a row breaks the world's rules.
        """

    @abstractmethod
    def chances(self, tokens: Int[np.ndarray, "n positions"]) -> Float32[np.ndarray, "n positions vocabulary"]:
        """How likely each token is to come next after each position. After what breaks the rules nothing is."""

    def legal(self, tokens: Int[np.ndarray, "n positions"]) -> Bool[np.ndarray, "n positions vocabulary"]:
        """Which tokens may come next after each position."""
        return self.chances(tokens) > 0

    def is_legal(self, prefix: Int[np.ndarray, " positions"], token: int) -> bool:
        """Whether a token may come after those."""
        return bool(self.legal(np.asarray(prefix)[None])[0, -1, token])

    def rows(self, split: Split, n: int, seed: int) -> Int16[np.ndarray, "n positions"]:
        """Transcripts of a split, their tokens alone. Those of a smaller `n` are the first of a larger one's.

        The sha256 of a row's tokens says which split it belongs to, so no row is ever in two, whatever the seeds.
        """
        kept: list[Int16[np.ndarray, "kept positions"]] = []
        have = number = 0
        while have < n:
            made = self.make(self.batch, np.random.default_rng((seed, number)))
            kept.append(made[[split_of(row) == split for row in made]])
            have, number = have + len(kept[-1]), number + 1
        return np.concatenate(kept)[:n] if kept else np.empty((0, self.context_size), dtype=np.int16)

    def draw(self, split: Split, n: int, seed: int) -> Transcripts:
        """Transcripts of a split, with all that is known of them."""
        tokens = self.rows(split, n, seed)
        return Transcripts(tokens, self.read(tokens), self.variables)

    def text(self, tokens: Int[np.ndarray, " positions"]) -> str:
        """A row as it is read, without the tokens that open and fill it."""
        return "".join(self.vocabulary[token] for token in tokens if token).strip()


def split_of(row: Int16[np.ndarray, " positions"]) -> Split:
    """Which split a row of tokens belongs to."""
    digest = hashlib.sha256(np.ascontiguousarray(row, dtype="<i2").tobytes()).digest()
    return _SHARES[int.from_bytes(digest[:8], "big") % len(_SHARES)]


def lengths_of(tokens: Int[np.ndarray, "n positions"]) -> Int[np.ndarray, " n"]:
    """Tokens of each row up to where filling begins."""
    filled = (tokens == 0) & (np.arange(tokens.shape[1]) > 0)
    return np.where(filled.any(1), filled.argmax(1), tokens.shape[1])


def broken(world: str, row: int, position: int) -> StudyError:
    """What `World.read` raises."""
    return StudyError(f"{world}: row {row} breaks the rules at position {position}")
