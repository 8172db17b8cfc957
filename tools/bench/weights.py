"""Weights that cannot be right, found before anything is read off them, and said by the tensor's name."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from tools.errors import LoadError


@torch.no_grad()
def check_tensors(tensors: Iterable[tuple[str, Tensor]], owner: str) -> None:
    """Look at every weight once.

    Args:
        tensors: by name.
        owner: whose they are, as the error's sentence begins.

    Raises:
        LoadError: one holds values that are no finite numbers, or is a matrix of zeros, as weights are that were never
            trained or never written.
    """
    for name, tensor in tensors:
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        low, high = (float(bound) for bound in torch.aminmax(tensor))
        if not (abs(low) < float("inf") and abs(high) < float("inf")):
            raise LoadError(f"{owner}: its weight {name} holds values that are not finite numbers")
        if low == high == 0 and tensor.dim() > 1 and tensor.numel() > 1 and not name.endswith("bias"):
            raise LoadError(f"{owner}: its weight {name} is 0 everywhere, as weights are that were never trained")
