"""Pictures of a board: on every square, how well the best feature tells what may be true there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from tools.display.plots import INK, save_figure
from tools.truth.world_truth import VariableRow

FILE = "board.png"
_PANEL = 2.1
"""Inches."""


def draw_boards(folder: Path, rows: Sequence[VariableRow]) -> Path | None:
    """Draw a panel for every group of variables that have a place; None where none has.

    Raises:
        OSError: the picture cannot be written.
    """
    boards = fill_boards(rows)
    if not boards:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    between = _list_between(rows)
    panels = [(group, partial(_draw, board, group in between)) for group, board in boards.items()]
    return save_figure(folder / FILE, (_PANEL * len(panels), _PANEL + 0.35), *panels)


def fill_boards(rows: Sequence[VariableRow]) -> dict[str, Float[np.ndarray, "height width"]]:
    """F1 on test transcripts by place, a board for each group; nan where there is no such variable or no figure.

    The board of a group that lies between squares, such as the walls of a maze, has a row and a column for what is between
    two: its squares have even numbers.
    """
    placed = [(row, row.place) for row in rows if row.place is not None]
    height, width = (1 + math.ceil(max((place[axis] for _, place in placed), default=0)) for axis in (0, 1))
    between = _list_between(rows)
    boards: dict[str, Float[np.ndarray, "height width"]] = {}
    for row, place in placed:
        fold = 2 if row.group in between else 1
        shape = (fold * (height - 1) + 1, fold * (width - 1) + 1)
        board = boards.setdefault(row.group, np.full(shape, np.nan))
        board[round(fold * place[0]), round(fold * place[1])] = np.nan if row.f1 is None else row.f1
    return boards


def _list_between(rows: Sequence[VariableRow]) -> set[str]:
    """Groups that lie between squares."""
    return {row.group for row in rows if row.place is not None and (row.place[0] % 1 or row.place[1] % 1)}


def _draw(board: Float[np.ndarray, "height width"], between: bool, axes: Axes) -> None:
    axes.imshow(board, vmin=0, vmax=1, cmap="Greens")
    axes.set_xticks([])
    axes.set_yticks([])
    for (y, x), value in np.ndenumerate(board):
        if not np.isnan(value):
            colour = "white" if value > 0.6 else "black"
            axes.text(x, y, f"{100 * value:.0f}", ha="center", va="center", color=colour, fontsize=6)
        elif not (between and y % 2 and x % 2):  # where four squares meet there is nothing to be told
            axes.text(x, y, "·", ha="center", va="center", color=INK, fontsize=6)
