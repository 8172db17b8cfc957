"""Which prompt asks what. Where any activation counts it stays the first version, so that its figures stay comparable."""

from __future__ import annotations

from collections.abc import Callable

from evals.scoring.records import Task
from prompts.loader import Prompt, load_prompt

PROMPTS: dict[str, Callable[[], dict[Task, Prompt]]] = {
    "any": lambda: {"detection": load_prompt("detect", 1), "fuzzing": load_prompt("fuzz", 1)},
    "levels": lambda: {"detection by level": load_prompt("detect", 2), "fuzzing by level": load_prompt("fuzz", 2)},
    "simulation": lambda: {"simulation": load_prompt("simulate", 1)},
}


def load_prompts(what: str) -> dict[Task, Prompt]:
    """The prompts of what a model may be asked: `any`, `levels` or `simulation`."""
    return PROMPTS[what]()
