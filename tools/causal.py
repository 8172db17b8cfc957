"""What a feature does to the logits where it is really active, against what its projection promises.

A projection reads weights. Later layers may erase or reverse what it reads (arXiv 2310.07325), so the promise is held
against an intervention: the feature is set to zero at the positions where it is active, everything else of the residual
stream kept, the SAE's error included.
"""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tools.workbench import Workbench


class AblationEffect(NamedTuple):
    """Mean change in logits when a feature is set to zero, over the positions where it is active."""

    logits: Float[Tensor, " d_vocab"]
    """Ablated minus clean, each position's mean over the vocabulary taken out."""
    promised: Float[Tensor, " d_vocab"]
    """What the projection says of the same ablation: minus activation times logit weight, over the final norm's scale."""
    n_positions: int


def ablate_feature(
    bench: Workbench,
    tokens: Int64[Tensor, "rows positions"],
    activations: Float[Tensor, "rows positions"],
    direction: Float[Tensor, " d_model"],
) -> AblationEffect:
    """Take `activation * direction` out of the residual stream and compare the logits at the active positions.

    Raises:
        ValueError: the feature is nowhere active.
    """
    active: Bool[Tensor, "rows positions"] = activations > 0
    if not bool(active.any()):
        raise ValueError("the feature is active at none of the positions given")
    removed = activations[..., None] * direction  # [rows, positions, d_model]
    clean = bench.final_residual(tokens)[active]  # [n_positions, d_model]
    ablated = bench.final_residual(tokens, lambda residual: residual - removed.to(residual.dtype))[active]
    change = bench.unembed(ablated) - bench.unembed(clean)
    change = change - change.mean(dim=-1, keepdim=True)
    promised = -(activations[active] / _final_scale(bench, clean))[:, None] * (direction @ bench.W_U)
    return AblationEffect(change.mean(dim=0), promised.mean(dim=0), int(active.sum()))


def survival_ratio(effect: AblationEffect, token_ids: Int64[Tensor, " k"]) -> float | None:
    """Real over promised change on some tokens: 1 direct, 0 erased, negative reversed; None where nothing is promised."""
    promised = float(effect.promised[token_ids].mean())
    if abs(promised) < 1e-9:
        return None
    return float(effect.logits[token_ids].mean()) / promised


def _final_scale(bench: Workbench, residual: Float[Tensor, "n d_model"]) -> Float[Tensor, " n"]:
    """What the final norm divides by, so that promise and effect are in the same units."""
    if "RMS" not in str(bench.bridge.cfg.normalization_type):
        residual = residual - residual.mean(dim=-1, keepdim=True)
    return residual.pow(2).mean(dim=-1).add(float(bench.bridge.cfg.eps)).sqrt()
