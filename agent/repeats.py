"""One question put to a model several times at once, each repeat under a seed of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel

from agent.errors import LlmFailure
from agent.replies import Reply
from agent.requests import Message
from agent.state import Llm

S = TypeVar("S", bound=BaseModel)


async def ask_repeats(
    llm: Llm, conversations: Sequence[Sequence[Message]], purpose: str, schema: type[S]
) -> list[Reply[S] | LlmFailure]:
    """The replies in order; a failure stands in the place of the reply that did not come.

    Args:
        llm: whom.
        conversations: one a repeat; a single one is asked under the settings' seed.
        purpose: stored beside each call.
        schema: what each reply must be.
    """

    async def ask(messages: Sequence[Message], repeat: int) -> Reply[S] | LlmFailure:
        seed = repeat if len(conversations) > 1 else None  # equal conversations differ in nothing else
        try:
            return await llm.complete(messages, purpose=purpose, schema=schema, seed=seed)
        except LlmFailure as failure:
            return failure

    return await asyncio.gather(*(ask(messages, repeat) for repeat, messages in enumerate(conversations)))
