"""How a whole run can fail; how a single request can is said in `agent.llm.client.errors`."""

from __future__ import annotations

from tools.errors import UnveilError


class RunError(UnveilError):
    """A run folder cannot be created, read, resumed or replayed."""


class Unwritable(RunError):
    """A file of a run could not be written: the disk is full, or may not be written to. It ends a run, and no feature."""

    @classmethod
    def of(cls, file: object, error: OSError) -> Unwritable:
        """What the system said of a file."""
        return cls(f"{file} cannot be written: {error.strerror or error}")


class EveryFeatureFailed(UnveilError):
    """A run ended without one verdict."""

    status = 1
