"""Which features are investigated: every candidate up to a limit, and controls without which no rate means anything.

Candidates have keyword hits: two, as in the published study, or as many as it takes to be beyond the null. Controls are
drawn at random from strata of known size: features with fewer hits but near the domain by word vectors, the remaining
features, and random directions that are no feature.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from agent.errors import RunError
from agent.folder.config import RunConfig
from agent.folder.records import SelectedFeature, Selection, StratumSize
from tools.records import FeatureRef, Stratum
from tools.study.definition import Study, SurveyDefaults

NO_NUMBER = 10**9
"""More hits than any list is long."""
NEAR_SHARE = 0.1
"""The tenth of the keyword-negative features nearest to the domain makes the stratum of near controls."""


def select_features(table: pd.DataFrame, study: Study, config: RunConfig) -> Selection:
    """Candidates by falling number of hits, then the three control strata.

    Raises:
        RunError: `config.features` names a feature the SAE does not have.
    """
    if config.features is not None:
        return _select_named(table, study, config)
    hits = table["keyword_hits"].to_numpy()
    least = least_hits(table, study.survey)
    lead = np.array([weights[0] for weights in table["top_weights"]])
    alive = table["alive"].to_numpy()
    candidates = np.flatnonzero(alive & (hits >= least))
    limit = study.candidate_limit if config.limit is None else config.limit
    ranked = candidates[np.lexsort((candidates, -lead[candidates], -hits[candidates]))]
    negatives = np.flatnonzero(alive & (hits < least))
    similarity = np.nan_to_num(table["domain_similarity"].to_numpy()[negatives], nan=-1.0)
    n_near = round(NEAR_SHARE * len(negatives))
    by_nearness = negatives[np.argsort(-similarity, kind="stable")]
    near, rest = by_nearness[:n_near], by_nearness[n_near:]
    rng = np.random.default_rng(config.seed)
    n_random = round(config.controls * study.controls.random_directions)
    strata: list[tuple[Stratum, np.ndarray, int | None]] = [
        ("candidates", ranked[:limit], len(candidates)),
        ("near controls", _draw(rng, near, config.controls * study.controls.near), len(near)),
        ("unrelated controls", _draw(rng, rest, config.controls * study.controls.unrelated), len(rest)),
        ("random directions", np.arange(n_random), None),
    ]
    items = [_item(study, config, int(i), stratum) for stratum, chosen, _ in strata for i in chosen]
    sizes = [StratumSize(stratum=s, population=population, drawn=len(chosen)) for s, chosen, population in strata]
    found = None if least == NO_NUMBER else least
    return Selection(items=tuple(items), sizes=tuple(sizes), rule=study.survey.candidates, least_hits=found)


def least_hits(table: pd.DataFrame, settings: SurveyDefaults) -> int:
    """Keyword hits that make a candidate; `NO_NUMBER` if none that a feature has is beyond the null.

    Args:
        table: the survey, a row a feature.
        settings: of the study: its own number, and whether it has to be beyond the null.
    """
    if settings.candidates == "hits":
        return settings.candidate_hits
    hits, shares = table["keyword_hits"].to_numpy(), table["keyword_null_share"].to_numpy()
    beyond = hits[(hits >= settings.candidate_hits) & (shares <= settings.alpha)]
    return int(beyond.min()) if len(beyond) else NO_NUMBER


def _select_named(table: pd.DataFrame, study: Study, config: RunConfig) -> Selection:
    chosen = config.features or ()
    unknown = [i for i in chosen if not 0 <= i < len(table)]
    if unknown:
        raise RunError(f"the SAE has features 0 to {len(table) - 1}, not {unknown[0]}")
    items: list[SelectedFeature] = []
    hits = table["keyword_hits"].to_numpy()
    least = least_hits(table, study.survey)
    for i in chosen:
        stratum: Stratum = "candidates" if hits[i] >= least else "unrelated controls"
        items.append(_item(study, config, i, stratum))
    return Selection(items=tuple(items), sizes=())


def _draw(rng: np.random.Generator, population: np.ndarray, n: float) -> np.ndarray:
    """A larger draw holds every smaller one with the same seed, so that labels of few controls serve when there are more."""
    return np.sort(rng.permutation(population)[: round(n)])


def _item(study: Study, config: RunConfig, index: int, stratum: Stratum) -> SelectedFeature:
    kind = "random_direction" if stratum == "random directions" else "feature"
    return SelectedFeature(
        feature=FeatureRef(study=study.name, sae=config.sae, index=index, kind=kind), stratum=stratum
    )
