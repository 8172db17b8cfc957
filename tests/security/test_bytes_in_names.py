"""Names that are no UTF-8, as file systems allow: a run is read, judged again and written there; what is stored is text."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import check
from agent.run import main

ODD = os.fsdecode(b"caf\xe9 \xff\xfe")


@pytest.fixture
def odd(judged: Path, copy_of: Callable[[Path], Path]) -> Path:
    """A run in a folder with such a name."""
    copy = copy_of(judged)
    return copy.rename(copy.with_name(ODD))


def test_a_run_in_such_a_folder_is_read_and_made_again(odd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([str(odd)]) == 0
    assert main(["--replay", str(odd)]) == 0
    capsys.readouterr()


def test_a_run_of_such_a_folder_into_another_is_stored_as_text(odd: Path, tmp_path: Path) -> None:
    runs = tmp_path / ODD
    assert main(["--rejudge", str(odd), "--judge", "rules", "--runs", str(runs)]) == 0
    (made,) = runs.glob("*/")
    command = json.loads((made / "manifest.json").read_text("utf-8"))["provenance"]["command"]
    assert str(odd).encode("utf-8", "backslashreplace").decode() in command
    assert check.main([str(made)]) == 0


@pytest.mark.parametrize("flag", ["--study", "--corpus", "--sae", "--device", "--model"])
def test_what_a_run_would_have_to_keep_is_refused_in_one_line(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([flag, ODD, "--runs", str(tmp_path / "runs")]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: {flag} ") and "no UTF-8 text" in said and not (tmp_path / "runs").exists()


def test_a_reason_of_such_bytes_is_refused(odd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--rejudge", str(odd), "--judge", "rules", "--allow-different", ODD])
    assert ended.value.code == 2 and "no UTF-8 text" in capsys.readouterr().err


def test_a_model_named_so_by_the_environment_is_refused(
    judged: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_MODEL", ODD)
    assert main(["--rejudge", str(judged), "--base-url", "http://127.0.0.1:9/v1"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --llm-model ") and "no UTF-8 text" in said
