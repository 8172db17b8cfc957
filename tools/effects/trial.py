"""Directions that settings of steering are tried on: live features drawn at random, and random directions beside them."""

from __future__ import annotations

import numpy as np
import torch

from tools.bench.workbench import Workbench
from tools.effects.continuations import Targets
from tools.effects.intervention import Readers
from tools.study.definition import Study
from tools.survey.features import Survey
from tools.survey.projection import draw_random_stratum, project

NORM_ROWS = 64
"""Rows of the corpus over which the residual stream's mean length is taken."""


def draw_targets(bench: Workbench, study: Study, survey: Survey, n: int, seed: int) -> Targets:
    """At most n live features, then n random directions, with the tokens that the study's lens says they promote."""
    alive = np.flatnonzero(survey.alive)
    features: list[int] = np.sort(np.random.default_rng([seed, 5_000_011]).permutation(alive)[:n]).tolist()
    directions = torch.cat([bench.directions[features], draw_random_stratum(bench, seed, n).to(bench.directions)])
    numbers = torch.tensor([*features, *[-1] * n])
    readers = Readers(directions, numbers, torch.zeros(len(numbers)))
    ids = project(directions.to(survey.lens), survey.lens, study.survey.top_k).top_ids.cpu()
    arm = bench.arm_name
    keys = [*(f"{arm}-{i:06d}" for i in features), *(f"{arm}-r{i:06d}" for i in range(n))]
    return Targets(keys, readers, ids, torch.ones(len(keys)))


def mean_residual_norm(bench: Workbench, study: Study) -> float:
    """Mean length of the residual stream at the hook over the first rows of the study's text, the unit of strengths."""
    rows = bench.read_text(study, "train", bench.context_size)
    norms = bench.residuals(torch.from_numpy(rows.tokens[:NORM_ROWS])).norm(dim=-1).cpu()
    return float(norms[torch.from_numpy(rows.real[:NORM_ROWS])].mean())
