"""The instruments as an LLM meets them: offered with schemas made from their signatures, run, and remembered.

Every result is stored under the hash of instrument, feature and arguments, so that a resumed run measures nothing twice
and a replayed one needs no model. Whatever the LLM gets wrong comes back to it as an observation.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import typing
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, create_model

from agent.folder.measurements import CLOCK, Measurement, address_of
from agent.folder.store import append_line
from agent.lines import read_lines
from agent.llm.errors import LlmFailure
from agent.llm.requests import ToolSpec
from tools.border.json_text import is_storable, read_json
from tools.errors import ToolError
from tools.records import Evidence, Record

LONGEST_ARGUMENTS, SHOWN_OF_LONG = 100_000, 200
"""Characters: a dozen sentences as long as a model reads, and of more than that what is kept."""


Instrument = Callable[..., Record]


class Locked(Protocol):
    """What a workbench must have here."""

    @property
    def lock(self) -> Any:
        """Held while an instrument runs."""
        ...


class Bench(Protocol):
    """Where subjects for the instruments come from: `tools.catalogue.subject.Laboratory`."""

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
        instruments: the functions that may be called; `tools.catalogue.instruments.TOOLS`.
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


def _parsed(arguments: str) -> JsonValue:
    """The arguments as JSON, or their text when they are none, or hold what no record can: infinities, half letters."""
    try:
        value: JsonValue = read_json(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments
    return value if is_storable(value) else arguments


def _explain(place: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, place)) or 'arguments'}: {message}"


class Offer(NamedTuple):
    """One instrument, ready to be called by a language model."""

    function: Instrument
    arguments: type[BaseModel]
    """Validates what the model gives: every parameter but the first."""
    spec: ToolSpec


def describe(function: Instrument) -> Offer:
    """The offer of an instrument; its first parameter is not the model's to choose.

    Raises:
        TypeError: a parameter has no type or no line under Args: whoever wrote the instrument must add it.
    """
    doc = inspect.getdoc(function) or ""
    described, kinds = _argument_lines(doc), typing.get_type_hints(function)
    fields: dict[str, Any] = {}
    for name in list(inspect.signature(function).parameters)[1:]:
        if name not in kinds or name not in described:
            raise TypeError(f"{function.__name__}: {name} needs a type and a line under Args")
        fields[name] = (kinds[name], Field(description=described[name]))
    model = create_model(f"{function.__name__}_arguments", __config__=ConfigDict(extra="forbid"), **fields)
    properties: dict[str, JsonValue] = {
        name: {key: value for key, value in part.items() if key != "title"}
        for name, part in model.model_json_schema().get("properties", {}).items()
    }
    parameters: dict[str, JsonValue] = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    first_line = " ".join(doc.split("\n\n", 1)[0].split())
    return Offer(function, model, ToolSpec(name=function.__name__, description=first_line, parameters=parameters))


def document(spec: ToolSpec) -> str:
    """The offer as text, for a server without tool calling."""
    properties = spec.parameters["properties"]
    arguments = [
        f"    {name} ({_type_name(part)}): {part.get('description')}"
        for name, part in (properties.items() if isinstance(properties, dict) else ())
        if isinstance(part, dict)
    ]
    return "\n".join([f"- {spec.name}: {spec.description}", *arguments])


def _argument_lines(doc: str) -> dict[str, str]:
    """Name -> description, from the docstring's Args section."""
    section = re.search(r"^Args:\n(.*?)(?:\n\n|\Z)", doc, re.DOTALL | re.MULTILINE)
    found = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", section[1] if section else "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def _type_name(part: dict[str, JsonValue]) -> str:
    items = part.get("items")
    return f"list of {items.get('type')}" if isinstance(items, dict) else str(part.get("type"))
