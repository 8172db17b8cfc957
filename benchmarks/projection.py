"""Top and bottom tokens and row statistics of every feature, against the study's full product, frame and loop.

At full size the baseline's matrices need about 20 GB, so it projects a share of the features; the product, the statistics
and the loop all grow with their number.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from benchmarks.measure import Arm, equal, faster, race, row, small
from benchmarks.published import Listed, project_features
from benchmarks.records import Result, Setting
from tools.survey.projection import ProjectionTable, project, random_directions


class Size(NamedTuple):
    """Shapes of decoder and unembedding."""

    features: int
    sample: int
    """Features that the baseline projects."""
    d_model: int
    d_vocab: int


SIZES = {
    "small": Size(features=512, sample=128, d_model=32, d_vocab=1000),
    "full": Size(features=24_576, sample=4_096, d_model=768, d_vocab=50_257),
}
TOP_K = 10
TIMES, PEAK_MB = 8.0, 1000.0
ROUNDING = 1e-6
"""Of the product of two norms: what two float32 sums of as many terms may differ by."""


def make_unembedding(d_model: int, d_vocab: int) -> Float[Tensor, "d_model d_vocab"]:
    """Random, with its mean over the vocabulary taken out, as `Workbench.W_U` is."""
    drawn = torch.randn(d_model, d_vocab, generator=torch.Generator().manual_seed(1))
    return drawn.sub_(drawn.mean(dim=1, keepdim=True))


def measure(setting: Setting) -> list[Result]:
    """All features in blocks, beside a share of them at once."""
    size = SIZES[setting.scale]
    judged = setting.scale == "full"
    W_dec, W_U = random_directions(size.features, size.d_model, seed=0), make_unembedding(size.d_model, size.d_vocab)

    def ours() -> ProjectionTable:
        return project(W_dec, W_U, TOP_K)

    def baseline() -> Listed:
        return project_features(W_dec[: size.sample], W_U, TOP_K)

    share = size.sample / size.features
    found = race(Arm("the study's full product, frame and loop", baseline, share), Arm("", ours), setting.rounds)
    theirs, table = found.baseline_result, found.ours_result
    moments = torch.stack([table.mean, table.std, table.skewness, table.kurtosis], dim=1)[: size.sample]
    published = torch.tensor(theirs.statistics[["mean", "std", "skewness", "kurtosis"]].to_numpy())
    return [
        row(
            "projection",
            f"{size.features:,} features of {size.d_model} on {size.d_vocab:,} tokens, top {TOP_K} and moments",
            found,
            reaches=[
                faster(found, TIMES, judged),
                *small(found, PEAK_MB, judged),
                equal(
                    "tokens in another place than in the float32 product, ties within its rounding aside",
                    count_misplaced(
                        W_dec[: size.sample], W_U, table.top_ids[: size.sample], torch.tensor(theirs.top_ids)
                    ),
                    0,
                ),
                equal("largest difference of a moment", float((moments - published).abs().max()), 2e-3),
            ],
            notes=["ours gives the bottom tokens as well"],
        )
    ]


def count_misplaced(
    W_dec: Float[Tensor, "n d_model"],
    W_U: Float[Tensor, "d_model d_vocab"],
    ids: Int64[Tensor, "n k"],
    expected: Int64[Tensor, "n k"],
) -> int:
    """Places with another token than expected, unless the two scores, in float64, are equal up to float32 rounding."""
    features, _ = places = (ids != expected).nonzero(as_tuple=True)
    directions = W_dec[features].double()
    one, other = (W_U[:, listed[places]].T.double() for listed in (ids, expected))
    gap = ((one - other) * directions).sum(dim=1).abs()
    allowed = ROUNDING * directions.norm(dim=1) * torch.maximum(one.norm(dim=1), other.norm(dim=1))
    return int((gap > allowed).sum())
