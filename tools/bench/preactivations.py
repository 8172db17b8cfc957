"""What an SAE's activation function reads, for the architectures in which that is one number for each feature."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Reader = Callable[[Any, Float[Tensor, "rows d_model"]], Float[Tensor, "rows d_sae"]]


class Preactivations(NamedTuple):
    """What an SAE's activation function reads, in the SAE's own units, by which it ranks its features."""

    own: Float[Tensor, "n d_sae"]
    scale: Float[Tensor, "n 1"] | None
    """What normalisation divided by: own times `written_norms` times this is in residual units; None for 1."""


@cache
def top_k_classes() -> tuple[type, ...]:
    """Architectures whose features compete for k places, by their pre-activations; the last one's by magnitude."""
    from sae_lens import AbsTopKSAE, TopKSAE

    return TopKSAE, AbsTopKSAE


@cache
def readers() -> dict[type, Reader]:
    """Architectures whose features are each read by one number, with what computes it.

    By exact class: a subclass may read otherwise. In matching pursuit what a feature reads depends on those taken before it,
    in a temporal SAE on earlier positions.
    """
    from sae_lens import GatedSAE, JumpReLUSAE, StandardSAE

    one = dict.fromkeys((StandardSAE, JumpReLUSAE, *top_k_classes()), _read_one)
    return {**one, GatedSAE: _read_gated}


def _read_one(sae: Any, rows: Float[Tensor, "rows d_model"]) -> Float[Tensor, "rows d_sae"]:
    return torch.addmm(sae.b_enc, rows, sae.W_enc)


def _read_gated(sae: Any, rows: Float[Tensor, "rows d_model"]) -> Float[Tensor, "rows d_sae"]:
    """What the magnitude is made of; negative wherever the gate is shut, so that what it holds back is never chosen."""
    projected = rows @ sae.W_enc
    is_open = projected + sae.b_gate > 0
    magnitude = projected * sae.r_mag.exp() + sae.b_mag
    return torch.where(is_open, magnitude, -magnitude.abs())
