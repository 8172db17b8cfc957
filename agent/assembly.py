"""What an investigation by an LLM is put together from: clients, prompts, guideline and the toolbox of one run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from pydantic import SecretStr

from agent.config import LlmChoice, RunConfig
from agent.llm import CallStore, LlmClient, LlmSettings
from agent.offers import Instrument
from agent.prices import SHIPPED
from agent.records import PromptRef
from agent.state import Investigator
from agent.toolbox import Bench, Toolbox
from prompts.loader import Prompt, load_prompt
from tools.studies import Question

PROMPTS = ("hypothesize", "experiment", "judge", "rate")
DEFAULT_BASE_URL = "https://api.openai.com/v1"


class Assembly(AbstractAsyncContextManager[Investigator]):
    """Opens the clients of one run and closes them when the run ends.

    Args:
        config: the run's.
        choice: its models.
        question: for the guideline.
        folder: of the run; calls and measurements are remembered there.
        key: for the endpoint; None for servers that want none. It is stored nowhere.
        instruments: what the LLM may call; none for evidence from elsewhere.
        bench: what the instruments run on; None to answer from the run's memory alone.
        replay_only: nothing is sent or measured that the run does not remember.
    """

    def __init__(
        self,
        config: RunConfig,
        choice: LlmChoice,
        question: Question,
        folder: Path,
        key: str | None,
        instruments: Sequence[Instrument],
        bench: Bench | None,
        replay_only: bool = False,
    ) -> None:
        store = CallStore(folder / "llm_calls.jsonl", replay_only=replay_only)
        self._client = LlmClient(llm_settings(config, choice, key), store)
        self._toolbox = Toolbox(instruments, folder / "tool_calls.jsonl", bench, replay_only=replay_only)
        self._investigator = Investigator(
            llm=self._client,
            judge=self._client.with_model(choice.judge_model),
            models=choice,
            prompts=load_prompts(),
            guideline=question.read_guideline(),
            toolbox=self._toolbox,
            limits=config.limits,
            judge_repeats=config.judge_repeats,
        )

    async def __aenter__(self) -> Investigator:
        return self._investigator

    async def __aexit__(self, *exception: object) -> None:
        self._toolbox.close()
        await self._client.aclose()


def load_prompts() -> dict[str, Prompt]:
    """The latest version of every prompt."""
    return {name: load_prompt(name) for name in PROMPTS}


def prompt_refs() -> list[PromptRef]:
    """Names and hashes of the prompts, for the manifest."""
    return [PromptRef(name=prompt.name, sha256=prompt.sha256) for prompt in load_prompts().values()]


def llm_settings(config: RunConfig, choice: LlmChoice, key: str | None) -> LlmSettings:
    """The client's settings; the key goes nowhere else."""
    return LlmSettings(
        model=choice.model,
        base_url=choice.base_url or DEFAULT_BASE_URL,
        api_key=SecretStr(key) if key else None,
        temperature=choice.temperature,
        max_output_tokens=choice.max_output_tokens,
        seed=config.seed,
        timeout_s=choice.timeout_seconds,
        max_attempts=choice.max_attempts,
        requests_per_minute=choice.requests_per_minute,
        max_in_flight=choice.concurrency,
        budget_usd=config.limits.budget_usd,
        budget_tokens=config.limits.budget_tokens,
        prices=SHIPPED if choice.prices is None else Path(choice.prices),
    )
