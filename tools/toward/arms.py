"""The ways of writing that a target is tried with: its own scores, the controls beside them, and a plain request.

Whatever the scores do has to beat what the same numbers do on other features (`shuffled`), what a random direction of the
same effect does, and a model that is simply asked. The arm `reconstruction` shows what the SAE's error costs alone: it
always leaves the error out, for with it there is nothing to see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.effects.intervention import Change
from tools.maths import seed_of
from tools.survey.projection import random_directions
from tools.toward.activity import Activity
from tools.toward.adding import calibrate, score_direction
from tools.toward.rewriting import rewrite
from tools.toward.shuffling import shuffle_scores
from tools.toward.support import Support

Kind = Literal["reconstruction", "swap", "weight", "clamp", "add"]
Whose = Literal["target", "shuffled", "random"]


WEIGHED: tuple[Kind, ...] = ("swap", "weight")
"""Kinds that are given weights (`tools.toward.weighing`) in place of scores: in these every feature counts, not the best alone."""


class Manner(NamedTuple):
    """What all arms of a run have in common."""

    support: Support
    activity: Activity
    keep_error: bool
    target_kl: float
    """Nats that an addition is calibrated to."""
    prompts: Sequence[Sequence[int]]
    """Token ids without BOS, on which it is."""
    seed: int


def make_steering(
    bench: Workbench, kind: Kind, whose: Whose | None, scores: Float[np.ndarray, " d_sae"], manner: Manner, name: str
) -> Change:
    """What an arm does to one row.

    Args:
        bench: model and SAE.
        kind: of arm.
        whose: scores; None for the reconstruction, which uses none.
        scores: of the target, or its weights, in [0, 1].
        manner: of the run.
        name: of the target; what is drawn at random is drawn by it.

    Raises:
        ValueError: a score is no number, or outside [0, 1].
    """
    own = torch.from_numpy(np.ascontiguousarray(scores, dtype=np.float32))[None]
    seed = seed_of(manner.seed, name, whose) >> 1
    if whose == "shuffled":
        own = shuffle_scores(own, manner.activity.density, seed)
    if kind == "add":
        direction = random_directions(1, bench.W_U.shape[0], seed) if whose == "random" else score_direction(bench, own)
        prompts = [list(prompt) for prompt in manner.prompts]
        return calibrate(bench, direction.to(bench.directions), prompts, target_kl=manner.target_kl).change
    keeps = manner.keep_error and kind != "reconstruction"
    return rewrite(bench, own, kind, manner.support, keep_error=keeps, peaks=_peaks(manner, kind))


def _peaks(manner: Manner, kind: Kind) -> Float[Tensor, " d_sae"] | None:
    return manner.activity.peaks if kind == "clamp" else None
