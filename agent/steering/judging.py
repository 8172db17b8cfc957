"""Steered texts put to a model, blind: which of two continuations is more like the target, and how one of them reads.

The model never learns which arm wrote what. Of a pair it sees the arm's continuation and the unsteered one of the same
prompt and sample, as A and B in an order that a seeded coin decides, or in both orders; of the target it sees excerpts of
held-out documents, which no score was made from. Beside that it is asked what nobody could answer: the same pairs under
another target's excerpts, and one text shown twice. What it says there is the floor under all else it says.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Literal, NamedTuple, TypeVar

from pydantic import Field

from agent.folder.judged import UNSTEERED, Address, latest
from agent.folder.steered import SCHEMES, Judged, SteeredText
from agent.llm.errors import LlmFailure
from agent.llm.records import Failure
from agent.llm.requests import Message
from agent.transcript import Llm, parsed
from prompts.fence import fence
from prompts.loader import Prompt, load_prompt
from tools.maths import derangement, seed_of
from tools.records import Record

EXCERPTS, EXCERPT = 3, 500
"""Of a target in one question, and characters of each."""
BEGINNING, CONTINUATION = 500, 1500
"""Most characters of a prompt and of what continues it."""
FLOOR = 8
"""Pairs a target that are asked about under another one's excerpts, and texts that are shown twice."""
_OWN = (*SCHEMES, "prompt")
"""Arms that are about the target: the floor is measured on them."""

T = TypeVar("T")
Task = Literal["more alike", "rating"]
Keep = Callable[[Judged], object]


class Alike(Record):
    """A model's answer on two continuations."""

    reasons: Annotated[str, Field(max_length=2000)]
    more_alike: Literal["A", "B", "tie"]


class Rating(Record):
    """A model's answer on one."""

    reasons: Annotated[str, Field(max_length=2000)]
    concept: Annotated[int, Field(ge=0, le=2)]
    relevance: Annotated[int, Field(ge=0, le=2)]
    fluency: Annotated[int, Field(ge=0, le=2)]


class Exemplar(NamedTuple):
    """A target as the model is shown it."""

    name: str
    documents: Sequence[str]
    """Held out: what the scores were made from is not among them."""

    def excerpts(self, prompt: int) -> list[str]:
        """Of some documents, others for each prompt, so that no answer rests on the choice of three."""
        n = len(self.documents)
        return [self.documents[(prompt * EXCERPTS + place) % n] for place in range(min(EXCERPTS, n))]


class Question(NamedTuple):
    """One thing the model is asked."""

    task: Task
    text: SteeredText
    beside: str = ""
    """The unsteered text of the same prompt and sample, of a comparison."""
    swapped: bool = False
    shown: str | None = None
    """Another target, whose excerpts are shown."""

    @property
    def address(self) -> Address:
        """Under which its answer is known."""
        text = self.text
        return (text.target, text.arm, text.prompt, text.sample), self.task, self.swapped, self.shown

    @property
    def is_moot(self) -> bool:
        """Whether there is nothing to ask: equal texts are equally alike. Only the floor asks all the same."""
        return self.task == "more alike" and self.text.arm != UNSTEERED and self.text.text == self.beside


def plan_questions(
    texts: Sequence[SteeredText], names: Sequence[str], *, most: int | None = None, repeats: int = 1, seed: int = 0
) -> list[Question]:
    """All that a run's texts are to be asked about, in the order of the texts, the floor last.

    Args:
        texts: of every arm; an arm's text without an unsteered twin is rated and not compared.
        names: of the targets that there are excerpts of.
        most: texts of a target and arm, spread over prompts and samples; None for all.
        repeats: 1 for an order drawn by a coin, 2 for both.
        seed: of the coin.
    """
    twins = {(one.target, one.prompt, one.sample): one.text for one in texts if one.arm == UNSTEERED}
    groups: defaultdict[tuple[str, str], list[SteeredText]] = defaultdict(list)
    for one in texts:
        if one.target in names:
            groups[one.target, one.arm].append(one)
    questions: list[Question] = []
    for (target, arm), group in groups.items():
        for one in _spread(group, most):
            twin = twins.get((target, one.prompt, one.sample))
            if arm != UNSTEERED and twin is not None:
                orders = _orders(one, repeats, seed)
                questions += [Question("more alike", one, twin, swapped) for swapped in orders]
            questions.append(Question("rating", one))
    return questions + _plan_floor(questions, names, seed)


