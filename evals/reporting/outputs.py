"""Where results go: looked at before anything is computed, so that nothing is half written and no run written over."""

from __future__ import annotations

from pathlib import Path

from agent.errors import RunError

_RUNS = ("manifest.json", "steering.json")
"""One of them lies in every run folder."""


def check_outputs(folder: Path | None, *files: Path | None) -> None:
    """See that results can be put where they are to go.

    Args:
        folder: of a report; None where it is a default.
        files: that are written whole; None for those that nobody asked for.

    Raises:
        RunError: a file is a folder or has none to lie in, or the folder is a run's own or no folder.
    """
    for file in files:
        if file is not None and file.is_dir():
            raise RunError(f"{file} is a folder: name a file in it")
        if file is not None and not file.parent.is_dir():
            raise RunError(f"{file.parent} is no folder: {file.name} cannot be written there")
    if folder is not None and any((folder / name).exists() for name in _RUNS):
        raise RunError(f"{folder} holds a run, whose report would be written over: name another folder")
    if folder is not None and folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is no folder: name one for the report")
