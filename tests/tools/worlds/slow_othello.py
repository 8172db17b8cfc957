"""Othello on 6 x 6 squares as a person would check it: one square, one line, one disc at a time."""

from __future__ import annotations

COLUMNS, ROWS = "abcdef", "123456"
WAYS = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]

Board = dict[str, str]
"""Squares with a disc on them, `dark` or `light`."""
OTHER = {"dark": "light", "light": "dark"}


def opening() -> Board:
    return {"c3": "light", "d4": "light", "d3": "dark", "c4": "dark"}


def step(square: str, way: tuple[int, int]) -> str | None:
    column, row = COLUMNS.index(square[0]) + way[0], ROWS.index(square[1]) + way[1]
    return COLUMNS[column] + ROWS[row] if 0 <= column < 6 and 0 <= row < 6 else None


def turned(board: Board, player: str, square: str) -> set[str]:
    """Discs that the player would turn."""
    found: set[str] = set()
    for way in WAYS:
        line: list[str] = []
        here = step(square, way)
        while here is not None and board.get(here) == OTHER[player]:
            line.append(here)
            here = step(here, way)
        if here is not None and board.get(here) == player:
            found.update(line)
    return found


def legal(board: Board, player: str) -> set[str]:
    every = {column + row for column in COLUMNS for row in ROWS}
    return {square for square in every - board.keys() if turned(board, player, square)}


def played(board: Board, player: str, square: str) -> Board:
    return {**board, square: player, **dict.fromkeys(turned(board, player, square), player)}


def perft(board: Board, player: str, plies: int) -> int:
    """How many games of so many moves there are; a pass counts as a move."""
    if plies == 0:
        return 1
    moves = legal(board, player)
    if not moves:
        return perft(board, OTHER[player], plies - 1) if legal(board, OTHER[player]) else 1
    return sum(perft(played(board, player, move), OTHER[player], plies - 1) for move in moves)
