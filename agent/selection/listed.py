"""The features that somebody named, and no controls."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from agent.errors import RunError
from agent.folder.config import RunConfig
from agent.folder.records import Selection
from agent.selection.keywords import least_hits
from agent.selection.strata import name
from agent.selection.strategy import Chosen, Ground, Prepared
from tools.bench.arms import count_directions
from tools.study.corpus import Corpus

if TYPE_CHECKING:
    from tools.bench.workbench import Workbench


def prepare(corpus: Corpus, config: RunConfig) -> Prepared:
    """See that the SAE has them, by the header of its file; that each has a direction, once it is on the bench.

    Raises:
        RunError: it has no feature of that number.
    """
    features = config.features or ()
    check_features(features, count_directions(corpus.study, config.sae))
    return Prepared(choose, check=partial(check_directions, features), most=lambda *_: len(features))


def choose(ground: Ground) -> Chosen:
    """Features in the order given; those with enough keyword hits count as candidates, the others as unrelated.

    Raises:
        RunError: the SAE has no feature of that number.
    """
    chosen = ground.config.features or ()
    check_features(chosen, len(ground.survey))
    hits, least = ground.survey["keyword_hits"].to_numpy(), least_hits(ground.survey, ground.study.survey)
    items = [
        name(ground.study, ground.config, i, "candidates" if hits[i] >= least else "unrelated controls") for i in chosen
    ]
    return Chosen(Selection(items=tuple(items), sizes=(), strategy=ground.config.strategy))


def check_features(features: tuple[int, ...], d_sae: int | None) -> None:
    """See that features named are the SAE's.

    Args:
        features: their numbers.
        d_sae: how many there are; None where that is not known yet.

    Raises:
        RunError: one is not.
    """
    unknown = [index for index in features if index < 0 or (d_sae is not None and index >= d_sae)]
    if unknown:
        there = "numbers from 0" if d_sae is None else f"features 0 to {d_sae - 1}"
        raise RunError(f"the SAE has {there}, not {unknown[0]}")


def check_directions(features: tuple[int, ...], bench: Workbench) -> None:
    """See that features named are the SAE's, and that there is something to look at.

    Raises:
        RunError: one is not, or has a decoder row of 0.
    """
    check_features(features, bench.d_sae)
    if empty := [index for index in features if bool(bench.autoencoder.empty[index])]:
        raise RunError(f"feature {empty[0]} has no direction, for its decoder row is 0: leave it out of --features")
