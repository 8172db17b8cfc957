"""Steering runs made by hand: two targets, six arms, a few prompts and samples, texts that say which arm wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.folder.steered import SteeredText

WORDS = {"cooking": "butter onion simmer salt pan", "law": "court appeal statute judge plea"}
"""Of each target: what its documents and the texts that are steered toward it consist of."""
PLAIN = "it was a day like any other and they went on"
ARMS = ("unsteered", "reconstruction", "prompt", "swap", "swap, shuffled", "add")
PROMPTS = ("I think that", "The first of them", "On Monday")


def written(target: str, arm: str, prompt: int, sample: int) -> str:
    """Steered ones hold the target's words; the reconstruction is the unsteered text to the letter."""
    if arm in ("unsteered", "reconstruction"):
        return f" {PLAIN} {prompt} {sample}"
    words = PLAIN[:20] if arm.endswith("shuffled") else WORDS[target]
    return f" {words} {arm.partition(',')[0][0]} {prompt} {sample}"


def text(target: str, arm: str, prompt: int = 0, sample: int = 0, **changes: Any) -> SteeredText:
    """One continuation with likely measures."""
    said = written(target, arm, prompt, sample)
    tokens = tuple(f" {word}" for word in said.split())
    steered = arm not in ("unsteered", "reconstruction", "prompt")
    shares = tuple(round(0.1 + 0.8 * place / len(tokens), 3) for place in range(len(tokens)))
    fields: dict[str, Any] = {
        "target": target,
        "arm": arm,
        "prompt": prompt,
        "sample": sample,
        "text": said,
        "tokens": tokens,
        "displaced": shares if arm.startswith("swap") else None,
        "moved": shares if steered else None,
        "perplexity": 40.0 if steered else 20.0,
        "repetition": 0.05,
        "kl": 0.5 if steered else 0.0,
        "likeness": {"swap": 0.3, "add": 0.25, "prompt": 0.4}.get(arm, 0.0) + 0.01 * prompt,
    }
    return SteeredText(**fields | changes)


def all_texts(targets: Sequence[str] = tuple(WORDS), prompts: int = 3, samples: int = 2) -> list[SteeredText]:
    """Of every arm."""
    places = [(prompt, sample) for prompt in range(prompts) for sample in range(samples)]
    return [text(target, arm, *place) for target in targets for arm in ARMS for place in places]
