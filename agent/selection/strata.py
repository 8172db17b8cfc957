"""What strategies share: ranked candidates, and the strata of the other features that controls are drawn from at random.

Without controls no rate means anything: features near the cut, the remaining ones, and random directions that are no
feature. They are drawn alike whatever candidates are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from agent.folder.config import RunConfig
from agent.folder.records import SelectedFeature, Selection, StratumSize
from tools.records import FeatureRef, Stratum
from tools.study.definition import Study

NEAR_SHARE = 0.1
"""The tenth of the other features nearest to the cut makes the stratum of near controls."""


class Strata(NamedTuple):
    """All live features of an SAE, by number, or those drawn of them."""

    candidates: Int64[np.ndarray, " n"]
    """Best first."""
    near: Int64[np.ndarray, " m"]
    unrelated: Int64[np.ndarray, " k"]


def part(
    candidates: Int64[np.ndarray, " n"], others: Int64[np.ndarray, " rest"], nearness: Float[np.ndarray, " rest"]
) -> Strata:
    """The strata; the larger the nearness of a feature that is no candidate, the less it lacks to be one."""
    by_nearness = others[np.argsort(-nearness, kind="stable")]
    n_near = round(NEAR_SHARE * len(others))
    return Strata(candidates, by_nearness[:n_near], by_nearness[n_near:])


def draw(strata: Strata, study: Study, config: RunConfig) -> Strata:
    """The best candidates up to the limit, and controls at random."""
    limit = study.candidate_limit if config.limit is None else config.limit
    rng = np.random.default_rng(config.seed)
    return Strata(
        strata.candidates[:limit],
        _draw(rng, strata.near, config.controls * study.controls.near),
        _draw(rng, strata.unrelated, config.controls * study.controls.unrelated),
    )


def select(
    drawn: Strata,
    strata: Strata,
    study: Study,
    config: RunConfig,
    scores: Float[np.ndarray, " d_sae"] | None = None,
    **fields: Any,
) -> Selection:
    """What will be investigated, with random directions and the sampling weights.

    Args:
        drawn: the features.
        strata: what they were drawn from.
        study: how many random directions there are to be.
        config: how many times as many.
        scores: of all features; NaN for those without one.
        fields: of the selection: strategy, rule, basis, notes.
    """
    counted: list[tuple[Stratum, np.ndarray, int | None]] = [
        ("candidates", drawn.candidates, len(strata.candidates)),
        ("near controls", drawn.near, len(strata.near)),
        ("unrelated controls", drawn.unrelated, len(strata.unrelated)),
        ("random directions", np.arange(count_random(study, config)), None),
    ]
    items = [name(study, config, int(i), stratum, scores) for stratum, chosen, _ in counted for i in chosen]
    sizes = [StratumSize(stratum=s, population=population, drawn=len(chosen)) for s, chosen, population in counted]
    return Selection(items=tuple(items), sizes=tuple(sizes), strategy=config.strategy, **fields)


def count_random(study: Study, config: RunConfig) -> int:
    """How many random directions are investigated."""
    return round(config.controls * study.controls.random_directions)


def name(
    study: Study,
    config: RunConfig,
    index: int,
    stratum: Stratum,
    scores: Sequence[float] | Float[np.ndarray, " d_sae"] | None = None,
) -> SelectedFeature:
    """One direction; random ones, and features without one, have no score."""
    kind = "random_direction" if stratum == "random directions" else "feature"
    score = None if scores is None or kind != "feature" or np.isnan(scores[index]) else float(scores[index])
    feature = FeatureRef(study=study.name, sae=config.sae, index=index, kind=kind)
    return SelectedFeature(feature=feature, stratum=stratum, score=score)


def _draw(rng: np.random.Generator, population: np.ndarray, n: float) -> np.ndarray:
    """A larger draw holds every smaller one with the same seed, so that labels of few controls serve when there are more."""
    return np.sort(rng.permutation(population)[: round(n)])
