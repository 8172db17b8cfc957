"""What a run says of the code and the files that it was made with."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.folder.provenance import collect_provenance


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_reading_the_commit_writes_nothing_into_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`git status` would write its index anew where a file's time has changed, and leave a lock if it were stopped at that."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("a")
    me = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "file"], [*me, "commit", "-qm", "a"]):
        subprocess.run(["git", *words], check=True)
    index, before = tmp_path / ".git" / "index", (tmp_path / ".git" / "index").read_bytes()
    os.utime(tmp_path / "file", (1, 1))
    found = collect_provenance([], {}, {})
    assert found.git_commit and found.git_dirty is False
    assert index.read_bytes() == before
