"""What can go wrong at the instruments' border, as errors whose text says what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pydantic import ValidationError


class UnveilError(Exception):
    """A problem the user can act on. The command line prints its text as one line and exits with its status."""

    status: ClassVar[int] = 2


class StudyError(UnveilError):
    """A study file, or an asset it names, is missing, malformed or inconsistent."""


class LoadError(UnveilError):
    """Weights could not be loaded strictly: missing, corrupt, of the wrong shape, or unreachable."""


class ToolError(UnveilError):
    """An instrument was called with arguments it cannot use. Shown to an LLM as an observation."""


def first_problem(error: ValidationError, root: str = "") -> str:
    """Where a record does not fit first, and why, in one line. What was given is not quoted: it may be a key.

    Args:
        error: of the record.
        root: what stands for the place where the record as a whole does not fit; nothing if empty.
    """
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"])) or root
    what = first["msg"].removeprefix("Value error, ")
    return f"{where}: {what}" if where else what
