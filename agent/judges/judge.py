"""What a judge is, and how it asks a model: a class of its own file, and one line in `agent.judges.roster`.

Nothing else knows one judge from another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

from pydantic import BaseModel, JsonValue

from agent.briefing.hypotheses import Hypothesis
from agent.folder.measurements import Observed
from agent.folder.records import JudgeRef
from agent.judges.judgement import Judgement
from agent.llm.errors import LlmFailure
from agent.llm.records import Failure
from agent.llm.replies import Reply
from agent.llm.requests import Message
from agent.transcript import Abandoned, Llm, Notes, parsed
from prompts.loader import Prompt
from tools.proof.floors import Dead, DeadFloor, reasons_in
from tools.records import Evidence

S = TypeVar("S", bound=BaseModel)
GUIDELINE = 3000
"""Most characters of a guideline in a prompt."""


class Case(NamedTuple):
    """What is judged."""

    evidence: Evidence
    hypotheses: tuple[Hypothesis, ...] = ()
    observed: tuple[Observed, ...] = ()
    round: int = 0
    """Whose tests are shown."""
    floors: tuple[DeadFloor, ...] | None = None
    """Instruments of the run that measured nothing; None where nobody looked."""

    @property
    def dead(self) -> Dead:
        """What a model is not shown the numbers of. Nothing depends on the feature itself, but its stratum."""
        return reasons_in(self.floors, self.evidence.stratum)


class Ruling(NamedTuple):
    """What a judge says of a case."""

    judgement: Judgement
    self_agreement: float | None = None
    """Of its repeats, 0 to 1; recorded where there was more than one."""
    doubt: str | None = None
    """What the investigator is told where other hypotheses may settle the case; None where it is settled."""
    note: dict[str, JsonValue] | None = None
    """What closes the judgement in the transcript, beside the reason why it was recorded."""
    settled: str = "settled"
    """Why, where there is no doubt for other hypotheses to settle."""


class Judge(Protocol):
    """Evidence goes in, a ruling comes out."""

    name: str
    """Under which its steps stand in a transcript: its prompt's, if it has one."""
    needs_hypotheses: bool
    """Whether an investigation comes first."""

    @property
    def ref(self) -> JudgeRef:
        """What it signs with, whether or not it came to judge, but for the self-agreement, which is each ruling's."""
        ...

    def requests(self, case: Case) -> Sequence[Sequence[Message]]:
        """The conversations that one judgement sends, each for one reply; none where no model is asked."""
        ...

    async def judge(self, case: Case, notes: Notes) -> Ruling:
        """Judge, and write down on the way what a reader of the transcript should see.

        Raises:
            Abandoned: there is no judgement; the feature fails with what it carries.
        """
        ...


class Model(NamedTuple):
    """A language model as a judge asks it: several times at once, each repeat under a seed of its own."""

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
