"""What benchmarks are measured against: the published study's way of doing the same work (Gupta and Sica 2024).

Written anew from what its scripts and notebooks do, loop for loop, with none of their side effects.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from scipy.spatial.distance import cosine
from torch import Tensor

_EPSILON = 1e-8


class Listed(NamedTuple):
    """Top tokens of every feature and the statistics of its row."""

    top_ids: list[list[int]]
    top_weights: list[list[float]]
    statistics: pd.DataFrame


def project_features(W_dec: Float[Tensor, "n d_model"], W_U: Float[Tensor, "d_model d_vocab"], k: int) -> Listed:
    """The whole product at once, its rows' moments as a frame, then a loop of one top-k a feature."""
    projection = W_dec @ W_U
    statistics = _describe_rows(projection)
    top_ids: list[list[int]] = []
    top_weights: list[list[float]] = []
    for row in projection:
        best = torch.topk(row, k)
        top_ids.append(best.indices.tolist())
        top_weights.append(best.values.tolist())
    return Listed(top_ids, top_weights, statistics)


def _describe_rows(projection: Float[Tensor, "n d_vocab"]) -> pd.DataFrame:
    """Moments by standard scores, each step a matrix as large as the product, as SAELens used to make them."""
    mean = projection.mean(dim=1, keepdim=True)
    differences = projection - mean
    std = torch.pow(torch.mean(torch.pow(differences, 2.0), dim=1, keepdim=True), 0.5)
    standard = differences / std
    return pd.DataFrame(
        {
            "mean": mean[:, 0].numpy(),
            "std": std[:, 0].numpy(),
            "skewness": torch.mean(torch.pow(standard, 3.0), dim=1).numpy(),
            "kurtosis": torch.mean(torch.pow(standard, 4.0), dim=1).numpy(),
        }
    )


def score_features(
    top_tokens: Sequence[Sequence[str]], top_weights: Float[np.ndarray, "n k"], vectors: Mapping[str, np.ndarray]
) -> list[float]:
    """Coherence of every feature by a loop over the pairs of its cleaned tokens; NaN for fewer than two with a vector."""
    scores: list[float] = []
    for tokens, weights in zip(top_tokens, top_weights.tolist(), strict=True):
        cleaned = [re.sub("[^a-z]", "", token.strip().lower()) for token in tokens]
        valid = [(vectors[word], weight) for word, weight in zip(cleaned, weights, strict=True) if word in vectors]
        numerator = denominator = 0.0
        for i in range(len(valid)):
            for j in range(i + 1, len(valid)):
                weight = valid[i][1] * valid[j][1]
                numerator += weight * (1 - cosine(valid[i][0], valid[j][0]))
                denominator += weight
        scores.append(numerator / (denominator + _EPSILON) if len(valid) > 1 else float("nan"))
    return scores


@torch.no_grad()
def steer_feature(
    bridge: Any,
    hook_name: str,
    prompt: Int64[Tensor, "1 positions"],
    vector: Float[Tensor, " d_model"],
    new_tokens: int,
) -> list[list[int]]:
    """One steered and one unsteered continuation, a text at a time, by the library's own generation with a key-value cache.

    The hook adds to every position but the last and leaves a single position alone, so that with the cache no generated
    token is steered: that is what the study did, and it takes the same time as steering them.
    """

    def add(residual: Tensor, hook: Any) -> Tensor:
        if residual.shape[1] > 1:
            residual[:, :-1, :] += vector
        return residual

    def continue_prompt() -> list[int]:
        made: Tensor = bridge.generate(
            prompt,
            max_new_tokens=new_tokens,
            temperature=1.0,
            top_p=0.3,
            freq_penalty=1.0,
            stop_at_eos=False,
            verbose=False,
        )
        return made[0, prompt.shape[1] :].tolist()

    with warnings.catch_warnings():
        # Its generation still names the cache as transformers did before 5.24. The attention finds it by either name
        # (tools.bench.loading), and the library's own generation is what is compared with.
        warnings.filterwarnings("ignore", message="`past_key_values` is deprecated", category=FutureWarning)
        with bridge.hooks(fwd_hooks=[(hook_name, add)]):
            steered = continue_prompt()
        return [steered, continue_prompt()]
