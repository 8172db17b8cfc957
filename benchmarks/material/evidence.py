"""Typical evidence on one feature, as large as the embedded study makes it: for measurements of speed, and for tests.

`typical_*` fill every field of a record with a plausible value; whatever matters to the caller it names itself.
`make_evidence` draws words too, others for every feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tools.records import (
    ActivationEvidence,
    CausalEvidence,
    CoherenceEvidence,
    Context,
    Evidence,
    FeatureRef,
    KeywordEvidence,
    KeywordHit,
    Projection,
    SteeredPair,
    SteeringEvidence,
    TokenWeight,
)

_SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "ru", "sa", "te", "vi", "zo")


def typical_evidence(
    words: Sequence[str],
    top: Sequence[Context],
    quantiles: Sequence[Context],
    pairs: Sequence[SteeredPair],
    **changes: Any,
) -> Evidence:
    """All instruments' evidence on a candidate of medicine.

    Args:
        words: its tokens, ten as a rule; the first five are in the domain's vocabulary.
        top: where it is most active.
        quantiles: where it is less so.
        pairs: of steered text, of which it wins all.
        changes: fields of the record that are otherwise.
    """
    tokens = tuple(TokenWeight(token_id=i, token=f" {w}", word=w, weight=1 - i / 20) for i, w in enumerate(words))
    hits = tuple(KeywordHit(token=f" {word}", word=word, joined=False) for word in words[:5])
    fields: dict[str, Any] = {
        "feature": FeatureRef(study="toy", sae="base", index=4711),
        "stratum": "candidates",
        "projection": Projection(top=tokens, bottom=tokens, mean=0, std=1, skewness=0, kurtosis=3),
        "keywords": KeywordEvidence(hits=hits, n_top=10, substring_hits=6, null_share=0.004),
        "coherence": CoherenceEvidence(weighted=0.5, deduplicated=0.46, n_valid=10, coverage=1.0, null_share=0.01),
        "activations": ActivationEvidence(
            n_tokens=52_000,
            density=0.004,
            max_activation=12.3,
            domain_lift=8.2,
            peak_documents=20,
            domain_peaks=15,
            domain_share=0.06,
            top=tuple(top),
            quantiles=tuple(quantiles),
        ),
        "steering": typical_steering(pairs),
        "causal": CausalEvidence(n_contexts=37, ablation_effect=-0.42, survival_ratio=0.8),
    }
    return Evidence(**{**fields, **changes})


def typical_steering(pairs: Sequence[SteeredPair] = (), **changes: Any) -> SteeringEvidence:
    """Steering that wins every pair, against a null of one half."""
    fields: dict[str, Any] = {
        "metric": "made up",
        "policy": "all",
        "unit": "residual_norm",
        "strength": 0.41,
        "kl": 0.5,
        "hook_calls": 24,
        "positions_steered": 31,
        "pairs": tuple(pairs),
        "win_rate": 1.0,
        "n": len(pairs),
        "null_win_rate": 0.5,
        "log_probability_lift": 1.2,
    }
    return SteeringEvidence(**{**fields, **changes})


def typical_pair(seed: int, **changes: Any) -> SteeredPair:
    """One continuation without and with the feature, with a random direction and with the feature's opposite."""
    fields: dict[str, Any] = {
        "prompt": "The history of the",
        "seed": seed,
        "unsteered": " u",
        "steered": " s",
        "random": " x",
        "flipped": " y",
        "score_unsteered": 0.1,
        "score_steered": 0.4,
        "score_random": 0.1,
        "score_flipped": 0.0,
        "collapsed": False,
    }
    return SteeredPair(**{**fields, **changes})


def make_evidence(index: int, n_top: int = 8, n_quantiles: int = 4, n_pairs: int = 10) -> Evidence:
    """The evidence of one feature; its words follow from its index, so that no two prompts are the same."""
    rng = np.random.default_rng(index)
    words = _draw_words(rng, 10)
    contexts = [_make_context(rng, number) for number in range(n_top + n_quantiles)]
    quantiles = [context.model_copy(update={"quantile": number}) for number, context in enumerate(contexts[n_top:], 1)]
    pairs = [typical_pair(seed, **_draw_texts(rng)) for seed in range(n_pairs)]
    feature = FeatureRef(study="benchmark", sae="made", index=index)
    return typical_evidence(words, contexts[:n_top], quantiles, pairs, feature=feature)


def _draw_words(rng: np.random.Generator, n: int) -> list[str]:
    return ["".join(rng.choice(_SYLLABLES, 3)) for _ in range(n)]


def _draw_texts(rng: np.random.Generator) -> dict[str, str]:
    names = ("unsteered", "steered", "random", "flipped")
    return {name: " " + " ".join(_draw_words(rng, 20)) for name in names}


def _make_context(rng: np.random.Generator, number: int) -> Context:
    return Context(
        document=f"document-{number}",
        tokens=tuple(f" {word}" for word in _draw_words(rng, 32)),
        activations=tuple(8.1 if place == 16 else 0.0 for place in range(32)),
        max_activation=8.1,
    )
