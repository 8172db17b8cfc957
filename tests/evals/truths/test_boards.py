"""Pictures of a board."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evals.truths.boards import draw_boards, fill_boards
from tools.truth.world_truth import VariableRow


def row(name: str, group: str, place: tuple[float, float] | None, f1: float | None) -> VariableRow:
    return VariableRow(
        name=name, group=group, place=place, prevalence=0.5, feature=0, threshold=0.0, chosen=0.9, f1=f1, skyline=None
    )


ROWS = (
    row("disc a1: mine", "disc: mine", (0, 0), 0.25),
    row("disc c2: mine", "disc: mine", (1, 2), 0.75),
    row("legal a1", "legal", (0, 0), None),
    row("dark to move", "dark to move", None, 1.0),
)
BETWEEN = row("wall a1-b1", "wall", (0, 0.5), 0.5)


def test_each_group_is_a_board_with_every_figure_at_its_place() -> None:
    boards = fill_boards(ROWS)
    assert list(boards) == ["disc: mine", "legal"]
    np.testing.assert_array_equal(boards["disc: mine"], [[0.25, np.nan, np.nan], [np.nan, np.nan, 0.75]])
    assert np.isnan(boards["legal"]).all()


def test_what_lies_between_squares_is_drawn_between_them() -> None:
    """Two by two cells: the ways that lead east from the first of a row, and south from the last of a column."""
    rows = (
        row("open a1-b1", "open", (0, 0.5), 0.25),
        row("open a2-b2", "open", (1, 0.5), 0.5),
        row("open b1-b2", "open", (0.5, 1), 0.75),
        row("at b1", "at", (0, 1), 1.0),
    )
    boards = fill_boards(rows)
    np.testing.assert_array_equal(boards["at"], [[np.nan, 1.0], [np.nan, np.nan]])
    np.testing.assert_array_equal(
        boards["open"], [[np.nan, 0.25, np.nan], [np.nan, np.nan, 0.75], [np.nan, 0.5, np.nan]]
    )
    assert fill_boards(rows[2:3])["open"].shape == (3, 3)


def test_boards_are_drawn_the_same_each_time_and_not_where_nothing_has_a_place(tmp_path: Path) -> None:
    rows = (*ROWS, BETWEEN)
    first, second = draw_boards(tmp_path / "a", rows), draw_boards(tmp_path / "b", rows)
    assert first is not None and second is not None
    assert first.read_bytes() == second.read_bytes()
    assert draw_boards(tmp_path / "c", rows[3:4]) is None
    assert not (tmp_path / "c").exists()
