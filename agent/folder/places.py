"""What stands in a run folder, and that all of it lies there.

A run may come from anyone. A link in it would have us read, cut off or overwrite what lies elsewhere under a name of its
own, and reading a pipe never ends: a run folder holds plain files and folders, and each where it belongs.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from agent.errors import RunError

STEERED = ("texts.jsonl", "likelihoods.jsonl", "judgements.jsonl")
"""What a steering run appends beside `llm_calls.jsonl`."""
APPENDED = ("decisions.jsonl", "llm_calls.jsonl", "tool_calls.jsonl", "retried.jsonl", *STEERED)
"""Files that grow by a line at a time, whose last one a kill may cut off."""
WHOLE = (
    *("manifest.json", "evidence.jsonl", "cases.jsonl", "features.parquet", "summary.json", "report.html"),
    *("steering.json", "targets.json", "scores.parquet", "results.json"),
)
"""Files that are written as a whole; those of the second line by a steering run."""
FOLDERS = ("transcripts", "tables", "figures")
"""Into which a run writes."""
_NEW = re.compile(r"\.[0-9]{8}T[0-9]{6}Z-.+-[0-9a-f]{4}\.new")
"""A run folder that is being made (`agent.run.name_run`)."""
_DEEPEST = 16
"""Folders within each other, which are the reader's own: a run has one level of them."""
_STALE = 3600.0
"""Seconds after which a folder that nobody holds a lock in is one that a kill left."""


def check_places(run: Path) -> None:
    """See that a run folder holds plain files and folders, in their places.

    Raises:
        RunError: it holds something else; the text names it.
    """
    for path, kind in _walk(run):
        if stat.S_ISLNK(kind):
            raise RunError(f"{path} is a link: what a run holds lies in its folder; remove it, or put the file there")
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise RunError(f"{path} is no plain file: remove it")
        if path.parent == run and path.name in (*APPENDED, *WHOLE) and stat.S_ISDIR(kind):
            raise RunError(f"{path} is a folder, and stands in a file's place: remove it")
        if path.parent == run and path.name in FOLDERS and not stat.S_ISDIR(kind):
            raise RunError(f"{path} is a file, and stands in a folder's place: remove it")
        if path.parent.name in FOLDERS and stat.S_ISDIR(kind):
            raise RunError(f"{path} is a folder, and stands in a file's place: remove it")


def clear_leftovers(runs: Path) -> None:
    """Remove run folders that a kill stopped from being made: those of our naming in which nobody is at work."""
    if not runs.is_dir():
        return
    for path in runs.glob(".*.new"):
        if _NEW.fullmatch(path.name) and path.is_dir() and not path.is_symlink() and _is_stale(path):
            shutil.rmtree(path, ignore_errors=True)


def _is_stale(path: Path) -> bool:
    lock = path / ".lock"
    try:
        if lock.is_symlink() or not lock.is_file():
            return time.time() - path.stat().st_mtime > _STALE
        with FileLock(lock, blocking=False, fallback_to_soft=False):
            pass
    except OSError:  # someone is at work there, or it is gone
        return False
    return True


def _walk(folder: Path, depth: int = 0) -> Iterator[tuple[Path, int]]:
    """Everything in a folder with its mode, links not followed."""
    if depth > _DEEPEST:
        raise RunError(f"{folder} lies deeper than {_DEEPEST} folders in a run: remove it")
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        found = [(Path(entry.path), entry.stat(follow_symlinks=False).st_mode) for entry in entries]
    except OSError as error:
        raise RunError(f"{folder} cannot be read: {error.strerror}") from None
    for path, mode in found:
        yield path, mode
        if stat.S_ISDIR(mode):
            yield from _walk(path, depth + 1)
