"""Files that are written as a whole: a reader sees the old one or the new one, and a disk that fills up costs neither."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(file: Path) -> Generator[Path]:
    """A path to write to, which takes the file's place when the block ends well, and is gone when it does not.

    A link is replaced, not followed: this is for folders of our own. What a command line names goes through `write_named`.
    """
    fresh = file.with_name(file.name + ".new")
    try:
        yield fresh
        fresh.replace(file)
    except BaseException:  # an interruption too leaves no half of a file; it goes on from here
        with suppress(OSError):
            fresh.unlink()
        raise


def write_bytes(file: Path, data: bytes, flush: bool = True) -> None:
    """Replace a file.

    Without `flush` a reader sees the old or the new one after a kill, but not after a loss of power.

    Raises:
        OSError: it cannot be written; the old one stays. The error names the file.
    """
    try:
        with replacing(file) as fresh, fresh.open("wb") as opened:
            opened.write(data)
            if flush:
                opened.flush()
                os.fsync(opened.fileno())
    except OSError as error:
        raise _named(error, file) from error


def write_named(file: Path, text: str) -> None:
    """Write a file that a command line names: through a link, and to a device or pipe as to any other.

    Raises:
        OSError: it cannot be written; what was there stays. The error names the file.
    """
    try:
        target = file.resolve()
        if target.exists() and not target.is_file():  # nothing can take a device's place, and nothing should
            target.write_text(text, "utf-8", newline="")
        else:
            write_bytes(target, text.encode())
    except OSError as error:
        raise _named(error, file) from error


def _named(error: OSError, file: Path) -> OSError:
    """The error with the file's name, which writing to an open file does not know."""
    return type(error)(error.errno, error.strerror or str(error), str(file))
