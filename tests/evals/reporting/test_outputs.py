"""Results go nowhere where something of a run, or nothing at all, would be lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import RunError
from evals.reporting.outputs import check_outputs


@pytest.mark.parametrize("name", ["manifest.json", "steering.json"])
def test_a_run_is_not_written_over(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(RunError, match="holds a run"):
        check_outputs(tmp_path)


def test_a_file_that_is_a_folder_or_lies_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is a folder: name a file"):
        check_outputs(None, None, tmp_path)
    with pytest.raises(RunError, match=r"missing is no folder: all\.json cannot be written there"):
        check_outputs(None, tmp_path / "missing" / "all.json")


def test_a_report_in_a_files_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is no folder"):
        check_outputs(tmp_path / "file")


def test_new_and_empty_places_are_fine(tmp_path: Path) -> None:
    check_outputs(tmp_path / "new", tmp_path / "all.json", None)
    check_outputs(tmp_path)
