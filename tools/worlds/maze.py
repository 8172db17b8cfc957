"""Walks in mazes of 4 x 4 cells.

First the maze is told: of each cell but the last, which ways lead on from it. Every maze without loops in which one way leads
from each cell to each other is as likely. Then a walker is put into a cell and given one target after another, each drawn
evenly among the other cells, and every token until it is there is the next cell of the only way. A row is full before the
walker is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int, Int8, Int16

from tools.worlds.lattice import EAST, SIDES, SOUTH, neighbours
from tools.worlds.walks import N_TOLD, SIZE, Moment, advance, begin, expect, replay
from tools.worlds.world import BEGIN, Variable, World, broken

CELLS = tuple(f"{column}{row}" for row in range(1, SIZE + 1) for column in "abcd")
"""Row by row from a1, the north-west corner."""
WAYS_ON = ("neither", "east", "south", "both")
"""What is told of a cell: by which of two sides one may leave it."""
PHASES = ("map", "waiting", "walking")
DISTANCES = (("one step", 1), ("two steps", 2), ("three steps", 3), ("four or five steps", 4), ("six or more steps", 6))
"""And from how many on."""
LATITUDES = ("further north", "in the same row", "further south")
LONGITUDES = ("further west", "in the same column", "further east")


class _Edge(NamedTuple):
    """What lies between two cells."""

    cell: int
    """That tells of it."""
    bit: int
    """Of what is told."""
    ends: tuple[str, str]
    place: tuple[float, float]

    @property
    def name(self) -> str:
        return "-".join(self.ends)


def _list_edges() -> Iterator[_Edge]:
    beside = neighbours(SIZE)
    for cell in range(N_TOLD):
        for bit, side in ((EAST, 1), (SOUTH, 2)):
            if (other := int(beside[cell, side])) >= 0:
                (row, column), (below, right) = divmod(cell, SIZE), divmod(other, SIZE)
                yield _Edge(cell, bit, (CELLS[cell], CELLS[other]), ((row + below) / 2, (column + right) / 2))


_EDGES = tuple(_list_edges())


def _edges(what: str, meaning: str) -> Iterator[Variable]:
    for edge in _EDGES:
        yield Variable(f"{what} {edge.name}", "boolean", (meaning.format(*edge.ends),), place=edge.place)


def _cells(what: str, meaning: str) -> Iterator[Variable]:
    for cell, name in enumerate(CELLS):
        yield Variable(f"{what} {name}", "boolean", (meaning.format(name),), place=divmod(cell, SIZE))


def _when_walking(name: str, classes: tuple[str, ...], meaning: str) -> Variable:
    said = ("the walker has no target", *(meaning.format(one) for one in classes))
    return Variable(name, "categorical", said, ("none", *classes))


class Maze(World):
    """The world of such walks."""

    name: ClassVar[str] = "maze"
    context_size: ClassVar[int] = 64
    batch: ClassVar[int] = 1024

    vocabulary: ClassVar[tuple[str, ...]] = (
        BEGIN,
        *(f" {one}" for one in WAYS_ON),
        *(f" {cell}" for cell in CELLS),
        *(f" →{cell}" for cell in CELLS),
    )
    variables: ClassVar[tuple[Variable, ...]] = (
        *_edges("open", "it has been told that a way leads from {} to {}"),
        *_edges("wall", "it has been told that a wall is between {} and {}"),
        *_cells("at", "the walker is in {}"),
        *_cells("target", "the walker is on its way to {}"),
        *(Variable(f"exit {side}", "boolean", (f"a way leads {side} out of the walker's cell",)) for side in SIDES),
        Variable("dead end", "boolean", ("one way alone leads out of the walker's cell",)),
        Variable("fork", "boolean", ("three or four ways lead out of the walker's cell",)),
        _when_walking("step", SIDES, "the next step to the target leads {}"),
        _when_walking("distance", tuple(name for name, _ in DISTANCES), "the target is {} away"),
        _when_walking("latitude", LATITUDES, "compared with the walker, the target lies {}"),
        _when_walking("longitude", LONGITUDES, "compared with the walker, the target lies {}"),
        Variable(
            "phase",
            "categorical",
            ("the maze is being told", "the walker waits for a target", "the walker is on its way to a target"),
            PHASES,
        ),
    )

    def make(self, n: int, rng: np.random.Generator) -> Int16[np.ndarray, "n positions"]:
        """Random walks in random mazes."""
        return self._go_on(np.zeros((n, 1), dtype=np.int16), rng)

    def walk(self, told: Int[np.ndarray, "n told"], rng: np.random.Generator) -> Int16[np.ndarray, "n positions"]:
        """Random walks in given mazes, such as `tools.worlds.lattice.tell` takes from others' generators.

        Raises:
            StudyError: it is no maze: it has a loop, or cells that no way leads to.
        """
        begun = np.column_stack([np.zeros(len(told)), told + 1]).astype(np.int16)
        self.read(begun)
        return self._go_on(begun, rng)

    def _go_on(self, begun: Int16[np.ndarray, "n begun"], rng: np.random.Generator) -> Int16[np.ndarray, "n positions"]:
        tokens = np.zeros((len(begun), self.context_size), dtype=np.int16)
        tokens[:, : begun.shape[1]] = begun
        moment = begin(len(begun))
        for position in range(1, self.context_size):
            if position >= begun.shape[1]:
                bounds = expect(moment).cumsum(1)
                tokens[:, position] = (rng.random((len(begun), 1)) * bounds[:, -1:] >= bounds).sum(1)
            moment = advance(moment, tokens[:, position])
        return tokens

    def read(self, tokens: Int[np.ndarray, "n positions"]) -> dict[str, Int8[np.ndarray, "n positions"]]:
        """Values after each token."""
        states = {variable.name: np.zeros(tokens.shape, dtype=np.int8) for variable in self.variables}
        for lawful, moment, _ in replay(tokens):
            if not lawful.all():
                raise broken(self.name, int(lawful.argmin()), moment.position)
            for name, values in _describe(moment):
                states[name][:, moment.position] = values
        return states

    def chances(self, tokens: Int[np.ndarray, "n positions"]) -> Float32[np.ndarray, "n positions vocabulary"]:
        """By the number of mazes that go on so; then cells and targets alike, and the only step to a target."""
        told = [np.where(lawful[:, None], expected, 0) for lawful, _, expected in replay(tokens)]
        return np.stack(told, axis=1).astype(np.float32)


def _describe(moment: Moment) -> Iterator[tuple[str, Int[np.ndarray, " n"] | Bool[np.ndarray, " n"]]]:
    for edge in _EDGES:
        if edge.cell < moment.position:
            is_open = (moment.told[:, edge.cell] & edge.bit) > 0
            yield f"open {edge.name}", is_open
            yield f"wall {edge.name}", ~is_open
    walking = moment.targets >= 0
    yield "phase", np.where(walking, 2, int(moment.position > N_TOLD))
    if moment.solved is None or moment.position == N_TOLD:
        return
    for cell, name in enumerate(CELLS):
        yield f"at {name}", moment.cells == cell
        yield f"target {name}", moment.targets == cell
    rows = np.arange(len(walking))
    exits = moment.solved.exits[rows, moment.cells]
    for side, name in enumerate(SIDES):
        yield f"exit {name}", exits[:, side]
    yield "dead end", exits.sum(1) == 1
    yield "fork", exits.sum(1) > 2
    yield "step", np.where(walking, 1 + moment.solved.steps[rows, moment.cells, moment.targets], 0)
    distance = moment.solved.distances[rows, moment.cells, moment.targets]
    counted = np.searchsorted([least for _, least in DISTANCES], distance, side="right")
    yield "distance", np.where(walking, counted, 0)
    for name, own, wanted in zip(
        ("latitude", "longitude"), np.divmod(moment.cells, SIZE), np.divmod(moment.targets, SIZE), strict=True
    ):
        yield name, np.where(walking, 2 + np.sign(wanted - own), 0)
