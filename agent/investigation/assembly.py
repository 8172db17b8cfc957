"""What an investigation by an LLM is put together from: clients, prompts and the toolbox of one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from agent.briefing.generations import briefing_of
from agent.folder.config import RunConfig
from agent.investigation.state import Investigator
from agent.judges.roster import appoint
from agent.llm.calls import CallStore
from agent.llm.client import LlmClient
from agent.llm.http.wire import Wire
from agent.llm.settings import Framing, LlmChoice, LlmSettings, Secrets
from agent.toolbox import Bench, Instrument, Toolbox
from tools.study.definition import Question


class Assembly(AbstractAsyncContextManager[Investigator | None]):
    """Opens the clients of one run and closes them when the run ends; it has the run's judge, who asks one of them.

    Args:
        config: the run's.
        choice: its models.
        question: what is asked of every feature; only one about a domain is investigated.
        folder: of the run; calls and measurements are remembered there.
        secrets: for the endpoint. They are stored nowhere.
        instruments: what the LLM may call; none for evidence from elsewhere.
        bench: what the instruments run on; None to answer from the run's memory alone.
        replay_only: nothing is sent or measured that the run does not remember.
        tell: gets a line when requests are sent differently from now on.
        framing: how the endpoint takes to be asked for a reply.
    """

    def __init__(
        self,
        config: RunConfig,
        choice: LlmChoice,
        question: Question,
        folder: Path,
        secrets: Secrets,
        instruments: Sequence[Instrument],
        bench: Bench | None,
        replay_only: bool = False,
        tell: Callable[[str], object] = lambda line: None,
        framing: Framing = "with usage",
    ) -> None:
        store = CallStore(folder / "llm_calls.jsonl", replay_only=replay_only)
        settings = LlmSettings.of(choice, secrets, config.limits, config.seed, framing)
        self._client = LlmClient(settings, store, Wire(settings, tell))
        self._toolbox = Toolbox(instruments, folder / "tool_calls.jsonl", bench, replay_only=replay_only)
        self.judge = appoint(config, question, self._client.with_model(choice.judge_model))
        self._investigator = question.domain and Investigator(
            llm=self._client,
            domain=question.domain,
            briefing=briefing_of(config.generation),
            toolbox=self._toolbox,
            limits=config.limits,
        )

    @property
    def status(self) -> str:
        """Calls, tokens a second and failures so far, in a line."""
        return str(self._client.meter)

    async def __aenter__(self) -> Investigator | None:
        return self._investigator

    async def __aexit__(self, *exception: object) -> None:
        self._toolbox.close()
        await self._client.aclose()
