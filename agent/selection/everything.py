"""Every live feature, in the strata that keywords make of them, and random directions beside them."""

from __future__ import annotations

from agent.folder.config import RunConfig
from agent.selection.keywords import part_by_keywords, tell_rule
from agent.selection.strata import count_random, select
from agent.selection.strategy import Chosen, Ground, Prepared
from tools.study.corpus import Corpus


def prepare(corpus: Corpus, config: RunConfig) -> Prepared:
    """The survey holds all that is needed."""
    return Prepared(choose, most=lambda study, config, d_sae: d_sae + count_random(study, config))


def choose(ground: Ground) -> Chosen:
    """Candidates first; nothing is drawn, so that every share of the SAE is a count."""
    strata = part_by_keywords(ground.survey, ground.study.survey)
    return Chosen(select(strata, strata, ground.study, ground.config, **tell_rule(ground)))
