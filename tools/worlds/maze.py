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
from jaxtyping import Bool, Float32, Float64, Int, Int8, Int16

from tools.worlds.lattice import SIDES, Solved, list_tellings, neighbours, solve
from tools.worlds.world import BEGIN, Variable, World, broken

SIZE = 4
CELLS = tuple(f"{column}{row}" for row in range(1, SIZE + 1) for column in "abcd")
"""Row by row from a1, the north-west corner."""
WAYS_ON = ("neither", "east", "south", "both")
"""What is told of a cell: by which of two sides one may leave it."""
PHASES = ("map", "waiting", "walking")
DISTANCES = (("one", 1), ("two", 2), ("three", 3), ("four or five", 4), ("six or more", 6))
"""And from how many steps on."""
LATITUDES = ("further north", "in the same row", "further south")
LONGITUDES = ("further west", "in the same column", "further east")
_N = len(CELLS)
_TOLD = _N - 1
_FIRST_CELL = 1 + len(WAYS_ON)
_FIRST_TARGET = _FIRST_CELL + _N
_BESIDE = neighbours(SIZE)


class _Moment(NamedTuple):
    """All walks after one token each."""

    position: int
    told: Int8[np.ndarray, "n told"]
    """Of each cell; 0 of those to come."""
    state: Int16[np.ndarray, " n"]
    """Of `list_tellings`."""
    solved: Solved | None
    """Once all has been told."""
    cells: Int8[np.ndarray, " n"]
    """Where the walker is; -1 before it is put anywhere."""
    targets: Int8[np.ndarray, " n"]
    """Where it is to go; -1 where it waits to be told."""


def _between(a: int, b: int) -> tuple[str, tuple[float, float]]:
    """Name of what lies between two cells, and its place on the board."""
    return f"{CELLS[a]}-{CELLS[b]}", ((a // SIZE + b // SIZE) / 2, (a % SIZE + b % SIZE) / 2)


_EDGES = tuple(
    (cell, bit, *_between(cell, int(_BESIDE[cell, side])))
    for cell in range(_TOLD)
    for bit, side in ((1, 1), (2, 2))
    if _BESIDE[cell, side] >= 0
)
"""The cell that tells of it, the bit of what is told, name and place."""


def _edges(what: str, meaning: str) -> Iterator[Variable]:
    for *_, name, place in _EDGES:
        yield Variable(f"{what} {name}", "boolean", (meaning.format(*name.split("-")),), place=place)


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
        _when_walking("distance", tuple(name for name, _ in DISTANCES), "the target is {} steps away"),
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
        moment = _begin(len(begun))
        for position in range(1, self.context_size):
            if position >= begun.shape[1]:
                bounds = _expect(moment).cumsum(1)
                tokens[:, position] = (rng.random((len(begun), 1)) * bounds[:, -1:] >= bounds).sum(1)
            moment = _advance(moment, tokens[:, position])
        return tokens

    def read(self, tokens: Int[np.ndarray, "n positions"]) -> dict[str, Int8[np.ndarray, "n positions"]]:
        """Values after each token."""
        states = {variable.name: np.zeros(tokens.shape, dtype=np.int8) for variable in self.variables}
        for lawful, moment, _ in _replay(tokens):
            if not lawful.all():
                raise broken(self.name, int(lawful.argmin()), moment.position)
            for name, values in _describe(moment):
                states[name][:, moment.position] = values
        return states

    def chances(self, tokens: Int[np.ndarray, "n positions"]) -> Float32[np.ndarray, "n positions vocabulary"]:
        """By the number of mazes that go on so; then cells and targets alike, and the only step to a target."""
        told = [np.where(lawful[:, None], expected, 0) for lawful, _, expected in _replay(tokens)]
        return np.stack(told, axis=1).astype(np.float32)


def _begin(n: int) -> _Moment:
    nowhere = np.full(n, -1, dtype=np.int8)
    told = np.zeros((n, _TOLD), dtype=np.int8)
    return _Moment(0, told, np.zeros(n, dtype=np.int16), None, nowhere, nowhere)


def _expect(moment: _Moment) -> Float64[np.ndarray, "n vocabulary"]:
    """How likely each token is to come next."""
    n = len(moment.cells)
    chances = np.zeros((n, len(Maze.vocabulary)))
    if moment.position < _TOLD:
        chances[:, 1:_FIRST_CELL] = list_tellings(SIZE).chances[moment.state]
    elif moment.solved is None or moment.position == _TOLD:
        chances[:, _FIRST_CELL:_FIRST_TARGET] = 1 / _N
    else:
        walking = moment.targets >= 0
        rows, cells = np.flatnonzero(walking), moment.cells[walking]
        side = moment.solved.steps[rows, cells, moment.targets[walking]]
        chances[rows, _FIRST_CELL + _BESIDE[cells, side]] = 1
        rows, cells = np.flatnonzero(~walking), moment.cells[~walking]
        chances[rows, _FIRST_TARGET:] = 1 / (_N - 1)
        chances[rows, _FIRST_TARGET + cells] = 0
    return chances


def _advance(before: _Moment, tokens: Int[np.ndarray, " n"]) -> _Moment:
    """After a token each, one of those that may come."""
    position = before.position + 1
    if position > _TOLD:
        cells = np.where(tokens < _FIRST_TARGET, tokens - _FIRST_CELL, before.cells).astype(np.int8)
        targets = np.where(tokens >= _FIRST_TARGET, tokens - _FIRST_TARGET, before.targets)
        targets = np.where(targets == cells, -1, targets).astype(np.int8)
        return before._replace(position=position, cells=cells, targets=targets)
    told = before.told.copy()
    told[:, position - 1] = tokens - 1
    state = list_tellings(SIZE).after[before.state, tokens - 1]
    solved = solve(told, SIZE) if position == _TOLD else None
    return before._replace(position=position, told=told, state=state, solved=solved)


def _replay(
    tokens: Int[np.ndarray, "n positions"],
) -> Iterator[tuple[Bool[np.ndarray, " n"], _Moment, Float64[np.ndarray, "n vocabulary"]]]:
    """Whether each row has kept to the rules so far, where it is, and what may come next, after each of its tokens.

    A row that breaks them goes on as if it had said the likeliest token that may come.
    """
    moment, lawful = _begin(len(tokens)), tokens[:, 0] == 0
    expected = _expect(moment)
    yield lawful, moment, expected
    rows, size = np.arange(len(tokens)), len(Maze.vocabulary)
    for position in range(1, tokens.shape[1]):
        given = tokens[:, position]
        known = np.where((given >= 0) & (given < size), given, 0)
        fits = (known == given) & (expected[rows, known] > 0)
        lawful = lawful & fits
        moment = _advance(moment, np.where(fits, known, expected.argmax(1)))
        expected = _expect(moment)
        yield lawful, moment, expected


def _describe(moment: _Moment) -> Iterator[tuple[str, Int[np.ndarray, " n"] | Bool[np.ndarray, " n"]]]:
    for cell, bit, name, _ in _EDGES:
        if cell < moment.position:
            is_open = (moment.told[:, cell] & bit) > 0
            yield f"open {name}", is_open
            yield f"wall {name}", ~is_open
    walking = moment.targets >= 0
    yield "phase", np.where(walking, 2, int(moment.position > _TOLD))
    if moment.solved is None or moment.position == _TOLD:
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
