"""Random legal games of Othello on 6 x 6 squares.

Dark begins. Every move is drawn evenly among the legal ones. Whoever has none says `pass`, which counts as a token; a game
ends when neither side has a move, and the rest of its row is filled; of a thousand games one has more passes than a row has
room for, and is cut. A position is told as the player to move sees it, after the token: "mine" are the discs of whoever
moves next.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int, Int8, Int16

from tools.worlds.bitboards import (
    N_SQUARES,
    SIZE,
    Bits,
    Boards,
    bits_at,
    find_flips,
    find_moves,
    play,
    squares,
    start,
)
from tools.worlds.world import BEGIN, Variable, World, broken

SQUARES = tuple(f"{column}{row}" for row in range(1, SIZE + 1) for column in "abcdef")
"""Row by row from a1."""
CENTRE = ("c3", "d3", "c4", "d4")
"""Never empty."""
CORNERS = ("a1", "f1", "a6", "f6")
"""Never turned."""
PLAYED = tuple(square for square in SQUARES if square not in CENTRE)
MINE, YOURS, EMPTY = range(3)
PHASES = (("opening", 4), ("middle game", 15), ("endgame", 26))
"""And from how many discs on."""
_PASS = len(PLAYED) + 1
_SQUARE_OF = np.array([-1, *(SQUARES.index(square) for square in PLAYED), -1])
"""By token."""
_TOKENS = _SQUARE_OF[1:_PASS]


class _Moment(NamedTuple):
    """All games after one token each."""

    boards: Boards
    dark: Bool[np.ndarray, " n"]
    """Whether dark is to move."""
    flips: Bits
    """Discs that the token's move turned."""
    allowed: Bool[np.ndarray, "n vocabulary"]
    """Tokens that may come next."""


def _disc(square: str) -> Variable:
    owners = [f"{square} holds a disc of the player to move", f"{square} holds a disc of the other player"]
    never_empty = square in CENTRE
    return Variable(
        f"disc {square}",
        "categorical",
        tuple(owners if never_empty else [*owners, f"{square} is empty"]),
        ("mine", "yours") if never_empty else ("mine", "yours", "empty"),
        _place(square),
    )


def _about(square: str, what: str, meaning: str) -> Variable:
    return Variable(f"{what} {square}", "boolean", (meaning.format(square),), place=_place(square))


def _place(square: str) -> tuple[int, int]:
    return divmod(SQUARES.index(square), SIZE)


class Othello(World):
    """The world of such games."""

    name: ClassVar[str] = "othello"
    context_size: ClassVar[int] = 38
    batch: ClassVar[int] = 4096

    vocabulary: ClassVar[tuple[str, ...]] = (BEGIN, *(f" {square}" for square in PLAYED), " pass")
    variables: ClassVar[tuple[Variable, ...]] = (
        *map(_disc, SQUARES),
        *(_about(square, "legal", "the player to move may play {}") for square in PLAYED),
        *(
            _about(square, "turned", "the last move turned the disc on {}")
            for square in SQUARES
            if square not in CORNERS
        ),
        Variable("dark to move", "boolean", ("dark is to move",)),
        Variable("must pass", "boolean", ("the player to move has no legal move and must pass",)),
        Variable(
            "phase",
            "categorical",
            tuple(f"the {name}, from {least} discs on" for name, least in PHASES),
            tuple(name for name, _ in PHASES),
        ),
    )

    def make(self, n: int, rng: np.random.Generator) -> Int16[np.ndarray, "n positions"]:
        """Random games."""
        tokens = np.zeros((n, self.context_size), dtype=np.int16)
        moment = _begin(n)
        for position in range(1, self.context_size):
            chance = np.where(moment.allowed, rng.random(moment.allowed.shape), -1.0)
            tokens[:, position] = chance.argmax(1)
            moment = _advance(moment, tokens[:, position])
        return tokens

    def read(self, tokens: Int[np.ndarray, "n positions"]) -> dict[str, Int8[np.ndarray, "n positions"]]:
        """Values after each token; the last ones stay where a row is filled."""
        states = {variable.name: np.zeros(tokens.shape, dtype=np.int8) for variable in self.variables}
        for position, (lawful, moment) in enumerate(_replay(tokens)):
            if not lawful.all():
                raise broken(self.name, int(lawful.argmin()), position)
            for name, values in _describe(moment):
                states[name][:, position] = values
        return states

    def chances(self, tokens: Int[np.ndarray, "n positions"]) -> Float32[np.ndarray, "n positions vocabulary"]:
        """Legal moves alike; a pass where there is none, and the end where there is none for either side."""
        allowed = np.stack([lawful[:, None] & moment.allowed for lawful, moment in _replay(tokens)], axis=1)
        return allowed / np.maximum(allowed.sum(-1, keepdims=True, dtype=np.float32), 1)


def _begin(n: int) -> _Moment:
    boards = start(n)
    return _Moment(boards, np.ones(n, dtype=bool), np.zeros(n, dtype=np.uint64), _allow(boards))


def _allow(boards: Boards) -> Bool[np.ndarray, "n vocabulary"]:
    moves = find_moves(boards)
    stuck = moves == 0
    over = stuck & (find_moves(Boards(boards.yours, boards.mine)) == 0)
    return np.column_stack([over, squares(moves)[:, _TOKENS], stuck & ~over])


def _advance(before: _Moment, tokens: Int[np.ndarray, " n"]) -> _Moment:
    """After a token each; games that are over stay as they are."""
    moves = bits_at(_SQUARE_OF[tokens])
    flips = find_flips(before.boards, moves)
    goes_on = tokens > 0
    after = play(before.boards, moves, flips)
    boards = Boards(*(np.where(goes_on, new, old) for new, old in zip(after, before.boards, strict=True)))
    return _Moment(boards, before.dark ^ goes_on, np.where(goes_on, flips, before.flips), _allow(boards))


def _replay(tokens: Int[np.ndarray, "n positions"]) -> Iterator[tuple[Bool[np.ndarray, " n"], _Moment]]:
    """Whether each row has kept to the rules so far, and its position, after each of its tokens."""
    moment, lawful = _begin(len(tokens)), tokens[:, 0] == 0
    yield lawful, moment
    rows, size = np.arange(len(tokens)), len(_SQUARE_OF)
    for position in range(1, tokens.shape[1]):
        given = tokens[:, position]
        known = np.where((given >= 0) & (given < size), given, 0)
        lawful = lawful & (known == given) & moment.allowed[rows, known]
        moment = _advance(moment, known)
        yield lawful, moment


def _describe(moment: _Moment) -> Iterator[tuple[str, Int[np.ndarray, " n"] | Bool[np.ndarray, " n"]]]:
    mine, yours = squares(moment.boards.mine), squares(moment.boards.yours)
    discs = np.where(mine, MINE, np.where(yours, YOURS, EMPTY))
    turned = squares(moment.flips)
    for square in range(N_SQUARES):
        yield f"disc {SQUARES[square]}", discs[:, square]
        if SQUARES[square] not in CORNERS:
            yield f"turned {SQUARES[square]}", turned[:, square]
    for number, square in enumerate(PLAYED):
        yield f"legal {square}", moment.allowed[:, 1 + number]
    yield "dark to move", moment.dark
    yield "must pass", moment.allowed[:, _PASS]
    count = (mine | yours).sum(1)
    yield "phase", np.searchsorted([least for _, least in PHASES], count, side="right") - 1
