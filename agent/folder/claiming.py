"""How a run's folder comes to be, and how one process at a time has it: the same for every kind of run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from agent.errors import RunError, Unwritable
from agent.folder.places import APPENDED, WHOLE, clear_leftovers
from agent.lines import mend_last_line


def make_folder(path: Path, begin: Callable[[Path], object]) -> None:
    """Make a run's folder; it has its name only when all that it begins with is there.

    Args:
        path: of the folder.
        begin: writes what the run begins with into the folder it is given.

    Raises:
        RunError: the folder exists already.
        Unwritable: it cannot be made.
    """
    if path.exists():
        raise RunError(f"{path} exists already: resume it with --resume {path}")
    clear_leftovers(path.parent)
    beginning = path.with_name(f".{path.name}.new")
    try:
        beginning.mkdir(parents=True, exist_ok=True)
        with _locked(beginning):  # a start of another process meanwhile takes it for no leftover
            begin(beginning)
            beginning.rename(path)
    except (OSError, Unwritable) as error:
        shutil.rmtree(beginning, ignore_errors=True)
        said = error.__cause__ if isinstance(error, Unwritable) else error
        raise (Unwritable.of(path, said) if isinstance(said, OSError) else error) from said


@contextmanager
def claim(path: Path) -> Generator[None]:
    """Keeps other processes from working on a run, and mends last lines that a kill cut off.

    The claim ends with the process, however that ends.

    Raises:
        RunError: another process works on it, or a file ends in what no kill leaves.
        Unwritable: nothing can be written there.
    """
    with _locked(path):
        for name in APPENDED:
            mend_last_line(path / name)
        for name in (*APPENDED, *WHOLE):
            (path / f"{name}.new").unlink(missing_ok=True)
        yield


@contextmanager
def _locked(path: Path) -> Generator[None]:
    lock = FileLock(path / ".lock", fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise RunError(f"{path} is being worked on by another process: wait for it, or stop it") from None
    except OSError as error:
        raise Unwritable.of(path, error) from error
    try:
        yield
    finally:
        lock.release()
