"""The file that remembers every call of a run under the hash of its request.

What a server turned out not to understand is remembered too, as the refusals it answered with: a resumed run need not
find it out again, and a replayed one takes the same path.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from agent.errors import RunError, Unwritable
from agent.lines import mend_last_line, numbered_lines, parse_record
from agent.llm.dialect import RULES, Dialect
from agent.llm.reading.counts import counted_tokens
from agent.llm.records import LlmCall, Usage
from agent.llm.requests import Request, Written


@dataclass(frozen=True, eq=False)
class _Line:
    call: LlmCall
    data: bytes


class Found(NamedTuple):
    """What a store has of a request."""

    call: LlmCall | None
    dialect: Dialect
    """In which the call was made; the dialect of now if there is none."""
    written: Written
    """As it is to be sent now."""


class CallStore:
    """The calls of a run: on disk as one line each, in memory only where each line is.

    Args:
        path: the file; it appears with the first call.
        replay_only: nothing is sent or written; a call that is not here is an error.

    Raises:
        RunError: a line is damaged. A last line cut off by a kill is dropped instead.
    """

    def __init__(self, path: Path, *, replay_only: bool = False) -> None:
        self.path = path
        self.replay_only = replay_only
        self.spent = Usage()
        """Of all calls in the file."""
        self.answered: Counter[tuple[str, str]] = Counter()
        """Replies by the model asked and the model that says it answered."""
        self._places: dict[str, tuple[int, int, bool]] = {}
        """Offset and length in bytes, and whether the line is a reply."""
        self._dialects: dict[str, tuple[Dialect, ...]] = {}
        self._first_version: set[str] = set()
        """Models that were asked by the first version."""
        self._most_counted: dict[str, int] = {}
        self._rooms: set[int] = set()
        """Limits of length that requests have had."""
        self._latest: tuple[Request, Dialect, Written] | None = None
        """A request is looked for more than once before it is sent, and long to write."""
        self._size = 0
        self._waiting: list[_Line] = []
        self._writing = asyncio.Lock()
        self._unwritten = 0
        self._written = asyncio.Event()
        self._load()

    def get(self, sha256: str) -> LlmCall | None:
        """The call with that request: its reply if there ever was one, or else its latest failure."""
        if sha256 not in self._places:
            return None
        offset, length, _ = self._places[sha256]
        with self.path.open("rb") as file:
            file.seek(offset)
            return LlmCall.model_validate_json(file.read(length))

    def find(self, request: Request) -> Found:
        """What came of a request, and how it is written in the dialect of now.

        The request is looked for in every dialect spoken so far, and as the first version wrote it if the store is
        that old; a reply goes before the failure that ended it.
        """
        *earlier, now = self.dialects(request.model)
        written = self._write(request, now)
        spoken = [now, *reversed(earlier)]
        if request.schema is not None and request.model in self._first_version:
            spoken += [dialect.first for dialect in spoken]
        ends: list[Found] = []
        spelt: set[str] = set()
        for dialect in spoken:
            spelling = dialect.spelling if len(spoken) > 1 else ""
            if spelling not in spelt:
                spelt.add(spelling)
                call = self.get((written if dialect is now or dialect == now else request.written(dialect)).sha256)
                if call is not None and dialect.refusal(call) is None:
                    ends.append(Found(call, dialect, written))
        replies = (end for end in ends if end.call is not None and end.call.failure is None)
        return next(replies, ends[0] if ends else Found(None, now, written))

    def had_room(self, max_output_tokens: int) -> bool:
        """Whether any request has had that limit of length."""
        return max_output_tokens in self._rooms

    def dialects(self, model: str) -> tuple[Dialect, ...]:
        """What was believed of the model's server, in order; the last is believed now."""
        return self._dialects.get(model, (Dialect(),))

    def notes(self) -> dict[str, tuple[str, ...]]:
        """For each model asked so far, in sentences, what its server would not take of the requests."""
        return {model: dialects[-1].notes() for model, dialects in self._dialects.items()}

    def most_counted(self, model: str) -> int:
        """The most tokens that the model's server counted in one prompt so far; 0 if it counts none."""
        return self._most_counted.get(model, 0)

    async def put(self, call: LlmCall) -> None:
        """Append a call; on disk when this returns. Calls that wait at the same time share one flush.

        Raises:
            RunError: the store is for replay only.
            Unwritable: it could not be written; the file is as before.
        """
        if self.replay_only:
            raise RunError(f"{self.path} is being replayed and takes no new calls")
        line = _Line(call, call.model_dump_json().encode() + b"\n")
        self._waiting.append(line)
        self._unwritten += 1
        # A caller that is cancelled meanwhile leaves the batch to be finished for the others in it.
        await asyncio.shield(self._commit(line))

    async def catch_up(self, most: int) -> None:
        """Wait until fewer calls than these are on their way to the disk: a kill would cost every one of them."""
        while self._unwritten >= most:
            self._written.clear()
            await self._written.wait()

    async def _commit(self, line: _Line) -> None:
        try:
            async with self._writing:
                if line in self._waiting:
                    await self._write_batch(line)
        finally:
            self._unwritten -= 1
            self._written.set()

    async def _write_batch(self, line: _Line) -> None:
        batch, self._waiting = self._waiting, []
        try:
            await asyncio.to_thread(self._append, b"".join(each.data for each in batch))
        except OSError as error:
            self._waiting = [each for each in batch if each is not line] + self._waiting
            raise Unwritable.of(self.path, error) from error
        for each in batch:
            self._note(each.call, len(each.data))

    def _write(self, request: Request, dialect: Dialect) -> Written:
        latest = self._latest
        if latest is None or latest[0] is not request or latest[1] != dialect:
            self._latest = latest = (request, dialect, request.written(dialect))
        return latest[2]

    def _append(self, lines: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            try:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(self._size)
                raise

    def _load(self) -> None:
        if not self.path.is_file():
            return
        if not self.replay_only:
            mend_last_line(self.path)
        for number, line in numbered_lines(self.path):
            self._note(parse_record(LlmCall, line, f"{self.path}:{number}"), len(line))

    def _note(self, call: LlmCall, length: int) -> None:
        """Take a line that is on disk into account."""
        known = self._places.get(call.request_sha256)
        if call.failure is None or known is None or not known[2]:
            self._places[call.request_sha256] = (self._size, length, call.failure is None)
        self._size += length
        self.spent += call.usage
        limits = (call.request.get(name) for name in ("max_tokens", "max_completion_tokens"))
        self._rooms.update(limit for limit in limits if isinstance(limit, int))
        model = str(call.request.get("model"))
        answered = (call.reply or {}).get("model")
        if isinstance(answered, str) and answered:
            self.answered[model, answered] += 1
        if call.rules < RULES:
            self._first_version.add(model)
        if counted := counted_tokens(call.reply or {}):
            self._most_counted[model] = max(counted, self.most_counted(model))
        *earlier, now = self.dialects(model)
        learnt = now.learn(call)
        self._dialects[model] = (*earlier, now) if learnt == now else (*earlier, now, learnt)
