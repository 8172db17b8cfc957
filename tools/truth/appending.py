"""Planted directions as features of an SAE, behind its own.

So that the SAE reconstructs as it did, what is planted writes a thousandth of what a feature writes; steering, which sets
its own strength, is the same for all, and taking a planted feature out does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tools.errors import LoadError
from tools.study.corpus import Corpus
from tools.truth.planting import Direction

if TYPE_CHECKING:
    from tools.bench.workbench import Workbench

SCALE = 1e-3
"""Length of a planted decoder row, where a feature's own is about 1."""
ROWS = 64
"""Of text, that a top-k SAE's threshold is found on."""


def match_threshold(bench: Workbench, corpus: Corpus) -> float | None:
    """What a top-k SAE's activations have to exceed, so that as many features are active on average; None for others."""
    autoencoder = bench.autoencoder
    if autoencoder.k is None:
        return None
    rows = bench.read_text(corpus.study, "train", bench.row_width)
    tokens, real = (torch.from_numpy(part[:ROWS]) for part in (rows.tokens, rows.real))
    read = autoencoder.read_preactivations(bench.residuals(tokens)[real])
    return float(np.quantile(read.own.detach().cpu().numpy(), 1 - autoencoder.k / bench.d_sae))


def append_to(sae: Any, threshold: float | None, planted: Sequence[Direction]) -> Any:
    """A JumpReLU SAE with all of an SAE's features, and the planted ones behind them.

    Args:
        sae: of SAELens; standard, JumpReLU or top-k.
        threshold: for a top-k one, what an activation has to exceed instead of competing, in the units that it competes in.
        planted: in order.

    Raises:
        LoadError: it is of another architecture, or reads its input through a normalisation.
    """
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig

    architecture = str(sae.cfg.architecture())
    if architecture not in ("standard", "jumprelu", "topk") or sae.cfg.normalize_activations != "none":
        raise LoadError(
            "features are appended to standard, JumpReLU and top-k SAEs that read the residual stream as it is, and this one "
            f"is {architecture} with {sae.cfg.normalize_activations} normalisation"
        )
    norms = sae.W_dec.detach().float().norm(dim=1)
    carried = bool(getattr(sae.cfg, "rescale_acts_by_decoder_norm", False))
    fold = torch.where(norms > 0, norms, torch.ones_like(norms)) if carried else torch.ones_like(norms)
    own = torch.zeros_like(norms) if architecture == "standard" else None
    own = sae.threshold.detach().float() if architecture == "jumprelu" else own
    own = torch.full_like(norms, threshold or 0.0) if own is None else own
    readings = torch.tensor(np.stack([one.reading for one in planted]), dtype=torch.float32)
    rows = torch.tensor(np.stack([one.direction for one in planted]), dtype=torch.float32)
    bias, n = sae.b_dec.detach().float(), len(planted)
    shift = readings @ bias if sae.cfg.apply_b_dec_to_input else torch.zeros(n)
    config = JumpReLUSAEConfig(
        d_in=sae.cfg.d_in,
        d_sae=sae.cfg.d_sae + n,
        apply_b_dec_to_input=sae.cfg.apply_b_dec_to_input,
        metadata=sae.cfg.metadata,
    )
    made = JumpReLUSAE(config)
    with torch.no_grad():
        made.W_enc.copy_(torch.cat([sae.W_enc.detach().float() * fold, readings.T], dim=1))
        made.b_enc.copy_(
            torch.cat([sae.b_enc.detach().float() * fold, shift - torch.tensor([one.threshold for one in planted])])
        )
        made.W_dec.copy_(torch.cat([sae.W_dec.detach().float() / fold[:, None], SCALE * rows]))
        made.b_dec.copy_(bias)
        made.threshold.copy_(torch.cat([own, torch.zeros(n)]))
    return made
