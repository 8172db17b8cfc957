"""Who says whether a label and a meaning are the same: words as they are spelt, or a model that is asked blind.

A model sees two descriptions without being told which is the label, in both orders; only a yes in both counts. What its yes
is worth is measured on pairs that do not belong together: every label with another concept's meaning.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, Protocol

from pydantic import Field

from agent.folder.records import PromptRef
from agent.llm.client import LlmClient
from agent.llm.errors import LlmFailure
from prompts.fence import escape, fence
from prompts.loader import load_prompt
from tools.records import Record
from tools.survey.keywords import words_of
from tools.truth.known import KnownFeature

LONGEST = 400
"""Most characters of a description in a prompt."""
LEAST_SHARE = 0.5
"""Of a label's words that have to be the concept's."""


class Pair(NamedTuple):
    """A label, and a concept that may be what it says."""

    label: str
    concept: KnownFeature


class Match(NamedTuple):
    """An answer on one pair."""

    same: bool | None
    """None where there is no answer."""
    why: str = ""
    """Of an answer that is missing."""
    requests: tuple[str, ...] = ()
    """Their hashes in the stored calls."""


class Matcher(Protocol):
    """Whoever says whether a label and a meaning are the same."""

    @property
    def name(self) -> str:
        """In tables."""
        ...

    async def match(self, pairs: Sequence[Pair]) -> list[Match]:
        """An answer to each pair, in order."""
        ...


class WordMatcher:
    """The same if at least half of the label's words, or pieces of words, are the concept's own.

    That reads labels that list words, as the rules judge's do. A concept that no words stand for cannot be told so.
    """

    name = "words"

    async def match(self, pairs: Sequence[Pair]) -> list[Match]:
        """Words are compared as they are spelt, without case."""
        return [match_words(pair) for pair in pairs]


def match_words(pair: Pair) -> Match:
    """One pair, by words; a label that is the concept's own name, as a guideline may list it, is the same."""
    own = frozenset((*pair.concept.words, *pair.concept.pieces))
    if pair.label.strip().casefold() == pair.concept.name.casefold():
        return Match(True)
    said = items_of(pair.label)
    if not own:
        return Match(None, "no words stand for this concept")
    if not said:
        return Match(False)
    return Match(len(said & own) / len(said) >= LEAST_SHARE)


def items_of(label: str) -> set[str]:
    """What a label lists between commas: words without case, signs as they stand, the words of a phrase each by itself."""
    items = [item.strip() for item in re.split(r",\s+", label.strip())]
    return {part for item in items if item for part in (words_of(item) or [item] if " " in item else [item.lower()])}


class SameReply(Record):
    """A model's answer on two descriptions."""

    reasons: Annotated[str, Field(max_length=2000)]
    same: Literal["yes", "no"]


class LlmMatcher:
    """A model, asked in both orders."""

    def __init__(self, client: LlmClient) -> None:
        self.name = client.settings.model
        self._client = client
        self._prompt = load_prompt("same")

    @property
    def prompt(self) -> PromptRef:
        """What it is asked by."""
        return PromptRef(name=self._prompt.name, sha256=self._prompt.sha256)

    async def match(self, pairs: Sequence[Pair]) -> list[Match]:
        """All at once; the client bounds how many are in flight."""
        return list(await asyncio.gather(*map(self._match, pairs)))

    async def _match(self, pair: Pair) -> Match:
        texts = pair.label, pair.concept.meaning or ""
        answers = await asyncio.gather(self._ask(*texts), self._ask(texts[1], texts[0]))
        hashes = tuple(sha for answer in answers for sha in answer.requests)
        missing = next((answer for answer in answers if answer.same is None), None)
        if missing is not None:
            return Match(None, missing.why, hashes)
        return Match(all(answer.same for answer in answers), requests=hashes)

    async def _ask(self, first: str, second: str) -> Match:
        a, b = (
            fence(name, escape(text), LONGEST) for name, text in (("description a", first), ("description b", second))
        )
        try:
            reply = await self._client.complete(self._prompt.render(a=a, b=b), purpose="same", schema=SameReply)
        except LlmFailure as failure:
            return Match(None, failure.type)
        said = reply.parsed
        return Match(said is not None and said.same == "yes", requests=(reply.request_sha256,))
