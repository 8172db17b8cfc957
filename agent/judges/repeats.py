"""One question put to a model several times at once, each repeat under a seed of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel

from agent.llm.errors import LlmFailure
from agent.llm.records import Failure
from agent.llm.replies import Reply
from agent.llm.requests import Message
from agent.transcript import Abandoned, Llm, Notes, is_quorate, parsed

S = TypeVar("S", bound=BaseModel)


async def ask_repeats(
    llm: Llm, conversations: Sequence[Sequence[Message]], purpose: str, schema: type[S], notes: Notes
) -> list[tuple[int, S]]:
    """The usable replies, each with the number of its repeat from 0.

    Args:
        llm: whom.
        conversations: one a repeat; a single one is asked under the settings' seed.
        purpose: stored beside each call.
        schema: what each reply must be.
        notes: get both sides, and every failure.

    Raises:
        Abandoned: half of the repeats or more gave no usable reply; it carries the first failure.
    """

    async def ask(messages: Sequence[Message], repeat: int) -> Reply[S] | LlmFailure:
        seed = repeat if len(conversations) > 1 else None  # equal conversations differ in nothing else
        try:
            return await llm.complete(messages, purpose=purpose, schema=schema, seed=seed)
        except LlmFailure as failure:
            return failure

    outcomes = await asyncio.gather(*(ask(messages, repeat) for repeat, messages in enumerate(conversations)))
    replies: list[tuple[int, S]] = []
    failures: list[Failure] = []
    for repeat, (messages, outcome) in enumerate(zip(conversations, outcomes, strict=True)):
        notes.add_messages(messages)
        if isinstance(outcome, LlmFailure):
            failures.append(notes.add_failure(outcome))
        else:
            notes.add_reply(outcome)
            replies.append((repeat, parsed(outcome)))
    if not is_quorate(len(replies), len(conversations)):
        raise Abandoned(failures[0], notes)
    return replies
