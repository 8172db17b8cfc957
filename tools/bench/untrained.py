"""A model as it is before any training: the architecture of another, with weights drawn anew by its own rule.

What an SAE of such a model shows is what tokens and architecture show by themselves; whatever is claimed of a trained
model has to exceed it.
"""

from __future__ import annotations

from typing import Any

import torch


def draw(config: Any, seed: int) -> Any:
    """A model of a configuration with fresh weights, in float32; the same for the same seed and version of torch.

    Args:
        config: of transformers.
        seed: of the weights.
    """
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):  # on the processor; nobody else's numbers change
        torch.manual_seed(seed)
        model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return model.eval()
