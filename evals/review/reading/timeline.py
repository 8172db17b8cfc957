"""A transcript arranged for the eye: one entry per step, with what it cost and what went wrong on the way."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from pydantic import JsonValue

from agent.folder.records import PromptRef, TranscriptStep
from agent.llm.records import Usage
from evals.review.runs import OpenRun

COLUMNS = 8
WORD = 24
SHORT = 900
"""Most characters of a message that stands open."""


class Call(NamedTuple):
    """A tool call as a model asked for it."""

    name: str
    arguments: JsonValue
    """As data where they parse, else as they came."""


class Said(NamedTuple):
    """One message to the model."""

    role: str
    text: str
    prompt: PromptRef | None
    """Where it is one of the run's prompts: which."""
    calls: tuple[Call, ...]

    @property
    def is_short(self) -> bool:
        """Whether it need not be folded."""
        return self.prompt is None and len(self.text) <= SHORT


class Entry(NamedTuple):
    """One step."""

    step: TranscriptStep
    said: tuple[Said, ...] = ()
    text: str = ""
    """A reply that is no record."""
    calls: tuple[Call, ...] = ()
    data: JsonValue = None
    """What else the step holds, to be shown as it is."""
    marks: tuple[str, ...] = ()
    """What was not smooth: tries, repairs, a reply cut short."""
    attempts: int | None = None
    """HTTP requests that the reply took; None where no call is stored."""


def arrange(run: OpenRun, steps: Sequence[TranscriptStep]) -> list[Entry]:
    """An entry for every step.

    Args:
        run: that the steps are of, for its prompts and its stored calls.
        steps: of one transcript, in order.

    Raises:
        RunError: a stored call does not read.
    """
    return [_arrange_one(run, step) for step in steps]


def total(steps: Iterable[TranscriptStep]) -> Usage:
    """What all steps consumed."""
    return sum((step.usage for step in steps if step.usage), Usage())


def columns_of(value: Sequence[JsonValue]) -> list[str] | None:
    """Names of the columns, if a list is a table: records of a few plain values each, all with the same names."""
    if not all(isinstance(item, dict) for item in value):
        return None
    records = [item for item in value if isinstance(item, dict)]
    names = list(records[0]) if records else []
    same = all(list(record) == names for record in records)
    plain = not any(isinstance(cell, dict | list) for record in records for cell in record.values())
    return names if same and plain and 0 < len(names) <= COLUMNS else None


def is_short_list(value: Sequence[JsonValue]) -> bool:
    """Whether a list reads well as one line: numbers, and words of a few letters."""
    return not any(isinstance(item, dict | list) or len(str(item)) > WORD for item in value)


def _arrange_one(run: OpenRun, step: TranscriptStep) -> Entry:
    if step.kind == "messages":
        return Entry(step, said=tuple(_said(run, step.node, message) for message in _listed(step.content)))
    if step.kind == "reply":
        return _arrange_reply(run, step)
    if step.kind == "tool":
        return _arrange_tool(step)
    if step.kind == "failure":
        attempts = _mapped(step.content).get("attempts")
        return Entry(step, data=step.content, attempts=attempts if isinstance(attempts, int) else None)
    return Entry(step, data=step.content)


def _arrange_reply(run: OpenRun, step: TranscriptStep) -> Entry:
    reply = _mapped(step.content)
    call = run.call(step.request_sha256) if step.request_sha256 else None
    finish = reply.get("finish_reason")
    marks = [
        f"answered at try {call.attempts}" if call and call.attempts > 1 else "",
        "asked once more: the first reply did not fit its schema" if reply.get("repaired") else "",
        f"ended by {finish}" if finish not in (None, "stop", "tool_calls") else "",
    ]
    parsed = reply.get("parsed")
    return Entry(
        step,
        text="" if parsed is not None else str(reply.get("text") or ""),
        calls=tuple(_call(one) for one in _listed(reply.get("tool_calls"))),
        data=parsed,
        marks=tuple(filter(None, marks)),
        attempts=call.attempts if call else None,
    )


def _arrange_tool(step: TranscriptStep) -> Entry:
    observed = _mapped(step.content)
    found = _mapped(observed.get("measurement"))
    hypothesis = observed.get("hypothesis")
    why = "chosen by the model" if hypothesis is None else f"tests hypothesis {hypothesis}"
    status = str(found.get("status"))
    return Entry(
        step,
        text=why,
        calls=(Call(str(found.get("instrument")), found.get("arguments")),),
        data=found.get("result"),
        marks=() if status == "ok" else (status,),
    )


def _said(run: OpenRun, node: str, message: dict[str, JsonValue]) -> Said:
    content, role = message.get("content"), str(message.get("role"))
    text = content if isinstance(content, str) else "" if content is None else json.dumps(content, ensure_ascii=False)
    prompts = run.manifest.provenance.prompts
    prompt = next((ref for ref in prompts if ref.name.partition(".")[0] == node), None) if role == "system" else None
    return Said(role, text, prompt, tuple(_call(one) for one in _listed(message.get("tool_calls"))))


def _call(call: dict[str, JsonValue]) -> Call:
    function = _mapped(call.get("function")) or call
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):  # shown as it came: a model may write anything
            arguments = json.loads(arguments)
    return Call(str(function.get("name")), arguments)


def _mapped(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _listed(value: JsonValue) -> list[dict[str, JsonValue]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
