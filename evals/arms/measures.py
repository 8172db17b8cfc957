"""What is compared between two arms: every measure as values of features, in strata with weights, so that all are means.

The published definitions stand beside the corrected ones. Published: features with two or more keyword hits under the direct
lens are relevant, coherence counts spelling variants as words of their own and is 0 where it has no value, a text wins if it
is at all more like the reference. Corrected: a feature is relevant if the run's judge says so, each word counts once, and
wins are those beyond the null of other features' words; what random directions reach in the same way is taken off, since it
is the model's doing and not the features'.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from evals.agreement.prevalence import FEATURES
from evals.arms.results import Claim, Definition
from evals.arms.runs import Arm
from evals.arms.samples import (
    NOTHING,
    Sample,
    less_random,
    of_all,
    of_random,
    of_relevant,
    of_stratum,
    take_beyond,
    take_coherence_all,
    take_coherence_of_hits,
    take_coherence_published,
    take_direct_hits,
    take_hits,
    take_relevant,
    take_relevant_or_open,
    take_relevant_random,
)
from tools.proof.floors import DeadFloor, Instrument

CANDIDATES = "candidates"
RANDOM = "random directions"


class Measure(NamedTuple):
    """One line of the comparison."""

    key: str
    name: str
    definition: Definition
    over: str
    is_share: bool
    take: Callable[[Arm], Sample]
    claim: Claim | None = None

    @property
    def needs(self) -> frozenset[Instrument]:
        """Instruments that the figure itself is read from, whoever judged."""
        if self.key in _BY_VERDICT:
            return frozenset()
        if self.key in _BY_KEYWORDS:
            return frozenset({"keywords"})
        of_coherence = self.key.startswith("coherence")
        return frozenset({"coherence"}) if of_coherence else frozenset({"steering"})

    def sample(self, arm: Arm) -> Sample:
        """The values behind the figure; none where it was read from an instrument that measured nothing."""
        return NOTHING if self.why_lost(arm) else self.take(arm)

    def why_lost(self, arm: Arm) -> str | None:
        """The dead floor for which an arm has no such figure."""
        return next((floor.text for floor in arm.floors if self._rests_on(floor, arm)), None)

    def _rests_on(self, floor: DeadFloor, arm: Arm) -> bool:
        by_verdict = self.over == "relevant" or self.key in _BY_VERDICT
        if by_verdict and floor.instrument in _RULES and all(d.judge.kind == "rules" for d in arm.decisions):
            # Nothing but a candidate can be found relevant, or a random direction with as many hits.
            return floor.stratum in (None, RANDOM if self.key == "relevant_random" else CANDIDATES)
        strata = {"candidates": (CANDIDATES,), RANDOM: (RANDOM,)}.get(self.over, FEATURES)
        if "over_random" in self.key:
            strata = (*strata, RANDOM)
        return floor.instrument in self.needs and floor.stratum in (None, *strata)


_RULES: frozenset[Instrument] = frozenset({"keywords", "contexts", "coherence", "steering"})
"""What a yes of the rules judge rests on."""
_BY_VERDICT = ("relevant", "relevant_random")
_BY_KEYWORDS = ("hits_direct", "hits", "beyond_null", "relevant_or_open")
"""By the rules a feature is relevant or open if its keywords pass."""


MEASURES: tuple[Measure, ...] = (
    Measure("hits_direct", "two or more keyword hits, direct lens", "published", "all", True, take_direct_hits),
    Measure("hits", "two or more keyword hits, the study's lens", "published", "all", True, take_hits),
    Measure("beyond_null", "more hits than random directions have", "corrected", "all", True, take_beyond),
    Measure("relevant", "judged relevant", "corrected", "all", True, take_relevant, "relevant"),
    Measure("relevant_or_open", "judged relevant or undecided", "corrected", "all", True, take_relevant_or_open),
    Measure("relevant_random", "judged relevant", "corrected", "random directions", True, take_relevant_random),
    Measure("won", "steered texts won", "published", "candidates", False, of_stratum(CANDIDATES, "won_published")),
    Measure(
        "steered", "likeness of steered texts", "published", "candidates", False, of_stratum(CANDIDATES, "steered")
    ),
    Measure(
        "unsteered",
        "likeness of unsteered texts",
        "published",
        "candidates",
        False,
        of_stratum(CANDIDATES, "unsteered"),
    ),
    Measure("won_all", "steered texts won", "published", "all", False, of_all("won_published")),
    Measure("steered_all", "likeness of steered texts", "published", "all", False, of_all("steered")),
    Measure("unsteered_all", "likeness of unsteered texts", "published", "all", False, of_all("unsteered")),
    Measure("passes", "steering passes", "corrected", "relevant", True, of_relevant("passes")),
    Measure("excess", "wins beyond the null", "corrected", "relevant", False, of_relevant("excess")),
    Measure(
        "excess_over_random",
        "wins beyond the null, less random directions'",
        "corrected",
        "relevant",
        False,
        less_random(of_relevant("excess"), "excess"),
        "steerable",
    ),
    Measure("lift", "log-probability of the words, nats", "corrected", "relevant", False, of_relevant("lift")),
    Measure("passes_all", "steering passes", "corrected", "all", True, of_all("passes")),
    Measure("excess_all", "wins beyond the null", "corrected", "all", False, of_all("excess")),
    Measure(
        "excess_over_random_all",
        "wins beyond the null, less random directions'",
        "corrected",
        "all",
        False,
        less_random(of_all("excess"), "excess"),
        "steerable",
    ),
    Measure("excess_random", "wins beyond the null", "corrected", "random directions", False, of_random("excess")),
    Measure("coherence_hits", "coherence", "published", "keyword features", False, take_coherence_of_hits),
    Measure("coherence_published", "coherence", "published", "all", False, take_coherence_published),
    Measure("coherence_relevant", "coherence", "corrected", "relevant", False, of_relevant("coherence")),
    Measure(
        "coherence_over_random",
        "coherence, less random directions'",
        "corrected",
        "relevant",
        False,
        less_random(of_relevant("coherence"), "coherence"),
        "sharper",
    ),
    Measure("coherence_all", "coherence", "corrected", "all", False, take_coherence_all),
    Measure(
        "coherence_over_random_all",
        "coherence, less random directions'",
        "corrected",
        "all",
        False,
        less_random(take_coherence_all, "coherence"),
        "sharper",
    ),
    Measure("coherence_random", "coherence", "corrected", "random directions", False, of_random("coherence")),
)
"""Every measure, in the order of the tables."""
