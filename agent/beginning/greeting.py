"""What a run says of itself before it begins, and what is to be known of it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from agent.folder.config import RunConfig
    from tools.study.definition import Question, Study


def banner(question: Question, config: RunConfig) -> list[str]:
    """What is about to run, and by whom it is judged."""
    lines = [f"unveil · {_subject(question, config)} · judge: {judged_by(config)}"]
    if config.llm is None:
        lines.append("  no LLM judges this run: set OPENAI_API_KEY or OPENAI_BASE_URL, and --llm-model, to let one")
    return lines


def _subject(question: Question, config: RunConfig) -> str:
    """What is looked at; of a model of the user's the study asks no more than the question."""
    asked = "" if config.task is None else f" · task {config.task}: {question.topic}"
    if config.evidence is not None:
        return f"study {question.name} · evidence {config.evidence}"
    if config.model is not None and config.task is not None:
        return f"model {config.model} · SAE {config.sae}{asked}"
    if config.model is not None:
        return f"model {config.model} · SAE {config.sae} · asked about {question.topic}, as in study {question.name}"
    hint = " (embedded; --study gpt2-medical studies GPT-2 small)" if question.name == "pocket" else ""
    return f"study {question.name}{hint} · arm {config.sae}{asked}"


def judged_by(config: RunConfig) -> str:
    """Who judges, and where."""
    return "rules" if config.llm is None else f"{config.llm.judge_model} at {config.llm.base_url}"


def greet(question: Question, config: RunConfig, console: Console) -> None:
    """Say what is about to run, and whom it is traced to."""
    for line in banner(question, config):
        console.print(line)
    if config.traced:
        say_traced(console)


def say_traced(console: Console) -> None:
    """Say where the run is traced to."""
    from agent.stages.recipients import describe_tracing

    console.print(describe_tracing(os.environ))


def warn(caveats: Iterable[str], console: Console) -> None:
    """Say what is to be known of a run before its verdicts are read."""
    for caveat in caveats:
        console.print(f"warning: {caveat}")


def warn_of_vocabulary(study: Study, console: Console) -> None:
    """Say which lines of the word list are passed over."""
    from tools.survey.keywords import describe_passed_over, read_vocabulary

    path = study.asset(study.domain.vocabulary)
    if said := describe_passed_over(path, read_vocabulary(path)):
        console.print(f"warning: {said}")
