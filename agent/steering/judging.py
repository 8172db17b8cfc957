"""Steered texts put to a model, blind: which of two continuations is more like the target, and how one of them reads.

The model never learns which arm wrote what. Of a pair it sees the arm's continuation and the unsteered one of the same
prompt and sample, as A and B in an order that a seeded coin decides, or in both orders; of the target it sees excerpts of
held-out documents, which no score was made from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field

from agent.folder.judged import latest
from agent.folder.steered import Judged
from agent.folder.steering_store import SteeringFolder
from agent.llm.calls import CallStore
from agent.llm.client import LlmClient
from agent.llm.errors import LlmFailure
from agent.llm.records import Failure
from agent.llm.requests import Message
from agent.llm.settings import LlmSettings
from agent.steering.questions import ASSESS, EXCERPT, RESEMBLE, Exemplar, Question, plan_questions
from agent.transcript import Llm, parsed
from prompts.fence import fence
from prompts.loader import Prompt, load_prompt
from tools.display.progress import Bars
from tools.records import Record

if TYPE_CHECKING:
    from rich.console import Console

    from agent.stages.recipients import Reached

BEGINNING, CONTINUATION = 500, 1500
"""Most characters of a prompt and of what continues it."""
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


def judge_run(folder: SteeringFolder, reached: Reached, console: Console) -> None:
    """Have a run's texts judged by its model; each answer is stored as it comes, and what is stored is not asked again.

    Args:
        folder: of the run, with its targets and texts.
        reached: the endpoint, and what it is sent besides.
        console: for progress.

    Raises:
        RunError: an answer cannot be stored.
    """
    config, choice = folder.manifest().config, reached.config.llm
    exemplars = [Exemplar(one.name, one.exemplars) for one in folder.targets() or () if one.exemplars]
    if choice is None or not exemplars:
        return
    questions = plan_questions(
        folder.texts(),
        [one.name for one in exemplars],
        most=config.pairs,
        repeats=config.judge_repeats,
        seed=config.seed,
    )
    done = folder.judgements()
    answered = {address for address, one in latest(done).items() if one.failure is None}
    choice = choice.model_copy(update={"model": choice.judge_model})
    limits, framing = reached.config.limits, reached.framing
    settings = LlmSettings.of(choice, reached.secrets, limits, config.seed, framing)

    async def judge(keep: Keep) -> None:
        async with LlmClient(settings, CallStore(folder.path / "llm_calls.jsonl")) as client:
            await judge_texts(questions, exemplars, config.prompts, client, done=done, keep=keep)

    with Bars(console, "judge") as progress:
        still_open = sum(one.address not in answered for one in questions)
        task = progress.add_task(f"judge        {choice.model}", total=still_open)

        def keep(one: Judged) -> None:
            folder.append(one)
            progress.advance(task)

        asyncio.run(judge(keep))


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
        done: answers there are already; a failure among them is asked again, and ends as before where a reply to it is
            stored, such as a refusal.
        keep: given each new answer as it comes.

    Raises:
        RunError: the calls cannot be written. A request that fails is an answer of its own, never a raise.
    """
    known = {address: one for address, one in latest(done).items() if one.failure is None}
    shown = {one.name: one for one in exemplars}
    asker = _Asker(llm, shown, prompts, load_prompt(*RESEMBLE), load_prompt(*ASSESS))

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
