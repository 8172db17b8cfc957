"""The features whose meaning is known because somebody put it there, placebos among them, in an order that tells nothing."""

from __future__ import annotations

from functools import partial

import numpy as np

from agent.errors import RunError
from agent.folder.config import RunConfig
from agent.selection.listed import check_features
from agent.selection.strata import Strata, draw, part, select
from agent.selection.strategy import Chosen, Ground, Prepared, count_drawn
from tools.bench.arms import count_directions, locate
from tools.study.corpus import Corpus
from tools.truth.known import KnownFeatures, read_known


def prepare(corpus: Corpus, config: RunConfig) -> Prepared:
    """Read what is known of the SAE's features.

    Raises:
        UnveilError: nothing is, or it is not about this SAE.
    """
    arm = corpus.study.arm(config.sae)
    folder = locate(corpus.study, arm.sae)
    known = None if isinstance(folder, str) else read_known(folder)
    if known is None or isinstance(folder, str):
        raise RunError(
            f"nothing says what features of {config.sae} are known to stand for: python -m tools.training plant --study "
            f"{config.study} appends some to an SAE, and sae --world NAME finds those of a world's that mean one variable"
        )
    known.check(folder)
    numbers = tuple(one.feature for one in known.features)
    check_features(numbers, count_directions(corpus.study, config.sae))
    line = f"  {known.sentence}"
    return Prepared(partial(choose, known), (line,), {"known": known.sha256}, most=count_drawn)


def choose(known: KnownFeatures, ground: Ground) -> Chosen:
    """Concepts and placebos alike are the candidates, so that their stratum tells nobody which is which."""
    config, study = ground.config, ground.study
    numbers = np.random.default_rng(config.seed).permutation([one.feature for one in known.features])
    others = np.setdiff1d(np.flatnonzero(ground.survey["alive"].to_numpy()), numbers)
    hits = ground.survey["keyword_hits"].to_numpy()
    strata = part(numbers, others, hits[others].astype(float))
    limit = len(numbers) if config.limit is None else config.limit
    drawn = draw(strata, study, config.model_copy(update={"limit": limit}))
    return Chosen(select(Strata(*drawn), strata, study, config, notes=(known.sentence,)))
