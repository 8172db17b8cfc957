"""How many requests are under way at once, and how many may be sent in a minute."""

from __future__ import annotations

import asyncio
import time
from collections import deque


class Gate:
    """Lets so many through at once: half as many after a silence, one more again after a round of replies.

    Args:
        most: never more than these.
    """

    def __init__(self, most: int) -> None:
        self.limit = most
        self._most = most
        self._inside = 0
        self._line: deque[asyncio.Future[None]] = deque()
        self._entered = 0
        self._cut_at = 0
        self._replies = 0

    async def enter(self) -> int:
        """Wait for a place, first come, first served; what comes back says which entry it was."""
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was its turn already
                self.leave()
            raise
        self._entered += 1
        return self._entered

    def leave(self) -> None:
        """Give the place back."""
        self._inside -= 1
        self._admit()

    def _admit(self) -> None:
        while self._line and self._inside < self.limit:
            turn = self._line.popleft()
            if not turn.done():
                self._inside += 1
                turn.set_result(None)

    def went_well(self) -> None:
        """A reply came: after as many as are let through, one more is."""
        self._replies += 1
        if self.limit < self._most and self._replies >= self.limit:
            self.limit += 1
            self._replies = 0
            self._admit()

    def was_silent(self, entry: int) -> bool:
        """Nothing came: let half as many through. True if that changes anything.

        Requests that were under way together fall silent together: only the first of them counts.
        """
        if entry <= self._cut_at or self.limit == 1:
            return False
        self.limit //= 2
        self._cut_at, self._replies = self._entered, 0
        return True


class RateWindow:
    """At most so many turns within any stretch of that many seconds, first come, first served."""

    def __init__(self, most: int | None, seconds: float = 60.0) -> None:
        self._most = most
        self._seconds = seconds
        self._taken: deque[float] = deque()
        self._queue = asyncio.Lock()

    async def turn(self) -> None:
        """Wait for a turn and take it."""
        if self._most is None:
            return
        async with self._queue:
            if len(self._taken) == self._most:
                await asyncio.sleep(max(0.0, self._taken[0] + self._seconds - time.monotonic()))
                self._taken.popleft()
            self._taken.append(time.monotonic())
