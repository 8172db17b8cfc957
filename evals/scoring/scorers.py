"""Who answers: a comparison of words, which costs nothing and is the floor, and a model, which has to beat it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float
from pydantic import Field, JsonValue, create_model

from agent.llm.client import LlmClient
from agent.llm.errors import LlmFailure
from agent.llm.records import FailureType
from evals.scoring.detection import Item
from evals.scoring.fuzzing import fence_texts
from evals.scoring.records import Task
from evals.scoring.subjects import Subject
from prompts.fence import escape, fence
from prompts.loader import Prompt
from tools.records import Record
from tools.survey.coherence import WordVectors
from tools.survey.keywords import find_words, normalise, words_of
from tools.survey.lexicon import CONTENT_RANK

LABEL = 400
TEXT = 2000
"""Most characters of a label and of a text in a prompt."""
SPLIT: frozenset[FailureType] = frozenset(
    {"unparseable", "wrong_schema", "length", "empty", "refusal", "content_filter", "context_length"}
)
"""Failures that may be due to a single text of a batch."""


class Answer(NamedTuple):
    """One answer to one item."""

    probability: float | None
    """That it is yes; None for a failure."""
    failure: FailureType | None = None
    request_sha256: str | None = None


class Scorer(Protocol):
    """Whoever answers for a label."""

    @property
    def name(self) -> str:
        """In tables."""
        ...

    async def answer(self, label: str, items: Sequence[Item], task: Task) -> list[Answer]:
        """An answer to each item, in order."""
        ...


class WordScorer:
    """Compares the words of a label with those of the text, or of its marked tokens.

    Its answer is c + (1 - c) s: c is the cosine of the mean word vectors of the two, s the share of the label's words
    that the text holds. Above 0.5 it is a yes: a text of the label's topic, or one with most of its words. The most
    frequent words are passed over, unless there are no others.
    """

    name = "words"

    def __init__(self, vectors: WordVectors) -> None:
        self._vectors = vectors
        self._frequent = frozenset(vectors.words[:CONTENT_RANK])

    async def answer(self, label: str, items: Sequence[Item], task: Task) -> list[Answer]:
        """Words are compared as they are spelt."""
        own = self._telling(frozenset(words_of(label)))
        centre = self._centre(own)
        return [Answer(self._compare(own, centre, shown_words(item))) for item in items]

    def _compare(self, own: frozenset[str], centre: Float[np.ndarray, " dim"], shown: frozenset[str]) -> float:
        share = len(own & shown) / len(own) if own else 0.0
        cosine = max(0.0, float(centre @ self._centre(self._telling(shown))))
        return round(cosine + (1 - cosine) * share, 6)

    def _telling(self, words: frozenset[str]) -> frozenset[str]:
        return words - self._frequent or words

    def _centre(self, words: frozenset[str]) -> Float[np.ndarray, " dim"]:
        """Mean vector at length 1; zeros without any."""
        rows = [self._vectors.row[word] for word in sorted(words) if word in self._vectors.row]
        mean = self._vectors.matrix[rows].sum(axis=0)
        return mean / max(float(np.linalg.norm(mean)), 1e-12)


class AlwaysYes:
    """Says yes to everything: a floor."""

    name = "always yes"

    async def answer(self, label: str, items: Sequence[Item], task: Task) -> list[Answer]:
        """One yes after another."""
        return [Answer(1.0)] * len(items)


class TextAnswer(Record):
    """A model's answer about one text."""

    active: bool
    confidence: Annotated[float, Field(ge=0.5, le=1)]


class LlmScorer:
    """A model, asked about several texts a prompt or about one.

    Every text is a field of the reply, so that none can be answered twice or left out. A batch whose reply is of no use,
    although it was asked for again, is put to the model text by text: one text costs no other its answer.
    """

    def __init__(self, client: LlmClient, prompts: Mapping[Task, Prompt], batch: int) -> None:
        self._client = client
        self._prompts = prompts
        self._batch = batch
        self.name = client.settings.model

    async def answer(self, label: str, items: Sequence[Item], task: Task) -> list[Answer]:
        """All prompts at once; the client bounds how many are in flight."""
        parts = [items[start : start + self._batch] for start in range(0, len(items), self._batch)]
        asked = (self._ask(label, part, task) for part in parts)
        return [one for part in await asyncio.gather(*asked) for one in part]

    async def _ask(self, label: str, items: Sequence[Item], task: Task) -> list[Answer]:
        messages = word_question(self._prompts[task], label, items)
        try:
            reply = await self._client.complete(messages, purpose=task, schema=answers_for(len(items)))
        except LlmFailure as failure:
            if len(items) > 1 and failure.type in SPLIT:
                apart = await asyncio.gather(*(self._ask(label, [item], task) for item in items))
                return [one for part in apart for one in part]
            return [Answer(None, failure.type)] * len(items)
        return [Answer(probability, None, reply.request_sha256) for probability in read_answers(reply.parsed)]


def shown_words(item: Item) -> frozenset[str]:
    """Lower-case words of the text; in fuzzing only those that are marked, wholly or in part."""
    if item.marked is None:
        return frozenset(words_of(item.text))
    marked = {place for start, stop in marked_spans(item) for place in range(start, stop)}
    return frozenset(normalise(word[0]) for word in find_words(item.text) if marked.intersection(range(*word.span())))


def marked_spans(item: Item) -> list[tuple[int, int]]:
    """Start and stop, in characters, of each marked token."""
    stops = np.cumsum([len(token) for token in item.tokens]).tolist()
    marked = item.marked or (False,) * len(stops)
    return [(stop - len(token), stop) for token, stop, here in zip(item.tokens, stops, marked, strict=True) if here]


def count_prompts(subjects: Iterable[Subject], batch: int) -> int:
    """How many prompts all items of some subjects take, if every reply is of use."""
    return sum(-(-len(items) // batch) for subject in subjects for items in subject.items.values())


def word_question(prompt: Prompt, label: str, items: Sequence[Item]) -> list[dict[str, JsonValue]]:
    """What a model is shown."""
    return prompt.render(label=fence("label", escape(label), LABEL), texts=fence_texts(items, TEXT * len(items)))


@functools.cache
def answers_for(n: int) -> type[Record]:
    """The reply about n texts: one field for each."""
    fields: dict[str, Any] = {f"text_{number}": (TextAnswer, ...) for number in range(1, n + 1)}
    return create_model("Answers", __base__=Record, **fields)


def read_answers(reply: Record | None) -> list[float]:
    """Probabilities of a yes, in the order of the texts."""
    given: list[TextAnswer] = [value for _, value in reply or ()]
    return [one.confidence if one.active else 1 - one.confidence for one in given]
