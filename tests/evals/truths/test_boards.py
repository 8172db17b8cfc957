"""Pictures of a board."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evals.truths.boards import draw_boards, fill_boards
from tools.truth.world_truth import VariableRow


def row(name: str, group: str, place: tuple[int, int] | None, f1: float | None) -> VariableRow:
    return VariableRow(
        name=name, group=group, place=place, prevalence=0.5, feature=0, threshold=0.0, chosen=0.9, f1=f1, skyline=None
    )


ROWS = (
    row("disc a1: mine", "disc: mine", (0, 0), 0.25),
    row("disc c2: mine", "disc: mine", (1, 2), 0.75),
    row("legal a1", "legal", (0, 0), None),
    row("dark to move", "dark to move", None, 1.0),
)


def test_each_group_is_a_board_with_every_figure_at_its_place() -> None:
    boards = fill_boards(ROWS)
    assert list(boards) == ["disc: mine", "legal"]
    np.testing.assert_array_equal(boards["disc: mine"], [[0.25, np.nan, np.nan], [np.nan, np.nan, 0.75]])
    assert np.isnan(boards["legal"]).all()


def test_boards_are_drawn_the_same_each_time_and_not_where_nothing_has_a_place(tmp_path: Path) -> None:
    first, second = draw_boards(tmp_path / "a", ROWS), draw_boards(tmp_path / "b", ROWS)
    assert first is not None and second is not None
    assert first.read_bytes() == second.read_bytes()
    assert draw_boards(tmp_path / "c", ROWS[3:]) is None
    assert not (tmp_path / "c").exists()
