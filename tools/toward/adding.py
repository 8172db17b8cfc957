"""The features of a text as one vector that is added: the arm with a strength, set by its effect as everywhere in here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from rich.progress import Progress
from torch import Tensor

from tools.bench.places import Place
from tools.bench.workbench import Workbench
from tools.effects.intervention import Addition, Change, Stacked
from tools.effects.strength import choose_strengths
from tools.toward.rewriting import BEST

MAX_STRENGTH = 2.0
"""In usual lengths of the residual stream."""
FIRST_STRENGTH = 0.3
"""Where the search begins: most strengths lie near it."""


class Calibrated(NamedTuple):
    """Vectors as long as it takes to have the effect asked for, or as long as they may be."""

    change: Addition
    """A row for each direction."""
    strengths: Float[Tensor, " n"]
    """In usual lengths of the residual stream."""
    kl: Float[Tensor, " n"]
    """Nats between the unsteered and the steered distribution of the next token, mean over the prompts."""


def score_direction(
    bench: Workbench, scores: Float[Tensor, "n d_sae"], best: int = BEST, place: Place | None = None
) -> Float[Tensor, "n d_model"]:
    """Unit vectors: the decoder directions of the best-scored features, added up with their scores as weights.

    Raises:
        ValueError: a score is NaN, or the directions chosen cancel out, as where all scores are 0.
    """
    if bool(scores.isnan().any()):
        raise ValueError("a score is NaN: a feature that has none is given 0")
    directions = (place or bench.places[0]).autoencoder.directions
    found = scores.to(directions).topk(min(best, scores.shape[1]), dim=1)
    summed = torch.einsum("nb,nbd->nd", found.values, directions[found.indices])
    lengths = summed.norm(dim=1, keepdim=True)
    if not bool((lengths > 1e-6).all()):
        raise ValueError("the best-scored features add up to no direction")
    return summed / lengths


def calibrate(
    bench: Workbench,
    directions: Float[Tensor, "n d_model"],
    prompts: Sequence[Sequence[int]],
    *,
    target_kl: float,
    max_strength: float = MAX_STRENGTH,
    place: Place | None = None,
    progress: Progress | None = None,
) -> Calibrated:
    """Each direction as long as moves the next-token distribution by `target_kl` nats, mean over the prompts.

    Args:
        bench: model and SAE.
        directions: unit vectors; random ones (`tools.survey.projection.random_directions`) for a control.
        prompts: token ids without BOS.
        target_kl: nats.
        max_strength: what no vector exceeds, in usual lengths of the residual stream.
        place: where they are added, if not at the bench's own hook.
        progress: where it is shown how far it is.
    """
    hook = (place or bench.places[0]).hook
    norm = bench.usual_norm if place is None else bench.measure_norm(hook)

    def change(which: Int64[Tensor, " rows"], norms: Float[Tensor, " rows"]) -> Change:
        vectors = directions[which] * norms.to(directions)[:, None]
        if hook.name == bench.hook_name:
            return Addition(vectors)
        return Stacked(Addition(torch.zeros_like(vectors)), {hook.name: Addition(vectors)})

    found = choose_strengths(
        bench,
        prompts,
        change,
        len(directions),
        target_kl=target_kl,
        max_norm=max_strength * norm,
        first_norm=min(FIRST_STRENGTH, max_strength) * norm,
        progress=progress,
    )
    lengthened = directions * found.norms.to(directions)[:, None]
    return Calibrated(Addition(lengthened), found.norms / norm, found.kl)
