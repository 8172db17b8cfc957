"""Mazes without loops on a square lattice, in which one way leads from every cell to every other: many of them at once.

A maze is told cell by cell, row by row from the north-west corner: of each cell, whether ways lead on from it to the east and
to the south. What mazes have in common that begin alike is how the cells hang together that may still be added to; so mazes
can be counted without listing them, and all that begin alike be drawn equally often.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int, Int8, Int16

EAST, SOUTH = 1, 2
"""Bits of what is told of a cell."""
SIDES = ("north", "east", "south", "west")
_STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""By side: rows and columns."""
_Ends = tuple[int, ...]
"""Of the told cells that may still be added to, one for each column: the number of the part that a way south from its lowest
told cell belongs to, 0 where there is none; and last, of the part that a way east from the latest cell belongs to."""


class Telling(NamedTuple):
    """How mazes of a size may be told; state 0 is where nothing has been."""

    after: Int16[np.ndarray, "states 4"]
    """State that what is told of the next cell leads to; -1 where no maze goes on so, or all has been told."""
    chances: Float64[np.ndarray, "states 4"]
    """Share of the mazes that go on so, of those that begin alike."""
    mazes: int


class Solved(NamedTuple):
    """The ways in mazes; cells are numbered row by row."""

    exits: Bool[np.ndarray, "n cells 4"]
    """Whether a way leads out of a cell, by side."""
    distances: Int8[np.ndarray, "n cells cells"]
    """Steps from the first to the second; -1 where no way leads."""
    steps: Int8[np.ndarray, "n cells cells"]
    """The side to leave the first cell by, to come to the second; -1 where that is no other, or no way leads."""


@cache
def list_tellings(size: int) -> Telling:
    """All ways to tell a maze of so many rows and columns; the last cell is not told, for nothing leads on from it."""
    start, last = (0,) * (size + 1), size**2 - 1
    states = [(0, start)]
    numbers = {states[0]: 0}
    after: list[list[int]] = []
    chances: list[list[float]] = []
    for cell, ends in states:  # which grows on the way
        after.append([-1] * 4)
        chances.append([0.0] * 4)
        for told in range(4) if cell < last else ():
            reached = _pass(ends, cell, told, size)
            many = 0 if reached is None else _count(cell + 1, reached, size)
            if reached is not None and many:
                state = (cell + 1, reached)
                after[-1][told] = numbers.setdefault(state, len(states))
                chances[-1][told] = many / _count(cell, ends, size)
                if after[-1][told] == len(states):
                    states.append(state)
    return Telling(np.array(after, dtype=np.int16), np.array(chances), _count(0, start, size))


def neighbours(size: int) -> Int[np.ndarray, "cells 4"]:
    """The cell on each side of a cell; -1 beyond the edge."""
    found = np.full((size**2, 4), -1)
    for cell in range(size**2):
        row, column = divmod(cell, size)
        for side, (down, right) in enumerate(_STEPS):
            if 0 <= row + down < size and 0 <= column + right < size:
                found[cell, side] = (row + down) * size + column + right
    return found


def solve(told: Int[np.ndarray, "n told"], size: int) -> Solved:
    """Find all ways in mazes.

    Args:
        told: of each cell but the last, `EAST` and `SOUTH` added up. Ways beyond the edge count for nothing.
        size: rows, and columns.
    """
    beside = neighbours(size)
    exits = np.zeros((len(told), size**2, 4), dtype=bool)
    for bit, side, back in ((EAST, 1, 3), (SOUTH, 2, 0)):
        cells = np.flatnonzero(beside[:-1, side] >= 0)
        exits[:, cells, side] = exits[:, beside[cells, side], back] = (told[:, cells] & bit) > 0
    distances = _measure(exits, beside)
    steps = np.full_like(distances, -1)
    for side in range(4):
        inside = beside[:, side] >= 0
        nearer = distances[:, beside[:, side]] == distances - 1
        steps[nearer & (distances > 0) & (exits[..., side] & inside)[..., None]] = side
    return Solved(exits, distances, steps)


def tell(connections: Bool[np.ndarray, "2 size size"]) -> Int[np.ndarray, " told"]:
    """What is told of a maze that comes as maze-dataset keeps one (`LatticeMaze.connection_list`).

    Args:
        connections: whether a way leads from each cell to the south, and to the east.
    """
    return (SOUTH * connections[0].astype(int) + EAST * connections[1]).ravel()[:-1]


def _measure(
    exits: Bool[np.ndarray, "n cells 4"], beside: Int[np.ndarray, "cells 4"]
) -> Int8[np.ndarray, "n cells cells"]:
    """Steps between cells, by going one step further from all of them at a time."""
    n, cells, _ = exits.shape
    joined = np.zeros((n, cells, cells), dtype=np.float32)
    for side in range(4):
        inside = np.flatnonzero(beside[:, side] >= 0)
        joined[:, inside, beside[inside, side]] = exits[:, inside, side]
    latest = np.broadcast_to(np.eye(cells, dtype=bool), joined.shape)
    distances = np.where(latest, 0, -1).astype(np.int8)
    for distance in range(1, cells):
        latest = (latest @ joined > 0) & (distances < 0)
        distances[latest] = distance
    return distances


@cache
def _count(cell: int, ends: _Ends, size: int) -> int:
    """Mazes that go on from there."""
    if cell == size**2:
        return 1
    reached = (_pass(ends, cell, told, size) for told in range(4))
    return sum(_count(cell + 1, one, size) for one in reached if one is not None)


def _pass(ends: _Ends, cell: int, told: int, size: int) -> _Ends | None:
    """What has been told with one more cell; None where that makes a loop, cuts cells off, or leads beyond the edge."""
    row, column = divmod(cell, size)
    if (told & EAST and column == size - 1) or (told & SOUTH and row == size - 1):
        return None
    *south, west = ends
    met = {south[column], west} - {0}
    if south[column] and south[column] == west:
        return None
    own = max(ends) + 1
    south[column] = own if told & SOUTH else 0
    parts = [own if part in met else part for part in south] + [own if told & EAST else 0]
    if own not in parts and cell < size**2 - 1:
        return None
    names = {part: number for number, part in enumerate(dict.fromkeys(part for part in parts if part), start=1)}
    return tuple(names.get(part, 0) for part in parts)
