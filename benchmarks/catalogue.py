"""The benchmarks there are, and how one of them is run."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tools.border.egress import guarded

if TYPE_CHECKING:
    from benchmarks.records import Result, Setting

BENCHMARKS = {
    "projection": "top and bottom tokens and row statistics of every feature, against the full product and its loop",
    "coherence": "coherence of every feature, against a loop over pairs of words",
    "activations": "activations of 300 features over text, against encoding every feature and a bare forward pass",
    "steering": "steered continuations, many features at once, against one feature and one text at a time",
    "steer": "texts written while the residual stream is rewritten by an SAE, against the same texts written plainly",
    "observe": "the observation of 100 features as a whole, against one feature at a time",
    "survey": "time and memory of the survey as the number of features grows",
    "busy": "steered texts beside processes that spin, with threads that sleep while they wait, against such that spin",
    "throughput": "features investigated through the graph with 256 requests in flight, against a bare request loop",
}
"""Name -> what is measured against what. Each is the module of that name, with a function `measure`."""


@guarded(__name__)
def run_benchmark(name: str, setting: Setting, threads: int | None) -> list[Result]:
    """Run one benchmark in this process, on so many threads of torch (None: as many as torch takes)."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    return import_module(f"benchmarks.{name}").measure(setting)
