"""Whether a feature keeps the promise of its projection: its causal effect on the tokens that the projection names.

The tokens must be among those that the feature really moves, compared with others as frequent, and the movement must be of
a size with the promise. Otherwise a label that rests on them rests on the projection only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.effects.causal import CausalEffect
from tools.records import CausalEvidence, CausalVerdict, TokenChange
from tools.study.definition import LensName

MATCHED_REACH = 25
"""Tokens on either side, by frequency, that a reference token is compared with."""
CONFIRMED_AUROC = 0.7
"""Below this the reference tokens are not among those that the feature moves up; at most its complement, it moves them down."""
LEAST_PROMISE = 0.1
"""Share of the promised change that must be there; with less, later layers have erased it, whatever the order of the rest."""
MOST_MOVED = 10


def describe_effect(
    bench: Workbench,
    effect: CausalEffect,
    direction: Float[Tensor, " d_model"],
    lens: Float[Tensor, "d_model d_vocab"],
    lens_name: LensName,
    token_ids: Int64[np.ndarray, " k"],
    order: FrequencyOrder,
) -> CausalEvidence:
    """One direction's causal evidence.

    Args:
        bench: model and SAE.
        effect: what was measured.
        direction: unit vector.
        lens: what the direction was projected on.
        lens_name: `direct` promises before the final norm, `effect` behind it.
        token_ids: the tokens it is said to promote.
        order: of the vocabulary by frequency.
    """
    ids = torch.from_numpy(token_ids)
    direct = direction @ bench.W_U[:, ids.to(direction.device)]
    read = direction @ lens[:, ids.to(direction.device)]
    promised = (effect.scaled if lens_name == "direct" else effect.activation) * read.cpu()
    having = effect.having
    auroc = matched_auroc(having.numpy(), token_ids, order)
    promise_ratio = ratio(having[ids], promised)
    raised, lowered = (having.topk(min(MOST_MOVED, len(having)), largest=up) for up in (True, False))
    return CausalEvidence(
        n_contexts=effect.n_positions,
        ablation_effect=float(effect.ablated[ids].mean()),
        survival_ratio=ratio(effect.ablated[ids], -effect.scaled * direct.cpu()),
        addition_effect=float(effect.added[ids].mean()),
        promise_ratio=promise_ratio,
        projection_curve=effect.curve,
        auroc=auroc,
        verdict=judge_effect(auroc, promise_ratio),
        raised=list_changes(raised.indices, raised.values, bench.token_strings),
        lowered=list_changes(lowered.indices, lowered.values, bench.token_strings),
    )


def list_changes(
    ids: Int64[Tensor, " k"], values: Float[Tensor, " k"], tokens: Sequence[str]
) -> tuple[TokenChange, ...]:
    """Tokens with their changes, to four digits."""
    return tuple(
        TokenChange(token_id=i, token=str(tokens[i]), change=round(value, 4))
        for i, value in zip(ids.tolist(), values.tolist(), strict=True)
    )


def ratio(found: Float[Tensor, " k"], promised: Float[Tensor, " k"]) -> float | None:
    """Mean found over mean promised change: 1 as promised, 0 erased, negative reversed; None where nothing is promised."""
    mean = float(promised.mean())
    return None if abs(mean) < 1e-9 else float(found.mean()) / mean


class FrequencyOrder(NamedTuple):
    """The vocabulary by frequency in a corpus."""

    tokens: Int64[np.ndarray, " d_vocab"]
    """Ids, rarest first; equally frequent ones in an order drawn by the seed."""
    places: Int64[np.ndarray, " d_vocab"]
    """Of each id among them."""


def order_by_frequency(
    tokens: Int64[np.ndarray, "rows width"], real: Bool[np.ndarray, "rows width"], d_vocab: int, seed: int
) -> FrequencyOrder:
    """Order the vocabulary by how often each token occurs at the real positions."""
    counts = np.bincount(tokens[real], minlength=d_vocab)
    order = np.lexsort((np.random.default_rng([seed, 4_000_037]).random(d_vocab), counts))
    places = np.empty(d_vocab, dtype=np.int64)
    places[order] = np.arange(d_vocab)
    return FrequencyOrder(order, places)


def matched_auroc(
    effect: Float[np.ndarray, " d_vocab"], token_ids: Int64[np.ndarray, " k"], order: FrequencyOrder
) -> float | None:
    """How often one of some tokens is moved up more than a token about as frequent; None where there is none other.

    The area under the ROC curve, taken token by token against the nearest by frequency, and averaged: rare tokens move
    together whatever is done, and comparing them with common ones would call any rare word an effect.
    """
    shares: list[float] = []
    chosen = set(token_ids.tolist())
    for token in token_ids.tolist():
        place = int(order.places[token])
        first = max(0, min(place - MATCHED_REACH, len(order.tokens) - 2 * MATCHED_REACH - 1))
        near = [i for i in order.tokens[first : first + 2 * MATCHED_REACH + 1].tolist() if i not in chosen]
        if near:
            shares.append(float(np.mean((effect[near] < effect[token]) + 0.5 * (effect[near] == effect[token]))))
    return float(np.mean(shares)) if shares else None


def judge_effect(auroc: float | None, promise_ratio: float | None) -> CausalVerdict | None:
    """What an intervention says of a projection: whether its tokens are really among those the feature moves.

    `confirmed` and `reversed` need both the order (AUROC at least 0.7, at most 0.3) and a tenth of the promised size;
    anything else rests on the projection only. None where there is nothing to judge.
    """
    if auroc is None or promise_ratio is None:
        return None
    if auroc >= CONFIRMED_AUROC and promise_ratio >= LEAST_PROMISE:
        return "confirmed"
    if auroc <= 1 - CONFIRMED_AUROC and promise_ratio <= -LEAST_PROMISE:
        return "reversed"
    return "projection only"
