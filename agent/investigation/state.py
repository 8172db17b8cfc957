"""What flows through the graph for one feature (state), and what is given to it (context)."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated, TypedDict

from pydantic import BaseModel, ConfigDict

from agent.briefing.generations import Briefing
from agent.briefing.hypotheses import Hypothesis
from agent.folder.config import Limits
from agent.folder.measurements import Observed
from agent.folder.records import Decision, SelectedFeature, TranscriptStep
from agent.judges.judge import Judge, Ruling
from agent.llm.reading.contents import ToolCall
from agent.llm.records import Failure, Usage
from agent.llm.requests import Message
from agent.toolbox import Toolbox
from agent.transcript import Llm
from tools.proof.floors import DeadFloor
from tools.records import Evidence
from tools.study.definition import Domain


class PendingCall(BaseModel):
    """A measurement that is to be made next."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    call: ToolCall
    hypothesis: int | None = None


class FeatureState(BaseModel):
    """Records only; machinery comes by the context."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    item: SelectedFeature
    steps: Annotated[list[TranscriptStep], operator.add] = []
    round: int = 0
    """Times hypotheses were proposed."""
    began: float | None = None
    """Monotonic seconds at which the investigation began."""
    hypotheses: tuple[Hypothesis, ...] = ()
    names: dict[str, str] = {}
    """Of hypotheses of all rounds, by label."""
    pending: tuple[PendingCall, ...] = ()
    observed: Annotated[list[Observed], operator.add] = []
    conversation: list[Message] = []
    """Of this round's experiments."""
    plain: bool = False
    """The server takes no tools: measurements are chosen by structured output."""
    ruling: Ruling | None = None
    """The judge's, of the last round that came to one."""
    failure: Failure | None = None
    usage: Annotated[Usage, operator.add] = Usage()
    decision: Decision | None = None


class FeatureUpdate(TypedDict, total=False):
    """What a node may return. The graph library drops a misspelt key in silence; the type checker does not."""

    steps: list[TranscriptStep]
    round: int
    began: float
    hypotheses: tuple[Hypothesis, ...]
    names: dict[str, str]
    pending: tuple[PendingCall, ...]
    observed: list[Observed]
    conversation: list[Message]
    plain: bool
    ruling: Ruling
    failure: Failure
    usage: Usage
    decision: Decision


@dataclass(frozen=True)
class Investigator:
    """What an investigation by LLM needs."""

    llm: Llm
    domain: Domain
    briefing: Briefing
    toolbox: Toolbox
    limits: Limits = Limits()

    @property
    def proposes(self) -> bool:
        """Whether hypotheses come before a judgement: what nothing can test tells a judge nothing."""
        return self.briefing.untested or bool(self.toolbox.specs)


@dataclass(frozen=True)
class Context:
    """Given to every node of every feature."""

    run_id: str
    judge: Judge
    evidence: dict[str, Evidence]
    """By the feature's key."""
    investigator: Investigator | None = None
    """None where nothing is proposed and tested before a judgement."""
    floors: tuple[DeadFloor, ...] | None = None
    """Instruments that measured nothing; None where nobody looked, as in runs made before anybody did."""
