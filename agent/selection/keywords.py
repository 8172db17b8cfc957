"""Candidates by keyword hits: two, as in the published study, or as many as it takes to be beyond the null."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from agent.folder.config import RunConfig
from agent.selection.strata import Strata, draw, part, select
from agent.selection.strategy import Chosen, Ground, Prepared
from tools.study.corpus import Corpus
from tools.study.definition import SurveyDefaults

NO_NUMBER = 10**9
"""More hits than any list is long."""


def prepare(corpus: Corpus, config: RunConfig) -> Prepared:
    """The survey holds all that is needed."""
    return Prepared(choose)


def choose(ground: Ground) -> Chosen:
    """Candidates by falling number of hits; features near the domain by word vectors are the near controls."""
    strata = part_by_keywords(ground.survey, ground.study.survey)
    drawn = draw(strata, ground.study, ground.config)
    return Chosen(select(drawn, strata, ground.study, ground.config, **tell_rule(ground)))


def tell_rule(ground: Ground) -> dict[str, Any]:
    """Fields of a selection whose candidates have keyword hits."""
    least = least_hits(ground.survey, ground.study.survey)
    return {"rule": ground.study.survey.candidates, "least_hits": None if least == NO_NUMBER else least}


def part_by_keywords(survey: pd.DataFrame, settings: SurveyDefaults) -> Strata:
    """All live features: candidates by falling number of hits, then by their top token's weight."""
    hits = survey["keyword_hits"].to_numpy()
    least = least_hits(survey, settings)
    lead = np.array([weights[0] for weights in survey["top_weights"]])
    alive = survey["alive"].to_numpy()
    candidates = np.flatnonzero(alive & (hits >= least))
    ranked = candidates[np.lexsort((candidates, -lead[candidates], -hits[candidates]))]
    others = np.flatnonzero(alive & (hits < least))
    return part(ranked, others, np.nan_to_num(survey["domain_similarity"].to_numpy()[others], nan=-1.0))


def least_hits(survey: pd.DataFrame, settings: SurveyDefaults) -> int:
    """Keyword hits that make a candidate; `NO_NUMBER` if none that a feature has is beyond the null.

    Args:
        survey: a row a feature.
        settings: of the study: its own number, and whether it has to be beyond the null.
    """
    if settings.candidates == "hits":
        return settings.candidate_hits
    hits, shares = survey["keyword_hits"].to_numpy(), survey["keyword_null_share"].to_numpy()
    beyond = hits[(hits >= settings.candidate_hits) & (shares <= settings.alpha)]
    return int(beyond.min()) if len(beyond) else NO_NUMBER
