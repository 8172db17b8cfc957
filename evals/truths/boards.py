"""Pictures of a board: on every square, how well the best feature tells what may be true there."""

from __future__ import annotations

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
    panels = [(group, partial(_draw, board)) for group, board in boards.items()]
    return save_figure(folder / FILE, (_PANEL * len(panels), _PANEL + 0.35), *panels)


def fill_boards(rows: Sequence[VariableRow]) -> dict[str, Float[np.ndarray, "height width"]]:
    """F1 on test transcripts by place, a board for each group; nan where there is no such variable or no figure."""
    placed = [(row, row.place) for row in rows if row.place is not None]
    if not placed:
        return {}
    height, width = (1 + max(place[axis] for _, place in placed) for axis in (0, 1))
    boards: dict[str, Float[np.ndarray, "height width"]] = {}
    for row, place in placed:
        board = boards.setdefault(row.group, np.full((height, width), np.nan))
        board[place] = np.nan if row.f1 is None else row.f1
    return boards


def _draw(board: Float[np.ndarray, "height width"], axes: Axes) -> None:
    axes.imshow(board, vmin=0, vmax=1, cmap="Greens")
    axes.set_xticks([])
    axes.set_yticks([])
    for (y, x), value in np.ndenumerate(board):
        if np.isnan(value):
            axes.text(x, y, "·", ha="center", va="center", color=INK, fontsize=6)
        else:
            colour = "white" if value > 0.6 else "black"
            axes.text(x, y, f"{100 * value:.0f}", ha="center", va="center", color=colour, fontsize=6)
