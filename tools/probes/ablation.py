"""Texts as a probe reads them once features are taken out: their activations set to 0, the SAE's error kept.

Where a feature writes into what the probe reads, at the SAE's own hook, its mean contribution is subtracted, exactly and
at no cost. Anywhere later the model is run again with the features taken out at every token of the text; BOS and
attention sinks, whose activations say nothing of text, are left as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tools.bench.workbench import ResidualEdit, Workbench
from tools.probes.pooling import Batch, Pooled, pool_at


def ablate_pooled(
    pooled: Pooled, directions: Float[np.ndarray, "d_sae d_model"], features: Sequence[int]
) -> Float[np.ndarray, "texts d_model"]:
    """Mean residual streams at the SAE's hook without some features.

    Args:
        pooled: with them.
        directions: unit decoder rows.
        features: by number; none leaves everything as it is.
    """
    chosen = np.asarray(features, dtype=np.int64)
    written = pooled.features[:, chosen].astype(np.float64) @ directions[chosen].astype(np.float64)
    return (pooled.residual - written).astype(np.float32)


def ablate_at(
    bench: Workbench, texts: Sequence[str], hook_name: str, features: Sequence[int]
) -> Float[np.ndarray, "texts d_model"]:
    """Mean residual streams at any hook from the SAE's on, with some features taken out at the SAE's.

    Raises:
        StudyError: a text has no token that counts.
    """
    return pool_at(bench, texts, hook_name, lambda batch: take_out(bench, batch, features))


def take_out(bench: Workbench, batch: Batch, features: Sequence[int]) -> ResidualEdit:
    """The edit that sets features to 0 at the tokens of a text."""
    chosen = torch.tensor(list(features), dtype=torch.int64, device=bench.directions.device)

    def edit(residual: Float[Tensor, "rows positions d_model"]) -> Float[Tensor, "rows positions d_model"]:
        if not len(chosen):
            return residual
        active = bench.encode(residual, chosen).masked_fill(~batch.counted[..., None], 0.0)
        return residual - (active @ bench.directions[chosen]).to(residual)

    return edit
