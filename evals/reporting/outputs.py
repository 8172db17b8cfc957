"""Where results go: looked at before anything is computed, so that nothing is half written and no run written over."""

from __future__ import annotations

from pathlib import Path

from agent.errors import RunError
from agent.folder.steering_store import SteeringFolder
from agent.folder.store import RunFolder


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
    if folder is not None and (RunFolder(folder).is_there or SteeringFolder(folder).is_there):
        raise RunError(f"{folder} holds a run, whose report would be written over: name another folder")
    if folder is not None and folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is no folder: name one for the report")
