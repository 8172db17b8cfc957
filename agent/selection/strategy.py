"""What a strategy of choosing features is, and which ones there are.

A strategy is prepared first, by what can be read without a model, and chooses when every feature has been surveyed. To add
one: a file with a function like `agent.selection.keywords.prepare`, and a line in `STRATEGIES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from agent.errors import RunError
from tools.display.flags import Choice

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from rich.progress import Progress

    from agent.folder.config import RunConfig
    from agent.folder.records import Selection
    from tools.bench.workbench import Workbench
    from tools.study.corpus import Corpus
    from tools.study.definition import Study


class Ground(NamedTuple):
    """What is chosen from."""

    survey: pd.DataFrame
    """A row a feature (`tools.survey.features.tabulate`)."""
    study: Study
    config: RunConfig
    bench: Workbench | None = None
    """For strategies that measure something; others need none."""
    progress: Progress | None = None


class Chosen(NamedTuple):
    """What was chosen, and what it was chosen by."""

    selection: Selection
    columns: Mapping[str, np.ndarray] = {}
    """Of every feature, [d_sae]: further columns of `features.parquet`."""


def count_drawn(study: Study, config: RunConfig, d_sae: int) -> int:
    """As many as limit and controls say."""
    limit = study.candidate_limit if config.limit is None else config.limit
    return limit + round(config.controls * sum(study.controls.model_dump().values()))


def _pass(bench: Workbench) -> None:
    """Any bench will do."""


class Prepared(NamedTuple):
    """A strategy that has read what it needs."""

    choose: Callable[[Ground], Chosen]
    lines: tuple[str, ...] = ()
    """For the console, before anything is loaded."""
    hashes: Mapping[str, str] = {}
    """sha256 of what was read, by its role in the manifest."""
    check: Callable[[Workbench], None] = _pass
    """Raises UnveilError where the bench is not fit for it; called before there is a run folder."""
    most: Callable[[Study, RunConfig, int], int] = count_drawn
    """Directions that will be investigated at the most, of an SAE of so many features."""


Prepare = Callable[["Corpus", "RunConfig"], Prepared]
"""Raises UnveilError where something that is needed is missing or no good."""

STRATEGIES = {
    "keywords": Choice(
        "features with enough keyword hits, those with the most first", "agent.selection.keywords:prepare"
    ),
    "text": Choice("features that score best for a text (--toward)", "agent.selection.text:prepare"),
    "effect": Choice("features that do most for a classifier (--task)", "agent.selection.effect:prepare"),
    "listed": Choice("the features named by --features", "agent.selection.listed:prepare"),
    "known": Choice(
        "features that were planted, and so are known to mean something or nothing", "agent.selection.known:prepare"
    ),
    "all": Choice("every feature of the SAE", "agent.selection.everything:prepare"),
}


def prepare(corpus: Corpus, config: RunConfig) -> Prepared:
    """The run's strategy.

    Args:
        corpus: of its study.
        config: the run's.

    Raises:
        UnveilError: something that it needs is missing or no good.
    """
    if (strategy := STRATEGIES.get(config.strategy)) is None:
        raise RunError(f"{config.strategy!r} is no way to choose features: there are {', '.join(STRATEGIES)}")
    prepared: Prepared = strategy.load()(corpus, config)
    return prepared
