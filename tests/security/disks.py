"""A disk without room, as far as this process can have one: no file of it may grow beyond a size."""

from __future__ import annotations

import resource
import signal
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def full_disk(most_bytes: int) -> Generator[None]:
    """Within it whatever would make a file longer fails, as at a quota; what is there can be read."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
