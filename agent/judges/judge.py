"""What a judge is: a class of its own file, and one line in `agent.judges.roster`. Nothing else knows one from another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pydantic import JsonValue

from agent.briefing.forms import Hypothesis
from agent.folder.measurements import Observed
from agent.folder.records import JudgeRef
from agent.judges.judgement import Judgement
from agent.llm.requests import Message
from agent.transcript import Notes
from tools.proof.floors import Dead, DeadFloor, reasons_in
from tools.records import Evidence

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
