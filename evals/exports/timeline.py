"""One feature's transcript as the events and messages of an Inspect sample. Steps of one node stand in one span."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from agent.folder.records import PromptRef, TranscriptStep
from agent.llm.records import Failure, LlmCall, Usage
from evals.exports.conversations import Asked, Calls, Fields, as_message, messages_of, model_event

_INVESTIGATING = ("hypothesize", "experiment")
"""Nodes whose calls go to the investigator's model; those of all others, whatever their judge is called, go to the judge's."""
_SILENT = ("measure", "record", "apply_rules")
"""Nodes that ask no model. Others are agents to Inspect: it hides calls under another prompt that no agent makes."""


class Timeline:
    """Events of one feature, in order, under ids that are the same each time a run is exported.

    Args:
        name: of the sample, for the ids.
        started: of the run, ISO 8601: a transcript has an order and no clock, so that every event bears this time.
    """

    def __init__(self, name: str, started: str) -> None:
        self.events: list[Fields] = []
        self._name = name
        self._started = started
        self._span: Fields | None = None

    def add(self, fields: Fields) -> None:
        """One more event."""
        span = self._span["id"] if self._span else None
        common = {"uuid": self.name_id(f"event {len(self.events)}"), "timestamp": self._started, "working_start": 0.0}
        self.events.append({**common, "span_id": span, **fields})

    def open_span(self, name: str) -> None:
        """Begin a part, and end the one before, unless it goes on."""
        if self._span is not None and self._span["name"] == name:
            return
        self.close_span()
        span = {"id": self.name_id(f"span {len(self.events)}"), "name": name}
        self._span = span
        self.add({"event": "span_begin", "type": None if name in _SILENT else "agent", **span})

    def close_span(self) -> None:
        """End the part that is open, if one is."""
        if self._span is not None:
            self.add({"event": "span_end", "id": self._span["id"]})
            self._span = None

    def name_id(self, what: str) -> str:
        """An id of Inspect's length."""
        return hashlib.sha256(f"{self._name} {what}".encode()).hexdigest()[:22]


class Telling:
    """Turns the steps of one transcript into a timeline, a conversation, and the usage of each model.

    Args:
        timeline: gets the events.
        calls: of the run.
        prompts: by node.
        models: the investigator's and the judge's.
    """

    def __init__(
        self, timeline: Timeline, calls: Calls, prompts: Mapping[str, PromptRef], models: tuple[str, str]
    ) -> None:
        self.messages: list[Fields] = []
        self.usage: dict[str, Usage] = {}
        self._timeline = timeline
        self._calls = calls
        self._prompts = prompts
        self._models = models
        self._asking: list[Fields] = []
        """The conversation so far, as it would be sent."""
        self._chosen = False
        """The last reply called tools, whose results are the next messages."""
        self._seen: set[str] = set()

    def tell(self, steps: Sequence[TranscriptStep]) -> None:
        """All steps, in order."""
        self._seen = {step.request_sha256 for step in steps if step.request_sha256}
        for step in steps:
            self._timeline.open_span(step.node)
            content = cast("Any", step.content)
            match step.kind:
                case "messages":
                    self._say(content)
                case "reply":
                    self._reply(step, content)
                case "tool":
                    self._tool(content)
                case "failure":
                    self._fail(step, content)
                case _:
                    self._timeline.add({"event": "info", "source": step.kind, "data": content})
        self._timeline.close_span()

    def _say(self, messages: list[Fields]) -> None:
        if messages[0].get("role") == "system":
            self._asking = []
        self._asking += messages
        self._show(as_message(message) for message in messages)

    def _reply(self, step: TranscriptStep, content: Fields) -> None:
        model, call = self._model(step), self._calls.get(step.request_sha256)
        series = self._calls.ending_in(call) if call and content.get("repaired") else [call]
        for one in series:
            self._ask(step, model, one, content, None)
        said = {"role": "assistant", "content": content.get("text"), "tool_calls": content.get("tool_calls")}
        if call and call.reply:  # with the tool calls' own ids
            said["tool_calls"] = cast("Fields", call.reply["message"]).get("tool_calls") if said["tool_calls"] else None
        self._asking.append(said)
        self._show([as_message(said, model)])
        self._chosen = bool(said["tool_calls"])
        self._spend(step, model)

    def _tool(self, content: Fields) -> None:
        found = cast("Fields", content["measurement"])
        given, failed = found["arguments"], found["status"] == "error"
        text = str(found["result"]) if failed else json.dumps(found["result"], ensure_ascii=False)
        fields: Fields = {
            "event": "tool",
            "id": content["call_id"],
            "function": found["instrument"],
            "arguments": given if isinstance(given, dict) else {"unparseable": given},
            "result": text,
            "metadata": {
                "round": content["round"],
                "tests_hypothesis": content["hypothesis"],
                "measurement_sha256": found["sha256"],
            },
        }
        if failed:
            fields["error"] = {"type": "unknown", "message": text}
        self._timeline.add(fields)
        if self._chosen and content["hypothesis"] is None:
            answer = {
                "role": "tool",
                "content": text,
                "tool_call_id": content["call_id"],
                "function": found["instrument"],
            }
            self._asking.append(answer)
            self._show([as_message(answer)])

    def _fail(self, step: TranscriptStep, content: Fields) -> None:
        model = self._model(step)
        failure = Failure.model_validate({name: content[name] for name in Failure.model_fields})
        if failure.type == "bug":
            self._timeline.add({"event": "info", "source": "failure", "data": content})
            return
        series: Sequence[LlmCall | None] = self._calls.failed(self._asking, self._seen) or [None]
        for one in series:
            self._ask(step, model, one, None, failure if one is series[-1] else None)
            self._seen |= {one.request_sha256} if one else set()
        self._spend(step, model)

    def _ask(
        self, step: TranscriptStep, model: str, call: LlmCall | None, answer: Fields | None, failure: Failure | None
    ) -> None:
        asked = Asked(
            node=step.node,
            model=model,
            messages=messages_of(call) if call else self._asking,
            call=call,
            answer=answer,
            usage=call.usage if call else step.usage,
            failure=failure,
        )
        self._timeline.add(model_event(asked, self._prompts))

    def _show(self, messages: Iterable[Fields]) -> None:
        """Messages of the sample have ids by their place: the same may be said twice."""
        for message in messages:
            self.messages.append({**message, "id": self._timeline.name_id(f"message {len(self.messages)}")})

    def _model(self, step: TranscriptStep) -> str:
        return self._models[step.node not in _INVESTIGATING]

    def _spend(self, step: TranscriptStep, model: str) -> None:
        if step.usage is not None:
            self.usage[model] = self.usage.get(model, Usage()) + step.usage
