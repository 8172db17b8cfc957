"""The instruments as an LLM meets them: offered with schemas made from their signatures, run, and remembered.

Every result is stored under the hash of instrument, feature and arguments, so that a resumed run measures nothing twice
and a replayed one needs no model. Whatever the LLM gets wrong comes back to it as an observation.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, JsonValue, ValidationError

from agent.errors import LlmFailure
from agent.offers import Instrument, describe, document
from agent.requests import ToolSpec
from agent.store import append_line, canonical_json, read_lines
from tools.errors import ToolError
from tools.json_text import is_storable, read_json
from tools.records import Evidence, Record

LONGEST_ARGUMENTS, SHOWN_OF_LONG = 100_000, 200
"""Characters: a dozen sentences as long as a model reads, and of more than that what is kept."""
CLOCK = "clock"
"""Stored beside the measurements: that a feature's time was up, so that a replay, which is faster, stops there too."""


class Measurement(Record):
    """One call of an instrument and what came of it, stored under its hash."""

    sha256: str
    instrument: str
    feature: str
    """The feature's key."""
    arguments: JsonValue
    """As they were given; text if they were no JSON."""
    status: Literal["ok", "error"]
    result: JsonValue
    """The instrument's record, or the error as text."""

    def observation(self) -> str:
        """What the LLM is shown, before it is fenced."""
        if self.status == "error":
            return f"error: {self.result}"
        return json.dumps(self.result, ensure_ascii=False)


class Locked(Protocol):
    """What a workbench must have here."""

    @property
    def lock(self) -> Any:
        """Held while an instrument runs."""
        ...


class Bench(Protocol):
    """Where subjects for the instruments come from: `tools.subject.Laboratory`."""

    @property
    def bench(self) -> Locked:
        """The workbench."""
        ...

    def subject(self, evidence: Evidence) -> Any:
        """What an instrument gets as its first argument."""
        ...


class Toolbox:
    """Instruments on a bench, with the memory of a run.

    Args:
        instruments: the functions that may be called; `tools.catalogue.TOOLS`.
        file: `tool_calls.jsonl` of the run; it appears with the first result.
        bench: what they run on; None to answer from the file alone.
        replay_only: what the file does not hold raises, instead of being measured.

    Raises:
        RunError: the file is damaged.
    """

    def __init__(
        self, instruments: Sequence[Instrument], file: Path, bench: Bench | None = None, *, replay_only: bool = False
    ) -> None:
        self._offers = {function.__name__: describe(function) for function in instruments}
        self._file = file
        self._bench = bench
        self._replay_only = replay_only
        self._known = {m.sha256: m for m in read_lines(file, Measurement)} if file.is_file() else {}
        # One thread: instruments share one model, and waiting for it must not fill the event loop's own pool.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="instrument")

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What is offered; nothing when there is no instrument, as for imported evidence."""
        return tuple(offer.spec for offer in self._offers.values())

    @property
    def documentation(self) -> str:
        """The same as text, for servers without tool calling."""
        return "\n".join(document(spec) for spec in self.specs)

    async def measure(self, evidence: Evidence, instrument: str, arguments: str) -> Measurement:
        """Run an instrument on a feature, or recall what it showed.

        Args:
            evidence: of the feature.
            instrument: a name, as the LLM wrote it.
            arguments: JSON, as the LLM wrote it.

        Raises:
            LlmFailure: `replay_missing` if nothing may be measured and nothing is stored.
        """
        if len(arguments) > LONGEST_ARGUMENTS:
            return self._refuse(evidence, instrument, arguments)
        given = _parsed(arguments)
        sha256 = address_of(instrument, evidence.feature.key, given)
        if sha256 in self._known:
            return self._known[sha256]
        if self._replay_only:
            raise LlmFailure("replay_missing", f"the stored run never measured this with {instrument}", attempts=0)
        status, result = await self._run(evidence, instrument, given)
        return self._keep(sha256, instrument, evidence.feature.key, given, status, result)

    def time_is_up(self, evidence: Evidence, step: int, over: bool) -> bool:
        """Whether the feature's time ended before this step; once it did, it did so in every replay.

        Args:
            evidence: of the feature.
            step: number of the step that asks.
            over: what the clock says now.
        """
        given: JsonValue = {"step": step}
        sha256 = address_of(CLOCK, evidence.feature.key, given)
        if sha256 in self._known or self._replay_only or not over:
            return sha256 in self._known
        self._keep(sha256, CLOCK, evidence.feature.key, given, "ok", {"time_is_up": True})
        return True

    def _refuse(self, evidence: Evidence, instrument: str, arguments: str) -> Measurement:
        """What is too long is neither read nor kept; that it was refused needs no memory to be so again."""
        return Measurement(
            sha256=address_of(instrument, evidence.feature.key, arguments),
            instrument=instrument,
            feature=evidence.feature.key,
            arguments=arguments[:SHOWN_OF_LONG],
            status="error",
            result=f"{len(arguments):,} characters of arguments: at most {LONGEST_ARGUMENTS:,} are read",
        )

    def close(self) -> None:
        """Wait for the instrument that is running and let its thread go."""
        self._thread.shutdown()

    async def _run(
        self, evidence: Evidence, instrument: str, given: JsonValue
    ) -> tuple[Literal["ok", "error"], JsonValue]:
        offer = self._offers.get(instrument)
        if offer is None:
            return "error", f"there is no instrument {instrument!r}: use one of {', '.join(self._offers) or 'none'}"
        try:
            arguments = offer.arguments.model_validate(given, strict=True)
        except ValidationError as error:
            return "error", "; ".join(_explain(problem["loc"], problem["msg"]) for problem in error.errors())
        if self._bench is None:
            return "error", "there is no model on the bench: nothing can be measured"
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._apply, self._bench, evidence, offer.function, arguments
            )
        except ToolError as error:
            return "error", str(error)
        return "ok", found.model_dump(mode="json")

    @staticmethod
    def _apply(bench: Bench, evidence: Evidence, function: Instrument, arguments: BaseModel) -> Record:
        with bench.bench.lock:
            chosen = {name: getattr(arguments, name) for name in type(arguments).model_fields}
            return function(bench.subject(evidence), **chosen)

    def _keep(
        self,
        sha256: str,
        instrument: str,
        feature: str,
        given: JsonValue,
        status: Literal["ok", "error"],
        result: JsonValue,
    ) -> Measurement:
        kept = Measurement(
            sha256=sha256, instrument=instrument, feature=feature, arguments=given, status=status, result=result
        )
        append_line(self._file, kept.model_dump_json())
        self._known[sha256] = kept
        return kept


def address_of(instrument: str, feature: str, arguments: JsonValue) -> str:
    """What a measurement is remembered under: the hash of what was asked for."""
    named: JsonValue = {"instrument": instrument, "feature": feature, "arguments": arguments}
    return hashlib.sha256(canonical_json(named).encode()).hexdigest()


def _parsed(arguments: str) -> JsonValue:
    """The arguments as JSON, or their text when they are none, or hold what no record can: infinities, half letters."""
    try:
        value: JsonValue = read_json(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments
    return value if is_storable(value) else arguments


def _explain(place: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, place)) or 'arguments'}: {message}"
