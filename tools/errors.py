"""What can go wrong at the instruments' border, as errors whose text says what to do next."""

from typing import ClassVar


class UnveilError(Exception):
    """A problem the user can act on. The command line prints its text as one line and exits with its status."""

    status: ClassVar[int] = 2


class StudyError(UnveilError):
    """A study file, or an asset it names, is missing, malformed or inconsistent."""


class LoadError(UnveilError):
    """Weights could not be loaded strictly: missing, corrupt, of the wrong shape, or unreachable."""


class ToolError(UnveilError):
    """An instrument was called with arguments it cannot use. Shown to an LLM as an observation."""
