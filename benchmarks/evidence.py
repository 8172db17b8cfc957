"""Made-up evidence, as large as that of a real feature and different for every feature."""

from __future__ import annotations

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


def make_evidence(index: int, n_top: int = 8, n_quantiles: int = 4, n_pairs: int = 10) -> Evidence:
    """The evidence of one feature; its words follow from its index, so that no two prompts are the same."""
    rng = np.random.default_rng(index)
    words = _draw_words(rng, 10)
    tokens = tuple(TokenWeight(token_id=i, token=f" {w}", word=w, weight=1 - i / 20) for i, w in enumerate(words))
    contexts = [_make_context(rng, number) for number in range(n_top + n_quantiles)]
    return Evidence(
        feature=FeatureRef(study="benchmark", sae="made", index=index),
        stratum="candidates",
        projection=Projection(top=tokens, bottom=tokens[::-1], mean=0.0, std=1.0, skewness=0.1, kurtosis=3.2),
        keywords=KeywordEvidence(
            hits=tuple(KeywordHit(token=f" {word}", word=word, joined=False) for word in words[:3]),
            n_top=10,
            substring_hits=4,
            null_share=0.004,
        ),
        coherence=CoherenceEvidence(weighted=0.5, deduplicated=0.46, n_valid=10, coverage=1.0, null_share=0.01),
        activations=ActivationEvidence(
            n_tokens=52_000,
            density=0.004,
            max_activation=12.3,
            domain_lift=8.2,
            top=tuple(contexts[:n_top]),
            quantiles=tuple(
                context.model_copy(update={"quantile": number}) for number, context in enumerate(contexts[n_top:], 1)
            ),
        ),
        steering=SteeringEvidence(
            metric="made up",
            policy="all",
            unit="residual_norm",
            strength=0.41,
            kl=0.5,
            hook_calls=24,
            positions_steered=31,
            pairs=tuple(_make_pair(rng, seed) for seed in range(n_pairs)),
            win_rate=0.8,
            n=n_pairs,
            null_win_rate=0.5,
            log_probability_lift=1.2,
        ),
        causal=CausalEvidence(n_contexts=37, ablation_effect=-0.42, survival_ratio=0.8),
    )


def _draw_words(rng: np.random.Generator, n: int) -> list[str]:
    return ["".join(rng.choice(_SYLLABLES, 3)) for _ in range(n)]


def _make_context(rng: np.random.Generator, number: int) -> Context:
    return Context(
        document=f"document-{number}",
        tokens=tuple(f" {word}" for word in _draw_words(rng, 32)),
        activations=tuple(8.1 if place == 16 else 0.0 for place in range(32)),
        max_activation=8.1,
    )


def _make_pair(rng: np.random.Generator, seed: int) -> SteeredPair:
    unsteered, steered, random, flipped = (" " + " ".join(_draw_words(rng, 20)) for _ in range(4))
    return SteeredPair(
        prompt="The history of the",
        seed=seed,
        unsteered=unsteered,
        steered=steered,
        random=random,
        flipped=flipped,
        score_unsteered=0.1,
        score_steered=0.4,
        score_random=0.1,
        score_flipped=0.0,
        collapsed=False,
    )
