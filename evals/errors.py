"""What can go wrong when labels are read or a run is examined, as errors whose text says what to do next."""

from tools.errors import UnveilError


class LabelError(UnveilError):
    """Labels are missing, unreadable, or say nothing about the run."""
