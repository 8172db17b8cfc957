"""What a node writes down while it works: steps in order, and what they consumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, JsonValue

from agent.folder.records import TranscriptStep
from agent.folder.stored_calls import reply_content
from agent.llm.errors import LlmFailure
from agent.llm.records import Failure, Usage
from agent.llm.replies import Reply
from agent.llm.requests import Message, ToolSpec

S = TypeVar("S", bound=BaseModel)
Kind = Literal["messages", "reply", "tool", "judgement", "rule", "failure", "decision"]


class Notes:
    """The steps of one node, numbered on from those before it."""

    def __init__(self, first_step: int, node: str) -> None:
        self.steps: list[TranscriptStep] = []
        self.usage = Usage()
        self._first = first_step
        self._node = node

    def add(
        self, kind: Kind, content: JsonValue, request_sha256: str | None = None, usage: Usage | None = None
    ) -> None:
        """One more step."""
        self.steps.append(
            TranscriptStep(
                step=self._first + len(self.steps),
                kind=kind,
                node=self._node,
                content=content,
                request_sha256=request_sha256,
                usage=usage,
            )
        )

    async def ask(
        self,
        llm: Llm,
        messages: Sequence[Message],
        *,
        purpose: str,
        schema: type[S] | None = None,
        tools: Sequence[ToolSpec] = (),
        n_known: int = 0,
    ) -> Reply[S]:
        """Ask, and write down both sides.

        Args:
            llm: whom.
            messages: the conversation; the first `n_known` are in the transcript already.
            purpose: as the client takes it, like the next two.
            schema: what the reply must be.
            tools: what the model may call.
            n_known: as said above.

        Raises:
            Abandoned: there is no usable reply.
            ToolsUnsupported: tools were offered and the server takes none.
        """
        self.add_messages(messages[n_known:])
        try:
            reply = await llm.complete(messages, purpose=purpose, schema=schema, tools=tools)
        except LlmFailure as failure:
            raise Abandoned(self.add_failure(failure), self) from failure
        self.add_reply(reply)
        return reply

    def add_messages(self, messages: Sequence[Message]) -> None:
        """What is about to be said to the LLM."""
        if messages:
            self.add("messages", list(messages))

    def add_reply(self, reply: Reply[Any]) -> None:
        """What the LLM answered. Whether it came from the store is left out: a replay's transcript reads the same."""
        self.add("reply", reply_content(reply), reply.request_sha256, reply.usage)
        self.usage += reply.usage

    def add_failure(self, failure: LlmFailure) -> Failure:
        """Why the LLM gave no usable answer."""
        record = Failure(type=failure.type, message=failure.message, attempts=failure.attempts)
        self.add("failure", record.model_dump(mode="json"), usage=failure.usage)
        self.usage += failure.usage or Usage()
        return record


class Abandoned(Exception):
    """A node cannot go on; what it wrote so far is kept."""

    def __init__(self, failure: Failure, notes: Notes) -> None:
        super().__init__(f"{failure.type}: {failure.message}")
        self.failure = failure
        self.notes = notes


def parsed(reply: Reply[S]) -> S:
    """The record in a reply to a request that had a schema and no tools.

    Raises:
        TypeError: there is none; the client promises one.
    """
    if reply.parsed is None:
        raise TypeError("the client returned no record for a request with a schema")
    return reply.parsed


class Llm(Protocol):
    """What the nodes need of `agent.llm.client.LlmClient`."""

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        purpose: str,
        schema: type[S] | None = None,
        tools: Sequence[ToolSpec] = (),
        seed: int | None = None,
    ) -> Reply[S]:
        """Ask once; see the client for what it raises."""
        ...
