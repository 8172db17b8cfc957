"""Steering runs over many targets whose truth is known: which succeed, how far, and what was known of them beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agent.folder.steered import SteeredText, TargetFound
from tests.agent.steering.made import ARMS, doubt, target, text, write_run

BEGINNINGS, SAMPLES = 3, 2


class Planted(NamedTuple):
    """One target."""

    name: str
    auroc: float
    """Known of it beforehand."""
    gain: float
    """Likeness by which its steered texts exceed all others."""


def plant(n: int = 12, seed: int = 0, telling: bool = True) -> list[Planted]:
    """Half of the targets succeed; if `telling`, those are the ones with a high AUROC."""
    rng = np.random.default_rng(seed)
    worked = rng.permutation(n) < n // 2
    aurocs = 0.6 + 0.3 * (worked if telling else rng.permutation(worked)) + rng.normal(0, 0.03, n)
    return [Planted(f"target {i}", float(aurocs[i]), 0.3 if worked[i] else -0.3) for i in range(n)]


def texts_of(planted: Planted, seed: int = 0) -> list[SteeredText]:
    """Noise far below the gain in every arm."""
    rng = np.random.default_rng([seed, *planted.name.encode()])
    gains = {"swap": planted.gain, "add": planted.gain / 2, "prompt": 0.5}
    return [
        text(planted.name, arm, prompt, sample, likeness=gains.get(arm, 0.0) + float(rng.normal(0, 0.01)))
        for arm in ARMS
        for prompt in range(BEGINNINGS)
        for sample in range(SAMPLES)
    ]


def write_world(path: Path, planted: Sequence[Planted], judged: bool = True, seed: int = 0) -> Path:
    """A finished run on these targets; the model that judged believes in steering throughout."""
    found: list[TargetFound] = [target(one.name, doubt=doubt(one.auroc)) for one in planted]
    return write_run(path, found, [one for each in planted for one in texts_of(each, seed)], judged=judged).path
