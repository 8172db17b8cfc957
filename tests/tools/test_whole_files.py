"""A file is replaced as a whole or stays, and what a command line names is written wherever it leads."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.security.disks import full_disk
from tools.display.terminal import describe
from tools.whole_files import replacing, write_bytes, write_named


def test_a_file_that_finds_no_room_stays_as_it_was_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"old")
    for write in (lambda: write_bytes(file, b"x" * 1000), lambda: write_named(file, "x" * 1000)):
        with full_disk(100), pytest.raises(OSError) as failed:
            write()
        assert failed.value.filename == str(file) and "free some" in describe(failed.value)
        assert file.read_bytes() == b"old" and os.listdir(tmp_path) == ["f"]


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "f") as fresh:
        fresh.write_text("half")
        raise KeyboardInterrupt
    assert not os.listdir(tmp_path)


def test_a_link_that_a_command_line_names_leads_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("old")
    (tmp_path / "link").symlink_to("there")
    write_named(tmp_path / "link", "new\n")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there").read_text() == "new\n"


def test_no_file_takes_the_place_of_a_device(tmp_path: Path) -> None:
    (tmp_path / "null").symlink_to("/dev/null")
    write_named(tmp_path / "null", "gone\n")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode) and (tmp_path / "null").is_symlink()
    with pytest.raises(OSError, match="No space left"):
        write_named(Path("/dev/full"), "text\n")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_what_is_written_is_what_was_given(tmp_path: Path) -> None:
    write_named(tmp_path / "f", "a\r\nb\n\u2028é")
    assert (tmp_path / "f").read_bytes() == "a\r\nb\n\u2028é".encode()