def _plan_floor(questions: Sequence[Question], names: Sequence[str], seed: int) -> list[Question]:
    """For each target some of its pairs under another one's excerpts, and some unsteered texts beside themselves."""
    others = dict(zip(names, (names[i] for i in derangement(len(names), seed)), strict=True)) if len(names) > 1 else {}
    floor: list[Question] = []
    for name in names:
        own = [one for one in questions if one.text.target == name]
        pairs = [one for one in own if one.task == "more alike" and one.text.arm in _OWN and not one.is_moot]
        plain = [one.text for one in own if one.task == "rating" and one.text.arm == UNSTEERED]
        if name in others:
            once = {one.address[0]: one for one in pairs}
            floor += [one._replace(shown=others[name]) for one in _spread(list(once.values()), FLOOR)]
        floor += [Question("more alike", one, one.text) for one in _spread(plain, FLOOR)]
    return floor


def _spread(items: Sequence[T], most: int | None) -> Sequence[T]:
    if most is None or len(items) <= most:
        return items
    return [items[place * len(items) // most] for place in range(most)]


def _orders(text: SteeredText, repeats: int, seed: int) -> tuple[bool, ...]:
    """Whether the arm's text stands second: as the coin of that text says, and the other way round."""
    coin = seed_of(seed, text.target, text.arm, text.prompt, text.sample) % 2 == 1
    return (coin, not coin)[:repeats]


async def judge_texts(
    questions: Sequence[Question],
    exemplars: Sequence[Exemplar],
    prompts: Sequence[str],
    llm: Llm,
    *,
    done: Iterable[Judged] = (),
    keep: Keep = lambda one: None,
) -> list[Judged]:
    """Put every question that is still open to a model, many at once, and return all answers in the questions' order.

    Args:
        questions: from `plan_questions`.
        exemplars: of every target that a question names.
        prompts: that were continued, by their places.
        llm: remembers its calls and bounds how many are in flight.
        done: answers there are already; a failure among them is asked again.
        keep: given each new answer as it comes.

    Raises:
        RunError: the calls cannot be written. A request that fails is an answer of its own, never a raise.
    """
    known = {address: one for address, one in latest(done).items() if one.failure is None}
    shown = {one.name: one for one in exemplars}
    asker = _Asker(llm, shown, prompts, load_prompt("resemble", 1), load_prompt("assess", 1))

    async def answer(question: Question) -> Judged:
        if question.address in known:
            return known[question.address]
        answered = await asker.ask(question)
        keep(answered)
        return answered

    return list(await asyncio.gather(*map(answer, questions)))


class _Asker(NamedTuple):
    """Words a question, and reads what comes of it."""

    llm: Llm
    shown: dict[str, Exemplar]
    prompts: Sequence[str]
    resemble: Prompt
    assess: Prompt

    async def ask(self, question: Question) -> Judged:
        text = question.text
        blank = Judged(
            target=text.target,
            arm=text.arm,
            prompt=text.prompt,
            sample=text.sample,
            task=question.task,
            swapped=question.swapped,
            shown=question.shown,
        )
        if question.is_moot:
            return blank
        try:
            answer = self._rate(question) if question.task == "rating" else self._compare(question)
            return blank.model_copy(update=await answer)
        except LlmFailure as failed:
            failure = Failure(type=failed.type, message=failed.message, attempts=failed.attempts)
            used = {} if failed.usage is None else {"usage": failed.usage}
            return blank.model_copy(update={"failure": failure, **used})

    async def _compare(self, question: Question) -> dict[str, object]:
        reply = await self.llm.complete(self.word(question), purpose=question.task, schema=Alike)
        said = parsed(reply).more_alike
        prefers = None if said == "tie" else (said == "B") == question.swapped
        return {"prefers_arm": prefers, "request_sha256": reply.request_sha256, "usage": reply.usage}

    async def _rate(self, question: Question) -> dict[str, object]:
        reply = await self.llm.complete(self.word(question), purpose=question.task, schema=Rating)
        ratings = parsed(reply).model_dump(include={"concept", "relevance", "fluency"})
        return {**ratings, "request_sha256": reply.request_sha256, "usage": reply.usage}

    def word(self, question: Question) -> list[Message]:
        """What is sent: the target's excerpts, the beginning, and one continuation or two, each in its fence."""
        text = question.text
        excerpts = self.shown[question.shown or text.target].excerpts(text.prompt)
        around = {
            "reference": "\n\n".join(fence("excerpt", one, EXCERPT) for one in excerpts),
            "beginning": fence("beginning", self.prompts[text.prompt], BEGINNING),
        }
        if question.task == "rating":
            return self.assess.render(**around, continuation=fence("continuation", text.text, CONTINUATION))
        a, b = (question.beside, text.text) if question.swapped else (text.text, question.beside)
        shown = {"a": fence("continuation a", a, CONTINUATION), "b": fence("continuation b", b, CONTINUATION)}
        return self.resemble.render(**around, **shown)
