"""How far two lenses agree in what a survey reads of them: the tokens that lead a feature's list."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.survey.jacobian import Mean
from tools.survey.lens import make_lens
from tools.survey.projection import project

ASKED = 512
"""Features whose lists are compared, spread over those that are alive: their mean share is known to about a hundredth."""


def agreement_of_halves(bench: Workbench, name: Literal["effect", "jacobian"], mean: Mean, k: int) -> float:
    """Share of features' k top tokens that two lenses have in common, each the mean over half of the rows.

    The mean over all of them is nearer to what it would be over any amount of text than either half is to the other.
    """
    alive = bench.alive.nonzero().flatten()
    asked = bench.directions[alive[:: max(1, len(alive) // ASKED)][:ASKED].to(bench.directions.device)]
    lists = [project(asked.to(bench.W_U), make_lens(bench, name, half), k).top_ids for half in mean.halves()]
    return share_in_common(*lists)


def share_in_common(one: Int64[Tensor, "n k"], other: Int64[Tensor, "n k"]) -> float:
    """Share of the ids of each row that the other's same row holds too, in whatever order; mean over rows."""
    if not one.numel():
        return 1.0
    found: Float[Tensor, "n k"] = (one[:, :, None] == other[:, None, :]).any(dim=2).to(torch.float32)
    return float(found.mean())
