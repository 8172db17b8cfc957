"""The values behind every measure: which features of an arm it is taken over, in which groups, at which weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from evals.arms.runs import Arm, column, equals
from evals.arms.strata import count_strata


class Sample(NamedTuple):
    """Values of features in groups; the figure is the weighted sum of the groups' means."""

    values: Float[np.ndarray, " n"]
    groups: Int[np.ndarray, " n"]
    weights: Float[np.ndarray, " groups"]

    @property
    def plain(self) -> bool:
        """One group, so that features may change places between arms."""
        return len(self.weights) == 1

    @property
    def n(self) -> int:
        """Features the figure is about; what is taken off as a floor is not counted."""
        return int((self.weights[self.groups] > 0).sum())

    @property
    def value(self) -> float | None:
        """The figure; None where a group is empty."""
        counts = np.bincount(self.groups, minlength=len(self.weights))
        if not len(self.weights) or (counts == 0).any():
            return None
        sums = np.bincount(self.groups, weights=self.values, minlength=len(self.weights))
        return float(self.weights @ (sums / counts))


NOTHING = Sample(np.empty(0), np.empty(0, dtype=np.int64), np.empty(0))
Take = Callable[[Arm], Sample]


def plain(values: Float[np.ndarray, " n"] | Bool[np.ndarray, " n"]) -> Sample:
    """All values in one group; those that are missing are left out."""
    numbers = values.astype(float)
    kept = numbers[~np.isnan(numbers)]
    return Sample(kept, np.zeros(len(kept), dtype=np.int64), np.ones(1))


def take_direct_hits(arm: Arm) -> Sample:
    """Whether each feature has hits enough under the direct lens."""
    return plain(_hits_direct(arm))


def take_hits(arm: Arm) -> Sample:
    """Whether each feature has hits enough under the study's lens."""
    return plain(column(arm.table, "hits") >= arm.thresholds.hits)


def take_beyond(arm: Arm) -> Sample:
    """Whether each feature has hits enough, and more than random directions."""
    return plain(column(arm.table, "beyond"))


def take_relevant(arm: Arm) -> Sample:
    """Whether each feature is judged relevant."""
    return _verdicts(arm, "yes")


def take_relevant_or_open(arm: Arm) -> Sample:
    """Whether each feature is judged relevant or undecided."""
    return _verdicts(arm, "yes", "undecided")


def take_relevant_random(arm: Arm) -> Sample:
    """Whether each random direction is judged relevant: a false positive by construction."""
    return plain(equals(arm.random, "judged", "yes"))


def of_stratum(stratum: str, name: str) -> Take:
    """A column over the investigated features of a stratum."""
    return lambda arm: plain(column(arm.table, name)[equals(arm.table, "stratum", stratum)])


def of_relevant(name: str) -> Take:
    """A column over the features judged relevant."""
    return lambda arm: plain(column(arm.table, name)[equals(arm.table, "judged", "yes")])


def of_random(name: str) -> Take:
    """A column over random directions."""
    return lambda arm: plain(column(arm.random, name))


def of_all(name: str) -> Take:
    """A column over the investigated features, each stratum at its share of the living ones."""
    return lambda arm: _in_strata(arm, column(arm.table, name))


def less_random(take: Take, name: str) -> Take:
    """The figure less its mean over random directions: what belonging to the SAE adds."""

    def subtract(arm: Arm) -> Sample:
        sample, floor = take(arm), plain(column(arm.random, name))
        return Sample(
            np.concatenate([sample.values, floor.values]),
            np.concatenate([sample.groups, np.full(len(floor.values), len(sample.weights), dtype=np.int64)]),
            np.append(sample.weights, -1.0),
        )

    return subtract


def take_coherence_of_hits(arm: Arm) -> Sample:
    """The published coherence of the features with hits enough under the direct lens, as published."""
    return plain(column(arm.table, "coherence_published")[_hits_direct(arm)])


def take_coherence_published(arm: Arm) -> Sample:
    """The published coherence of every feature."""
    return plain(column(arm.table, "coherence_published"))


def take_coherence_all(arm: Arm) -> Sample:
    """The coherence of every living feature, each word counted once."""
    return plain(column(arm.table, "coherence")[column(arm.table, "alive") > 0])


def _hits_direct(arm: Arm) -> Bool[np.ndarray, " n"]:
    return column(arm.table, "hits_direct") >= arm.thresholds.hits


def _verdicts(arm: Arm, *counted: str) -> Sample:
    """A share of the whole SAE: counted where every verdict is known, else with what is not settled estimated by stratum."""
    found = np.any([equals(arm.table, "judged", one) for one in counted], axis=0)
    settled, judged = column(arm.table, "settled") > 0, _is_judged(arm)
    if (settled | judged).all():
        return plain(found & ~settled)
    strata = [stratum for stratum in count_strata(arm) if stratum.weighed + stratum.unknown]
    parts = [found[equals(arm.table, "stratum", stratum.stratum) & ~settled].astype(float) for stratum in strata]
    sizes = [stratum.weighed + stratum.unknown for stratum in strata]
    return _join([np.zeros(len(arm.table) - sum(sizes)), *parts], [len(arm.table) - sum(sizes), *sizes])


def _is_judged(arm: Arm) -> Bool[np.ndarray, " n"]:
    return np.array([isinstance(verdict, str) for verdict in arm.table["judged"]], dtype=bool)


def _in_strata(arm: Arm, values: Float[np.ndarray, " n"]) -> Sample:
    """Investigated features in their strata, at their shares of the living features."""
    strata = [stratum for stratum in count_strata(arm) if stratum.population]
    chosen = [values[equals(arm.table, "stratum", stratum.stratum)] for stratum in strata]
    return _join([part[~np.isnan(part)] for part in chosen], [stratum.population for stratum in strata])


def _join(parts: Sequence[Float[np.ndarray, " part"]], sizes: Sequence[int]) -> Sample:
    """Groups of values at the shares of what they stand for; those that stand for nothing are left out."""
    kept = [(part, size) for part, size in zip(parts, sizes, strict=True) if size]
    if not kept:
        return NOTHING
    return Sample(
        np.concatenate([part for part, _ in kept]),
        np.repeat(np.arange(len(kept)), [len(part) for part, _ in kept]),
        np.array([size for _, size in kept]) / sum(size for _, size in kept),
    )
