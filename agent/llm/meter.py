"""What a run's calls come to while they are made, in a line for whoever waits."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from agent.llm.records import LlmCall


class Meter:
    """Counts calls, failures and tokens from the first request on.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.calls = 0
        self.under_way = 0
        self.failures: Counter[str] = Counter()
        self._clock = clock
        self._began: float | None = None
        self._tokens = 0
        self._arriving = 0
        """Pieces of replies that are still being sent: about as many as tokens."""

    def begin(self) -> None:
        """A request is on its way."""
        self._began = self._clock() if self._began is None else self._began
        self.under_way += 1

    def arrive(self, pieces: int) -> None:
        """So many more pieces of a reply have come; fewer than none for what will not be counted after all."""
        self._arriving += pieces

    def end(self) -> None:
        """A request was answered, or given up."""
        self.under_way -= 1

    def note(self, call: LlmCall) -> None:
        """A call has ended."""
        self.calls += 1
        self._tokens += call.usage.output_tokens
        if call.failure is not None:
            self.failures[call.failure.type] += 1

    @property
    def tokens_per_second(self) -> float:
        """Output tokens of all calls together since the first began."""
        if self._began is None:
            return 0.0
        return (self._tokens + self._arriving) / max(self._clock() - self._began, 1e-3)

    def __str__(self) -> str:
        """One line, empty before the first request."""
        if self._began is None:
            return ""
        failed = ", ".join(f"{count} {kind}" for kind, count in sorted(self.failures.items()))
        parts = [f"{self.calls:,} calls", f"{self.under_way} under way", f"{self.tokens_per_second:.1f} tokens/s"]
        return ", ".join([*parts, f"failed: {failed}"] if failed else parts)
