"""Mazes as a person would walk them: one cell, one way at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

Cell = tuple[int, int]
"""Row and column."""
Way = frozenset[Cell]
SIDES = {"north": (-1, 0), "east": (0, 1), "south": (1, 0), "west": (0, -1)}


def cells(size: int) -> list[Cell]:
    return [(row, column) for row in range(size) for column in range(size)]


def beside(cell: Cell, side: str) -> Cell:
    return (cell[0] + SIDES[side][0], cell[1] + SIDES[side][1])


def all_ways(size: int) -> list[Way]:
    """Row by row, that to the east before that to the south."""
    inside = set(cells(size))
    return [
        frozenset((cell, other))
        for cell in cells(size)
        for other in (beside(cell, "east"), beside(cell, "south"))
        if other in inside
    ]


def path(ways: set[Way], start: Cell, end: Cell) -> list[Cell] | None:
    """Cells from the first to the last, in as few steps as can be."""
    came_from: dict[Cell, Cell | None] = {start: None}
    waiting = [start]
    for cell in waiting:
        for side in SIDES:
            other = beside(cell, side)
            if frozenset((cell, other)) in ways and other not in came_from:
                came_from[other] = cell
                waiting.append(other)
    if end not in came_from:
        return None
    found, here = list[Cell](), end
    while here is not None:
        found, here = [here, *found], came_from[here]
    return found


def is_maze(ways: set[Way], size: int) -> bool:
    """Whether one way leads from each cell to each other: all hang together, and no way is more than is needed."""
    return len(ways) == size**2 - 1 and all(path(ways, (0, 0), cell) for cell in cells(size))


def all_mazes(size: int) -> Iterator[set[Way]]:
    for chosen in combinations(all_ways(size), size**2 - 1):
        if is_maze(set(chosen), size):
            yield set(chosen)


def grown(size: int, order: Sequence[int]) -> set[Way]:
    """A maze of ways taken in that order, each that makes no loop."""
    ways = set[Way]()
    for number in order:
        way = all_ways(size)[number]
        if path(ways, *way) is None:
            ways.add(way)
    return ways


def told(ways: set[Way], size: int) -> list[int]:
    """Of each cell but the last, 1 for a way to the east and 2 for one to the south, added up."""
    return [
        sum(bit for bit, side in ((1, "east"), (2, "south")) if frozenset((cell, beside(cell, side))) in ways)
        for cell in cells(size)[:-1]
    ]
