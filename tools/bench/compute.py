"""Where a model is computed, how precisely, and how much memory one step may take."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import torch

from tools.errors import LoadError
from tools.records import Precision

BUDGET = 2**30
"""Bytes that the working arrays of one step may take, weights aside."""
SHARE = 0.5
"""Of the memory there is: a model whose float32 weights take more is computed in bfloat16."""


class Compute(NamedTuple):
    """What is asked for; `Workbench` says what was found."""

    device: str = "cpu"
    """As `choose_device` takes it."""
    precision: Precision = "float32"
    """Of the language model; the SAE and every statistic are float32 in either case."""
    budget: int = BUDGET


def settle_precision(asked: Precision, of_study: Precision) -> Precision:
    """What a command asks for; `auto` leaves it to the study, whose `auto` leaves it to the memory there is."""
    return of_study if asked == "auto" else asked


def choose_device(name: str) -> str:
    """The device to compute on: `auto` takes CUDA where there is one, then MPS, then the processor.

    Raises:
        LoadError: the name is none that torch knows, or no such device is here.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(kind for kind, is_there in there.items() if is_there)
    kind, _, number = name.partition(":")
    if kind not in there or (number and not (number.isdecimal() and len(number) < 5)):
        raise LoadError(f"no device is called {name!r}: use auto, cpu, cuda, cuda:N or mps")
    if not there[kind] or (kind == "cuda" and int(number or 0) >= torch.cuda.device_count()):
        raise LoadError(f"device {name} is not available here: use auto or cpu")
    return name


def choose_dtype(precision: Precision, n_parameters: int, memory: int) -> torch.dtype:
    """The model's dtype: `auto` is float32 unless its weights would take more than half of the memory.

    Args:
        precision: what is asked for.
        n_parameters: of the model.
        memory: bytes of the device.
    """
    if precision == "auto":
        return torch.bfloat16 if 4 * n_parameters > SHARE * memory else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def count_threads() -> int:
    """Threads that one operation on the processor is divided among."""
    return torch.get_num_threads()


def device_memory(device: str) -> int:
    """Bytes of a device; of the machine where it shares the machine's memory."""
    if device.startswith("cuda"):
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def count_parameters(config: Any) -> int:
    """Parameters of the causal language model of a configuration; nothing is allocated."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())
