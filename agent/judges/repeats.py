"""One question put to a model several times at once, each repeat under a seed of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from pydantic import BaseModel

from agent.folder.records import JudgeRef
from agent.llm.errors import LlmFailure
from agent.llm.records import Failure
from agent.llm.replies import Reply
from agent.llm.requests import Message
from agent.transcript import Abandoned, Llm, Notes, parsed
from prompts.loader import Prompt

S = TypeVar("S", bound=BaseModel)


class Model(NamedTuple):
    """A language model as a judge asks it."""

    name: str
    repeats: int = 1
    llm: Llm | None = None
    """Its client; None where one only learns what it would be sent."""

    def sign(self, prompt: Prompt) -> JudgeRef:
        """The signature of a judge that asks this model under one prompt."""
        shown, sha256 = prompt.name, prompt.sha256
        return JudgeRef(kind="llm", model=self.name, prompt=shown, prompt_sha256=sha256, repeats=self.repeats)

    async def ask(
        self, conversations: Sequence[Sequence[Message]], purpose: str, schema: type[S], notes: Notes
    ) -> list[tuple[int, S]]:
        """The usable replies, each with the number of its repeat from 0.

        Args:
            conversations: one a repeat; a single one is asked under the settings' seed.
            purpose: stored beside each call.
            schema: what each reply must be.
            notes: get both sides, and every failure.

        Raises:
            Abandoned: half of the repeats or more gave no usable reply; it carries the first failure.
        """

        async def put(messages: Sequence[Message], repeat: int) -> Reply[S] | LlmFailure:
            if self.llm is None:
                raise TypeError(f"{self.name} has no client, and was to be asked")
            seed = repeat if len(conversations) > 1 else None  # equal conversations differ in nothing else
            try:
                return await self.llm.complete(messages, purpose=purpose, schema=schema, seed=seed)
            except LlmFailure as failure:
                return failure

        outcomes = await asyncio.gather(*(put(messages, repeat) for repeat, messages in enumerate(conversations)))
        replies: list[tuple[int, S]] = []
        failures: list[Failure] = []
        for repeat, (messages, outcome) in enumerate(zip(conversations, outcomes, strict=True)):
            notes.add_messages(messages)
            if isinstance(outcome, LlmFailure):
                failures.append(notes.add_failure(outcome))
            else:
                notes.add_reply(outcome)
                replies.append((repeat, parsed(outcome)))
        if 2 * len(replies) <= len(conversations):
            raise Abandoned(failures[0], notes)
        return replies
