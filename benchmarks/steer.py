"""Texts written while the residual stream is rewritten, against the same texts written plainly.

On the studies that ship: `pocket`, and `smollm2` where its model has been fetched. Both arms are the same loop, with a
key-value cache and the same random numbers; the baseline adds a vector of zeros. What is added a token is the difference
over the tokens of all texts, one text alone or many in a batch. Beside it, how the features of a support are written: their
decoder rows gathered, against the whole dictionary multiplied.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from benchmarks.measure import Arm, equal, race, row
from benchmarks.records import Reach, Result, Setting
from tools.bench.compute import Compute
from tools.bench.loading import load_arm
from tools.bench.workbench import Workbench
from tools.effects.intervention import Addition, Change
from tools.effects.steering import generate, row_noise
from tools.errors import StudyError
from tools.study.reading import load_study
from tools.toward.adding import score_direction
from tools.toward.rewriting import rewrite
from tools.toward.support import choose_support

T = TypeVar("T")


class Made(NamedTuple):
    """What a call wrote, and the processor's seconds that it took: on a busy machine they say more than the clock's."""

    tokens: Int64[np.ndarray, "rows new"]
    cpu_s: float


class Size(NamedTuple):
    """How much is generated."""

    studies: tuple[str, ...]
    batches: tuple[int, ...]
    """Texts at a time."""
    new_tokens: int
    calls: int
    """Of either way to write a support."""


SIZES = {
    "small": Size(("pocket",), (2,), 3, 2),
    "full": Size(("pocket", "smollm2"), (1, 32), 24, 200),
}
PROMPT = "The captain of the"
TOP_K = 40
STRENGTH = 0.3
"""Of the vector added, in usual lengths of the residual stream."""
PUBLISHED_MS = 1.0
"""Added a token, on a GPU and not optimised (IBM's sae-steering)."""


def measure(setting: Setting) -> list[Result]:
    """Every way to steer on every study at hand, in batches of each size."""
    size = SIZES[setting.scale]
    results: list[Result] = []
    for name in size.studies:
        bench = _load(name)
        if bench is not None:
            for n in size.batches:
                results += _measure(setting, size, bench, name, n)
            results.append(_measure_writing(setting, size, bench, name))
    return results


def _load(name: str) -> Workbench | None:
    """The study's base arm in its own precision; None where its model has not been fetched."""
    study = load_study(str(Path(__file__).parents[1] / "studies" / name))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load_arm(study, "base", Compute(precision=study.precision))
    except StudyError:
        return None


def _measure(setting: Setting, size: Size, bench: Workbench, name: str, n: int) -> list[Result]:
    scores = torch.rand(1, bench.d_sae, generator=torch.Generator().manual_seed(0))
    support = choose_support(bench)
    many = torch.zeros(n, dtype=torch.int64)
    plain: Change = Addition(torch.zeros(n, bench.W_U.shape[0]))
    changes: dict[str, Change] = {
        "reconstruction": rewrite(bench, scores, "reconstruction", support).take(many),
        "swap": rewrite(bench, scores, "swap", support).take(many),
        "add": Addition(STRENGTH * bench.usual_norm * score_direction(bench, scores)).take(many),
    }
    unchanged = rewrite(bench, torch.ones_like(scores), "swap", support).take(many)
    write = partial(_write, bench, size.new_tokens)
    write(changes["swap"])  # whatever is made once is made
    different = int((write(unchanged).tokens != write(plain).tokens).any(axis=1).sum())
    results: list[Result] = []
    for arm, change in changes.items():
        found = race(
            Arm("the same texts written plainly", partial(write, plain)),
            Arm("", partial(write, change)),
            setting.rounds,
        )
        tokens = n * size.new_tokens
        added = 1000 * float(np.median(np.subtract(found.ours_s, found.baseline_s))) / tokens
        reaches = [
            Reach(
                what="added ms a token",
                value=added,
                limit=PUBLISHED_MS,
                sense="at most",
                judged=setting.scale == "full",
            )
        ]
        if arm == "swap":
            reaches.append(equal("texts that equal scores change", different, 0))
        texts = f"{n} text{'s' if n > 1 else ''} of {size.new_tokens} tokens"
        what = f"{texts}, {bench.d_sae:,} features, k = {support.k}, {str(bench.dtype).removeprefix('torch.')}"
        plain_ms, own_ms = (1000 * made.cpu_s / tokens for made in (found.baseline_result, found.ours_result))
        notes = [f"processor's ms a token in the last round: plain {plain_ms:.2f}, ours {own_ms:.2f}"]
        results.append(row(f"steer {name} {n} {arm}", what, found, reaches, notes))
    return results


def _write(bench: Workbench, new_tokens: int, change: Change) -> Made:
    noise = np.stack([row_noise(f"benchmark|{i}", new_tokens) for i in range(len(change.signature()))])
    began = time.process_time()
    made = generate(bench, bench.tokenize(PROMPT), change, noise, temperature=1.0, top_k=TOP_K)
    return Made(made.tokens, time.process_time() - began)


def _measure_writing(setting: Setting, size: Size, bench: Workbench, name: str) -> Result:
    """The features of a support written, as many positions at once as a step of the largest batch has."""
    n, k, autoencoder = max(size.batches), choose_support(bench).k, bench.autoencoder
    generator = torch.Generator().manual_seed(1)
    features = torch.rand(n, bench.d_sae, generator=generator).topk(2 * k, dim=1).indices
    activations = torch.randn(n, 2 * k, generator=generator)

    def densely() -> Float[Tensor, "n d_model"]:
        return torch.zeros(n, bench.d_sae).scatter_(1, features, activations) @ autoencoder.directions

    def gathered() -> Float[Tensor, "n d_model"]:
        return autoencoder.write_some(features, activations)

    found = race(
        Arm("the whole dictionary multiplied", partial(_repeat, densely, size.calls)),
        Arm("", partial(_repeat, gathered, size.calls)),
        setting.rounds,
    )
    difference = float((found.baseline_result - found.ours_result).abs().max())
    what = f"{2 * k} of {bench.d_sae:,} features written at {n} positions, {size.calls} times"
    return row(f"steer {name} writing", what, found, [equal("largest difference", difference, 1e-3)])


def _repeat(call: Callable[[], T], times: int) -> T:
    for _ in range(times - 1):
        call()
    return call()
