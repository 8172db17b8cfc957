"""How likely a text is to the model as it is steered: what steering toward it is to raise."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.effects.intervention import Change, Intervention
from tools.study.corpus import TokenRows


def nats_per_token(bench: Workbench, text: TokenRows, change: Change | None) -> Float[np.ndarray, " rows"]:
    """Mean over each row's tokens of minus the log-probability that the model gives them, changed at all positions.

    Args:
        bench: model and SAE.
        text: held out from whatever the change was made of; the same rows under another change are its pairs.
        change: of one row, made in all of them; None leaves the model as it is.

    Returns:
        Nats; NaN for a row without text.
    """
    n, width = text.tokens.shape
    block = max(1, bench.budget // (24 * width * bench.W_U.shape[1]))
    parts: list[Tensor] = []
    for places in np.array_split(np.arange(n), -(-n // block)):
        tokens = torch.from_numpy(text.tokens[places]).to(bench.device)
        real = torch.from_numpy(text.real[places]).to(bench.device)[:, 1:]
        many = None if change is None else change.take(torch.zeros(len(places), dtype=torch.int64))
        logits = bench.logits(tokens, None if many is None else Intervention(many))[:, :-1]
        likely = torch.log_softmax(logits, dim=-1).gather(2, tokens[:, 1:, None])[..., 0]  # [rows, positions - 1]
        parts.append((-(likely * real).sum(dim=1) / real.sum(dim=1)).cpu())
    return torch.cat(parts).numpy()
