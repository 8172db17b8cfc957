"""How much each feature adds to a probe's logit, text by text.

At the SAE's own hook a linear probe reads a mean of residual streams, and a feature writes its activation times its
direction into each: what it adds is its mean activation times the direction's share of the probe, exactly, and taking it
out takes that away. For a probe on a later hook what lies between is not linear, and integrated gradients stand in: the
features are brought in together from nothing, the SAE's error kept, and the gradients along the way are averaged. They
are taken at the midpoints of the steps, which for a curve is better by an order than their ends: effects add up to what
the logit would lose with all features taken out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.probes.pooling import Batch, count_tokens, iterate_texts
from tools.probes.probe import Probe

STEPS = 10


def exact_effects(
    features: Float[np.ndarray, "texts d_sae"], directions: Float[np.ndarray, "d_sae d_model"], probe: Probe
) -> Float[np.ndarray, "texts d_sae"]:
    """What each feature adds to the logit of a probe on the SAE's own hook.

    Args:
        features: mean activations (`Pooled.features`).
        directions: unit decoder rows.
        probe: on mean residual streams.
    """
    return features.astype(np.float64) * (directions.astype(np.float64) @ probe.weights)


def contrast_effects(
    effects: Float[np.ndarray, "texts n"], positive: Bool[np.ndarray, " texts"]
) -> Float[np.ndarray, " n"]:
    """How much more each feature adds in texts of one class than in those of the other: what it does for the classifier.

    Raises:
        ValueError: a class has no text.
    """
    if not positive.any() or positive.all():
        raise ValueError("both classes need texts")
    return effects[positive].mean(axis=0) - effects[~positive].mean(axis=0)


def class_effects(
    features: Float[np.ndarray, "texts d_sae"],
    positive: Bool[np.ndarray, " texts"],
    directions: Float[np.ndarray, "d_sae d_model"],
    probe: Probe,
) -> Float[np.ndarray, " d_sae"]:
    """The contrast of exact effects for a class against all others, of features more active in the class alone.

    The others get 0, so that no feature is chosen for a class that it is absent from (TPP, arXiv 2411.18895).

    Raises:
        ValueError: the class, or what is not of it, has no text.
    """
    risen = np.maximum(contrast_effects(features.astype(np.float64), positive), 0.0)
    return risen * (directions.astype(np.float64) @ probe.weights)


def integrate_effects(
    bench: Workbench, texts: Sequence[str], hook_name: str, probe: Probe, steps: int = STEPS
) -> Float[np.ndarray, "texts d_sae"]:
    """What each feature adds to the logit of a probe on any hook from the SAE's on, by integrated gradients.

    Args:
        bench: model and SAE.
        texts: those that are measured.
        hook_name: where the probe reads.
        probe: on mean residual streams at that hook.
        steps: gradients that are averaged.

    Raises:
        StudyError: a text has no token that counts.
    """
    counts = count_tokens(bench, texts)
    effects = np.zeros((len(texts), bench.d_sae))
    directions = bench.directions
    for batch in iterate_texts(bench, texts):
        active = bench.encode(batch.residuals).masked_fill(~batch.counted[..., None], 0.0)
        gradient = _mean_gradient(bench, batch, active @ directions, hook_name, probe, steps)
        added = (active * (gradient @ directions.T)).sum(dim=1).double().cpu().numpy()
        np.add.at(effects, batch.texts, added / counts[batch.texts, None])
    return effects


def _mean_gradient(
    bench: Workbench,
    batch: Batch,
    written: Float[Tensor, "rows positions d_model"],
    hook_name: str,
    probe: Probe,
    steps: int,
) -> Float[Tensor, "rows positions d_model"]:
    """Of the sum over a row's tokens of what the probe reads there, by the residual stream at the SAE's hook."""
    weights = torch.from_numpy(probe.weights).to(written)
    total = torch.zeros_like(written)
    for step in range(steps):
        left = 1 - (step + 0.5) / steps
        stream = (batch.residuals - left * written).detach().requires_grad_()
        with torch.enable_grad():
            read = bench.last_residual(batch.tokens, lambda _, given=stream: given, hook_name)
            logit = (read @ weights).masked_fill(~batch.counted, 0.0).sum()
            total += torch.autograd.grad(logit, stream)[0]
    return total / steps


def rank_effects(effects: Float[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """Features by the size of their effect, largest first; of equal ones the first."""
    return np.argsort(-np.abs(effects), kind="stable")
