"""Doors: what every command says to a terminal, and how it ends.

A command ends in one of three ways: it did its work, one line on stderr says what stood in the way (status 2), or one
line says that it was interrupted (130). What it says is spelt out, a line at a time, because much of it was written by
models, servers, files and people elsewhere. A reader who goes away early, as `head` does, stops the saying, never the work.
"""

from __future__ import annotations

import argparse
import errno
import functools
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn, TypeGuard

from tools.display.unseen import page
from tools.errors import UnveilError

BAD_INPUT, INTERRUPTED = UnveilError.status, 130
NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""What a full disk, a limit on files and a spent quota say."""


class _Prose(argparse.RawDescriptionHelpFormatter):
    """Leaves texts of several lines as they are, and fills those of one."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text.strip():
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line, and that still takes the spellings of the version before.

    Args:
        prog, description, epilog: as argparse's; a description of one line is filled, others stand as they are.
        former: flags as they were, each with what it is now. They stand in no help; who gives one is told.
    """

    def __init__(
        self, prog: str, description: str | None, epilog: str | None = None, former: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(prog, description=description, epilog=epilog, formatter_class=_Prose)
        self.former = dict(former or {})

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]  # the library's has overloads
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """As argparse's, of the line as it is spelt now."""
        words = list(sys.argv[1:] if args is None else args)
        end = words.index("--") if "--" in words else len(words)
        for place, word in enumerate(words[:end]):
            flag, equals, value = word.partition("=")
            if flag in self.former:
                complain(f"warning: {flag} is now {self.former[flag]}; the old name goes with the next version")
                words[place] = f"{self.former[flag]}{equals}{value}"
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and leave with status 2."""
        complain(f"error: {message}; --help shows what there is")
        self.exit(BAD_INPUT)


def door(kept: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Make a `main` that returns an exit status out of one that may raise.

    Args:
        kept: what there is after an interruption, and how to go on; who raises one may say more.
    """

    def decorate(main: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(main)
        def run(argv: Sequence[str] | None = None) -> int:
            for stream in (sys.stdout, sys.stderr):
                _take_any_letter(stream)
            try:
                with warnings.catch_warnings():
                    warnings.showwarning = _tell
                    status = main(argv)
                _flush(sys.stdout)
            except (UnveilError, OSError) as error:
                complain(f"error: {describe(error)}")
                return error.status if isinstance(error, UnveilError) else BAD_INPUT
            except KeyboardInterrupt as stop:
                complain(f"interrupted: {str(stop) or kept}")
                return INTERRUPTED
            finally:
                with suppress(OSError):
                    _flush(sys.stdout)
            return status

        return run

    return decorate


def describe(error: UnveilError | OSError) -> str:
    """An error in words, and what to do where there was no room."""
    system = error if isinstance(error, OSError) else error.__cause__
    said = f"{error.filename} cannot be written: {error.strerror}" if _is_full(error) and error.filename else str(error)
    return f"{said}: free some, then give the same command again" if _is_full(system) else said


def say(*lines: str) -> None:
    """Lines on stdout, each spelt out as one."""
    _write(sys.stdout, lines)


def complain(*lines: str) -> None:
    """Lines on stderr, each spelt out as one."""
    with suppress(OSError):  # nobody can be told that nobody can be told
        _write(sys.stderr, lines)


def hush(stream: Any) -> None:
    """Send what is still written to a stream nowhere: its reader has gone."""
    with suppress(OSError, ValueError):  # a stream without a descriptor has no reader that could go
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _is_full(error: object) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and error.errno in NO_ROOM


def _write(stream: Any, lines: Sequence[str]) -> None:
    if stream is None:  # it was closed before the program began
        return
    try:
        stream.write(page(lines))
        stream.flush()
    except BrokenPipeError:
        hush(stream)


def _flush(stream: Any) -> None:
    try:
        if stream is not None:
            stream.flush()
    except BrokenPipeError:
        hush(stream)


def _tell(message: Warning | str, *_: object, **__: object) -> None:
    """A library's warning, which may quote what it was given."""
    complain(f"warning: {message}")


def _take_any_letter(stream: Any) -> None:
    """A terminal of another encoding gets what it cannot show as code points, rather than nothing."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
