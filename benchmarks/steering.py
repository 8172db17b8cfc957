"""Steered continuations, every feature with its unsteered twin, against the study's way of one text at a time.

The study samples from the likeliest 30 % with a penalty for repeated tokens, ours from the 40 likeliest; each with its own
library's generation. The speed is that of generation alone: no strength is searched for.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from benchmarks.material.assets import load_quietly, make_study
from benchmarks.measure import Arm, equal, faster, race, row
from benchmarks.published import steer_feature
from benchmarks.records import Result, Setting
from tools.bench.compute import Compute, Precision
from tools.bench.workbench import Workbench
from tools.effects.intervention import Addition
from tools.effects.steering import generate, row_noise, rows_per_batch, split_rows


class Size(NamedTuple):
    """How much is generated."""

    features: int
    sample: int
    """Features that the baseline steers."""
    new_tokens: int
    alone: int
    """Features that are generated alone as well, to see that the texts are the same."""


SIZES = {
    "small": Size(features=6, sample=1, new_tokens=6, alone=2),
    "full": Size(features=64, sample=1, new_tokens=50, alone=2),
}
TIMES: dict[Precision, float] = {"float32": 15.0, "bfloat16": 20.0}
PROMPT = " aaaa baaa caaa daaa eaaa faaa gaaa haaa"
STEERING = f'prompts = ["{PROMPT}"]\nnew_tokens = 1'
STRENGTH = 5.0


def measure(setting: Setting) -> list[Result]:
    """All features in batches, in both precisions, beside a few of them one text at a time."""
    with TemporaryDirectory() as folder:
        study = make_study(Path(folder), setting.scale, STEERING)
        whole, rounded = (load_quietly(study, Compute(precision=precision)) for precision in TIMES)
    return [_measure(setting, whole, whole, "float32"), _measure(setting, whole, rounded, "bfloat16")]


def _measure(setting: Setting, published: Workbench, bench: Workbench, precision: Precision) -> Result:
    size = SIZES[setting.scale]
    features = list(range(size.features))
    prompt = torch.tensor([[bench.bos, *bench.tokenize(PROMPT)]])

    def baseline() -> list[list[list[int]]]:
        vectors = STRENGTH * published.directions[: size.sample]
        return [
            steer_feature(published.bridge, published.hook_name, prompt, vector, size.new_tokens) for vector in vectors
        ]

    found = race(
        Arm("the library's generate, one text at a time, float32", baseline, size.sample / size.features),
        Arm("", lambda: continue_prompt(bench, features, size.new_tokens)),
        setting.rounds,
    )
    texts = 2 * size.features
    n_tokens = texts * size.new_tokens
    reaches = [faster(found, TIMES[precision], judged=setting.scale == "full")]
    if precision == "float32":
        alone = np.concatenate([continue_prompt(bench, [i], size.new_tokens) for i in features[: size.alone]])
        different = count_different(found.ours_result[: size.alone], alone)
        reaches.append(equal("texts that differ from those made alone", different, 0))
    return row(
        f"steering {precision}",
        f"{texts} texts of {size.new_tokens} tokens, half of them steered, {precision}",
        found,
        reaches=reaches,
        notes=[f"tokens/s: baseline {n_tokens / min(found.baseline_s):.1f}, ours {n_tokens / min(found.ours_s):.1f}"],
    )


def continue_prompt(bench: Workbench, features: list[int], new_tokens: int) -> Int64[np.ndarray, "features 2 new"]:
    """An unsteered and a steered text of every feature, with equal random numbers."""
    directions = STRENGTH * bench.directions[features]
    vectors = torch.stack([torch.zeros_like(directions), directions], dim=1).flatten(0, 1)  # [2 features, d_model]
    noise = np.stack([row_noise(f"benchmark|{i}", new_tokens) for i in features for _ in range(2)])
    prompt = bench.tokenize(PROMPT)
    limit = rows_per_batch(bench, 1 + len(prompt) + new_tokens)
    made = [_continue(bench, prompt, vectors[rows], noise[rows.numpy()]) for rows in split_rows(len(vectors), limit)]
    return np.concatenate(made).reshape(len(features), 2, new_tokens)


def _continue(
    bench: Workbench, prompt: list[int], vectors: Float[Tensor, "rows d_model"], noise: Float[np.ndarray, "rows new"]
) -> Int64[np.ndarray, "rows new"]:
    return generate(bench, prompt, Addition(vectors), noise, temperature=1.0, top_k=40).tokens


def count_different(left: Int64[np.ndarray, "n 2 new"], right: Int64[np.ndarray, "n 2 new"]) -> int:
    """Texts that are not the same."""
    return int((left != right).any(axis=-1).sum())
