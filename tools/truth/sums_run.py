"""An SAE held against the directions that its activations are sums of, by SAELens' own measures, in one pass of examples."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tools.bench.weights import check_tensors
from tools.truth.sums_truth import Recovered
from tools.worlds.sums import Sums
from tools.worlds.world import Split

SHARES = tuple(i / 10 for i in range(1, 10))
"""Of a direction's usual strength: thresholds that the directions themselves, as an SAE, may have."""


@torch.no_grad()
def measure_recovery(sae: Any, sums: Sums, examples: int, seed: int = 0, split: Split = "test") -> Recovered:
    """Measure one SAE, whichever architecture, trained or not.

    Memory is that of a few thousand examples and of a table of features and directions.

    Args:
        sae: of SAELens; in evaluation mode behind this.
        sums: the world whose activations it reads as they are.
        examples: how many to measure on.
        seed: of the examples.
        split: that they come from.

    Raises:
        LoadError: a weight is no finite number. Of such an SAE SAELens' uniqueness and F1 would be figures like any other.
    """
    from sae_lens.evals import ExplainedVarianceCalculator
    from sae_lens.synthetic import ClassificationMetricsCalculator, DeadLatentsCalculator, L0Calculator

    sae.eval()
    check_tensors(sae.named_parameters(), "this SAE")
    decoder, directions = sae.W_dec.detach().float().cpu(), sums.directions
    told, exchanged = (ClassificationMetricsCalculator(decoder, directions) for _ in range(2))
    l0, dead, explained = L0Calculator(), DeadLatentsCalculator(len(decoder)), ExplainedVarianceCalculator()
    for drawn in sums.draw(split, seed, total=examples):
        activations = drawn.activations.to(sae.device)
        coded = sae.encode(activations)
        explained.add_batch(sae.decode(coded), activations)
        coded = coded.cpu()
        l0.add_batch(coded)
        dead.add_batch(coded)
        told.add_batch(coded, drawn.strengths)
        exchanged.add_batch(coded, drawn.strengths.roll(1, 0))  # examples are independent: the next one's is any one's
    found = told.compute()
    return Recovered(
        **_match(decoder, directions, dead.latent_ever_fired),
        f1=found.f1_score,
        precision=found.precision,
        recall=found.recall,
        exchanged_f1=exchanged.compute().f1_score,
        l0=l0.compute(),
        explained_variance=explained.compute(),
        dead=dead.compute(),
    )


def _match(
    decoder: Float[Tensor, "d_sae d_in"], directions: Float[Tensor, "n d_in"], active: Bool[Tensor, " d_sae"]
) -> dict[str, float]:
    """By SAELens' measures on all rows, and on those of active features alone: MCC with the others' rows set to 0."""
    from sae_lens.synthetic import feature_uniqueness, mean_correlation_coefficient

    share = float(active.float().mean())
    return {
        "mcc": mean_correlation_coefficient(decoder, directions),
        "mcc_active": mean_correlation_coefficient(decoder * active[:, None], directions),
        "uniqueness": feature_uniqueness(decoder, directions),
        "uniqueness_active": feature_uniqueness(decoder[active], directions) * share,
    }


def count_presences(sums: Sums, examples: int, seed: int = 0) -> float:
    """Directions in an example, on average: the L0 of the truth."""
    drawn = sums.draw("test", seed, total=examples)
    return sum(int((some.strengths > 0).sum()) for some in drawn) / examples


def measure_directions(sums: Sums, examples: int, seed: int = 0) -> Recovered:
    """The directions themselves as an SAE, with the threshold that tells presences best on a fifth as many development examples.

    The threshold is one share of every direction's usual strength. Where directions overlap, what is read along one is in
    part others', so its F1 is below 1.
    """
    few = max(1, examples // 5)
    chosen = max(SHARES, key=lambda share: measure_recovery(as_sae(sums, share), sums, few, seed, "development").f1)
    return measure_recovery(as_sae(sums, chosen), sums, examples, seed)


def as_sae(sums: Sums, share: float) -> Any:
    """The directions as encoder and decoder; a feature is active above a share of its direction's usual strength."""
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig
    from sae_lens.synthetic import init_sae_to_match_feature_dict

    with torch.no_grad(), torch.random.fork_rng(devices=()):  # the library draws noise, of no size
        n, d_in = sums.directions.shape
        sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=d_in, d_sae=n))
        init_sae_to_match_feature_dict(sae, sums.model.feature_dict)
        sae.b_dec.copy_(sums.model.feature_dict.bias)
        sae.threshold.copy_(share * sums.usual_strengths)
    return sae
