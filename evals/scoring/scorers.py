"""Who answers: a comparison of words, which costs nothing and is the floor, and a model, which has to beat it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float
from pydantic import Field, JsonValue, create_model

from agent.llm.client import LlmClient
from agent.llm.errors import LlmFailure
from agent.llm.records import FailureType
from evals.scoring.detection import Item
from evals.scoring.fuzzing import fence_texts, show_numbered, show_text
from evals.scoring.likeness import Likeness
from evals.scoring.records import BEFORE, GRADED_TASKS, Task
from evals.scoring.subjects import Subject
from evals.scoring.wording import is_about_pieces
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
    """That it is yes; None for a failure, and in simulation."""
    failure: FailureType | None = None
    request_sha256: str | None = None
    values: tuple[float, ...] | None = None
    """In simulation: the activation at each token, 0 to 1."""


class Scorer(Protocol):
    """Whoever answers for a label."""

    @property
    def name(self) -> str:
        """In tables."""
        ...

    @property
    def tasks(self) -> Collection[Task]:
        """What it can be asked."""
        ...

    async def answer(self, label: str, items: Sequence[Item], task: Task) -> list[Answer]:
        """An answer to each item, in order."""
        ...


class WordScorer:
    """Compares the words of a label with those of the text, or of its marked tokens.

    Where any activation counts its answer is c + (1 - c) s, as it always was: c is the cosine of the mean word vectors of
    the two, s the share of the label's words that the text holds. The most frequent words are passed over, unless there are
    no others. A text of the label's topic, or one with most of its words, gets a yes.

    By level a label that lists words, pieces or signs is taken for what it is: each stands for itself, and a text with one
    of them gets a yes. `evals.scoring.likeness` says how.
    """

    name = "words"
    tasks: tuple[Task, ...] = (*BEFORE, *GRADED_TASKS)

    def __init__(self, vectors: WordVectors) -> None:
        self._vectors = vectors
        self._frequent = frozenset(vectors.words[:CONTENT_RANK])
        self._labels: dict[tuple[str, bool], Likeness] = {}

    async def answer(self, label: str, items: Sequence[Item], task: Task) -> list[Answer]:
        """Words are compared as they are spelt."""
        if task not in BEFORE:
            key = label, is_about_pieces(label, items)
            if key not in self._labels:
                self._labels[key] = Likeness(self._vectors, *key)
            return [self._graded(self._labels[key], item, task) for item in items]
        own = self._telling(frozenset(words_of(label)))
        centre = self._centre(own)
        return [Answer(self._compare(own, centre, shown_words(item))) for item in items]

    def _graded(self, like: Likeness, item: Item, task: Task) -> Answer:
        values = like.at_tokens(item.tokens)
        if task == "simulation":
            return Answer(None, values=values)
        shown = item.marked or (True,) * len(values)
        return Answer(max(value for value, here in zip(values, shown, strict=True) if here))

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
    tasks: tuple[Task, ...] = BEFORE

    async def answer(self, label: str, items: Sequence[Item], task: Task) -> list[Answer]:
        """One yes after another."""
        return [Answer(1.0)] * len(items)


class TextAnswer(Record):
    """A model's answer about one text."""

    active: bool
    confidence: Annotated[float, Field(ge=0.5, le=1)]


class TokenStrength(Record):
    """How active a model holds a feature to be at one token of a text."""

    token: Annotated[int, Field(ge=1)]
    strength: Annotated[float, Field(ge=0, le=10)]


class TextActivations(Record):
    """A model's guess of a feature's activations in one text."""

    active: list[TokenStrength]


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
        self.tasks: Collection[Task] = prompts.keys()

    async def answer(self, label: str, items: Sequence[Item], task: Task) -> list[Answer]:
        """All prompts at once; the client bounds how many are in flight."""
        borders = None if task in BEFORE else is_about_pieces(label, items)
        parts = batches(items, self._batch, apart=task not in BEFORE)
        asked = (self._ask(label, part, task, borders) for part in parts)
        found = [pair for part in await asyncio.gather(*asked) for pair in part]
        answers = dict(found)
        return [answers[place] for place in range(len(items))]

    async def _ask(
        self, label: str, part: Sequence[tuple[int, Item]], task: Task, borders: bool | None
    ) -> list[tuple[int, Answer]]:
        items = [item for _, item in part]
        messages = word_question(self._prompts[task], label, items, shows(task, borders))
        reply_of = TextActivations if task == "simulation" else TextAnswer
        try:
            reply = await self._client.complete(messages, purpose=task, schema=answers_for(len(items), reply_of))
        except LlmFailure as failure:
            if len(part) > 1 and failure.type in SPLIT:
                apart = await asyncio.gather(*(self._ask(label, [one], task, borders) for one in part))
                return [one for given in apart for one in given]
            return [(place, Answer(None, failure.type)) for place, _ in part]
        given = zip(part, read_answers(reply.parsed, items), strict=True)
        return [(place, answer._replace(request_sha256=reply.request_sha256)) for (place, _), answer in given]


def batches(items: Sequence[Item], most: int, apart: bool = True) -> list[list[tuple[int, Item]]]:
    """Items with their places, in parts for one prompt each.

    Args:
        items: of one task.
        most: in a prompt.
        apart: no prompt shows a text twice, marked in two ways or not at all.
    """
    parts: list[list[tuple[int, Item]]] = []
    for place, item in enumerate(items):
        part = next(
            (p for p in parts if len(p) < most and not (apart and any(item.text == o.text for _, o in p))), None
        )
        if part is None:
            parts.append(part := [])
        part.append((place, item))
    return parts


def shows(task: Task, borders: bool | None) -> Callable[[Item], str]:
    """What is shown of an item."""
    return show_numbered if task == "simulation" else functools.partial(show_text, borders=borders)


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


def count_prompts(subjects: Iterable[Subject], batch: int, tasks: Collection[Task]) -> int:
    """How many prompts all items of some subjects take, if every reply is of use."""
    return sum(
        -(-len(items) // batch) for subject in subjects for task, items in subject.items.items() if task in tasks
    )


def word_question(
    prompt: Prompt, label: str, items: Sequence[Item], show: Callable[[Item], str] = show_text
) -> list[dict[str, JsonValue]]:
    """What a model is shown."""
    texts = fence_texts(items, TEXT * len(items), show)
    return prompt.render(label=fence("label", escape(label), LABEL), texts=texts)


@functools.cache
def answers_for(n: int, kind: type[Record] = TextAnswer) -> type[Record]:
    """The reply about n texts: one field for each."""
    fields: dict[str, Any] = {f"text_{number}": (kind, ...) for number in range(1, n + 1)}
    return create_model("Answers", __base__=Record, **fields)


def read_answers(reply: Record | None, items: Sequence[Item]) -> list[Answer]:
    """What was said of each text, in order; a token that there is not is passed over."""
    given: list[TextAnswer | TextActivations] = [value for _, value in reply or ()]
    return [_read(one, len(item.tokens)) for one, item in zip(given, items, strict=True)]


def _read(given: TextAnswer | TextActivations, n: int) -> Answer:
    if isinstance(given, TextAnswer):
        return Answer(given.confidence if given.active else 1 - given.confidence)
    said = {one.token: one.strength / 10 for one in given.active}
    return Answer(None, values=tuple(said.get(number, 0.0) for number in range(1, n + 1)))
