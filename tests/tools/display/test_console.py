"""What a command says is said, however narrow its terminal claims to be."""

from __future__ import annotations

import pytest

from tools.display.console import LineConsole


@pytest.mark.parametrize("columns", ["0", "1", "19", "80", "²", "٣", "-5", "x", "", "9" * 5000])
def test_a_line_is_said_whole_whatever_the_width(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    LineConsole(stderr=True).print("error: name the model with --llm-model")
    assert capsys.readouterr().err == "error: name the model with --llm-model\n"
