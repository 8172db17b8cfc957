"""Othello on 6 x 6 squares, many boards at once: the discs of each side are the bits of one 64-bit number.

The board lies inside 8 x 8 bits, so that a border of empty bits keeps lines from running from one row into the next.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt64

SIZE = 6
N_SQUARES = SIZE * SIZE
_WIDTH = 8
_BITS = np.array([1 << (_WIDTH * (r + 1) + c + 1) for r in range(SIZE) for c in range(SIZE)], dtype=np.uint64)
"""Of each square, row by row."""
_BOARD = np.bitwise_or.reduce(_BITS)
_STEPS = tuple(np.uint64(step) for step in (1, _WIDTH - 1, _WIDTH, _WIDTH + 1))
"""From a square to its neighbours, one way; the other way is backwards."""
_LONGEST = SIZE - 2
"""Discs between two on one line."""

Bits = UInt64[np.ndarray, " n"]


class Boards(NamedTuple):
    """Positions, from whoever is to move."""

    mine: Bits
    yours: Bits


def start(n: int) -> Boards:
    """The usual position, dark to move: light on c3 and d4, dark on d3 and c4."""
    dark, light = _BITS[[15, 20]].sum(dtype=np.uint64), _BITS[[14, 21]].sum(dtype=np.uint64)
    return Boards(np.full(n, dark), np.full(n, light))


def find_moves(boards: Boards) -> Bits:
    """Squares where whoever is to move may put a disc: empty, and at an end of a line that turns some."""
    moves = np.zeros_like(boards.mine)
    for shift, step in _directions():
        line = shift(boards.mine, step) & boards.yours
        for _ in range(_LONGEST - 1):
            line |= shift(line, step) & boards.yours
        moves |= shift(line, step)
    return moves & _BOARD & ~(boards.mine | boards.yours)


def find_flips(boards: Boards, moves: Bits) -> Bits:
    """Discs that a move turns: all lines from it to a disc of one's own. Without a move nothing is turned."""
    flips = np.zeros_like(moves)
    for shift, step in _directions():
        line = shift(moves, step) & boards.yours
        for _ in range(_LONGEST - 1):
            line |= shift(line, step) & boards.yours
        closed = (shift(line, step) & boards.mine) != 0
        flips |= np.where(closed, line, np.uint64(0))
    return flips


def play(boards: Boards, moves: Bits, flips: Bits) -> Boards:
    """The positions after a move each, from the other side; a move of no bits is a pass."""
    return Boards(boards.yours & ~flips, boards.mine | moves | flips)


def squares(bits: Bits) -> Bool[np.ndarray, "n squares"]:
    """Which squares are among the bits."""
    return (bits[:, None] & _BITS) != 0


def bits_at(index: Int[np.ndarray, " n"]) -> Bits:
    """The bit of a square each; none for what is no square."""
    inside = (index >= 0) & (index < N_SQUARES)
    return np.where(inside, _BITS[np.where(inside, index, 0)], np.uint64(0))


def _directions() -> list[tuple[np.ufunc, np.uint64]]:
    """Eight ways to go from all squares at once."""
    return [(shift, step) for step in _STEPS for shift in (np.left_shift, np.right_shift)]
