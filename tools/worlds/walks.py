"""Walks in mazes of 4 x 4 cells, many at once, token by token: where each is, and what may come next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int, Int8, Int16

from tools.worlds.lattice import Solved, list_tellings, neighbours, solve

SIZE = 4
N_CELLS = SIZE**2
N_TOLD = N_CELLS - 1
"""Cells of which it is told which ways lead on from them."""
FIRST_CELL = 1 + 4
FIRST_TARGET = FIRST_CELL + N_CELLS
N_TOKENS = FIRST_TARGET + N_CELLS
"""The token that opens rows, what may be told of a cell, the cells to step into, and those to go to."""
_BESIDE = neighbours(SIZE)


class Moment(NamedTuple):
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


def begin(n: int) -> Moment:
    """After the token that opens rows."""
    nowhere = np.full(n, -1, dtype=np.int8)
    told = np.zeros((n, N_TOLD), dtype=np.int8)
    return Moment(0, told, np.zeros(n, dtype=np.int16), None, nowhere, nowhere)


def expect(moment: Moment) -> Float64[np.ndarray, "n vocabulary"]:
    """How likely each token is to come next."""
    chances = np.zeros((len(moment.cells), N_TOKENS))
    if moment.position < N_TOLD:
        chances[:, 1:FIRST_CELL] = list_tellings(SIZE).chances[moment.state]
    elif moment.solved is None or moment.position == N_TOLD:
        chances[:, FIRST_CELL:FIRST_TARGET] = 1 / N_CELLS
    else:
        walking = moment.targets >= 0
        rows, cells = np.flatnonzero(walking), moment.cells[walking]
        side = moment.solved.steps[rows, cells, moment.targets[walking]]
        chances[rows, FIRST_CELL + _BESIDE[cells, side]] = 1
        rows, cells = np.flatnonzero(~walking), moment.cells[~walking]
        chances[rows, FIRST_TARGET:] = 1 / (N_CELLS - 1)
        chances[rows, FIRST_TARGET + cells] = 0
    return chances


def advance(before: Moment, tokens: Int[np.ndarray, " n"]) -> Moment:
    """After a token each, one of those that may come."""
    position = before.position + 1
    if position > N_TOLD:
        cells = np.where(tokens < FIRST_TARGET, tokens - FIRST_CELL, before.cells).astype(np.int8)
        targets = np.where(tokens >= FIRST_TARGET, tokens - FIRST_TARGET, before.targets)
        targets = np.where(targets == cells, -1, targets).astype(np.int8)
        return before._replace(position=position, cells=cells, targets=targets)
    told = before.told.copy()
    told[:, position - 1] = tokens - 1
    state = list_tellings(SIZE).after[before.state, tokens - 1]
    solved = solve(told, SIZE) if position == N_TOLD else None
    return before._replace(position=position, told=told, state=state, solved=solved)


def replay(
    tokens: Int[np.ndarray, "n positions"],
) -> Iterator[tuple[Bool[np.ndarray, " n"], Moment, Float64[np.ndarray, "n vocabulary"]]]:
    """Whether each row has kept to the rules so far, where it is, and what may come next, after each of its tokens.

    A row that breaks them goes on as if it had said the likeliest token that may come.
    """
    moment, lawful = begin(len(tokens)), tokens[:, 0] == 0
    expected = expect(moment)
    yield lawful, moment, expected
    rows, size = np.arange(len(tokens)), N_TOKENS
    for position in range(1, tokens.shape[1]):
        given = tokens[:, position]
        known = np.where((given >= 0) & (given < size), given, 0)
        fits = (known == given) & (expected[rows, known] > 0)
        lawful = lawful & fits
        moment = advance(moment, np.where(fits, known, expected.argmax(1)))
        expected = expect(moment)
        yield lawful, moment, expected
