"""Whoever rated a run's features, and which of them are thereby beside the point: models, rules and people alike."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median_low
from typing import NamedTuple

from agent.errors import RunError
from agent.folder.records import Decision
from evals.errors import LabelError
from evals.manual.records import Label, is_rating
from tools.probes.beside import LEAST, is_beside, is_published
from tools.records import Stratum

CONTROLS: tuple[Stratum, ...] = ("near controls", "unrelated controls", "random directions")


class Judge(NamedTuple):
    """Ratings of the features that a run put forward; those of controls take nothing out."""

    name: str
    ratings: Mapping[int, Mapping[str, int]]
    """Of features, by concept."""
    failed: frozenset[int] = frozenset()
    """Features without a verdict."""

    def beside(self, removed: str, kept: str, least: int = LEAST) -> list[int]:
        """Features that have to do with the one concept, and more than with the other."""
        return [feature for feature, rated in self.ratings.items() if is_beside(rated, removed, kept, least)]

    def published(self, removed: str) -> list[int]:
        """Features with any trace of the concept."""
        return [feature for feature, rated in self.ratings.items() if is_published(rated, removed)]

    def on(self, features: Iterable[int]) -> Judge:
        """The same, of some features alone."""
        wanted = set(features)
        kept = {feature: rated for feature, rated in self.ratings.items() if feature in wanted}
        return Judge(self.name, kept, self.failed & wanted)

    @property
    def asked(self) -> set[int]:
        """Features that it was asked about."""
        return {*self.ratings, *self.failed}


def rate(decision: Decision, concepts: Sequence[str]) -> Mapping[str, int] | None:
    """Its ratings; None for a failed one.

    Raises:
        RunError: it rates something else.
    """
    if decision.status == "failed":
        return None
    rated = {one.concept: one.rating for one in decision.ratings or ()}
    if not set(concepts) <= rated.keys():
        raise RunError(
            f"the verdict on {decision.feature.key} does not rate {' and '.join(concepts)}: the run was asked something else"
        )
    return rated


def read_judge(decisions: Sequence[Decision], concepts: Sequence[str], name: str | None = None) -> Judge:
    """The judge of a run.

    Args:
        decisions: of the run.
        concepts: what the task tells apart, and what goes with it.
        name: what it is called; what it calls itself if None.

    Raises:
        RunError: the run was asked something else.
    """
    own = [one for one in decisions if one.stratum not in CONTROLS]
    names = Counter(one.judge.model or one.judge.kind for one in decisions)
    found = {one.feature.index: rate(one, concepts) for one in own}
    return Judge(
        name or (names.most_common(1)[0][0] if names else "nobody"),
        {feature: rated for feature, rated in found.items() if rated is not None},
        frozenset(feature for feature, rated in found.items() if rated is None),
    )


def read_people(
    decisions: Sequence[Decision],
    labels: Sequence[Label],
    concepts: Sequence[str],
    annotator: str | None = None,
    programs: bool = False,
) -> Judge:
    """People as a judge: the lower median of their ratings of each concept.

    Args:
        decisions: of the run, whose features count.
        labels: settled; those that rate one of the concepts count.
        concepts: as in `read_judge`.
        annotator: whose; None for everybody's.
        programs: labels that programs made count as well.

    Raises:
        LabelError: nobody rated both concepts of a feature.
    """
    rating = [
        one
        for one in labels
        if one.question in concepts and is_rating(one.value) and annotator in (None, one.annotator)
    ]
    counted = [one for one in rating if programs or not one.machine]
    found: dict[int, Mapping[str, int]] = {}
    names: set[str] = set()
    for decision in decisions:
        fitting = [one for one in counted if one.item.fits(decision.feature)]
        given: defaultdict[str, list[int]] = defaultdict(list)
        for one in fitting:
            given[one.question].append(int(one.value))
        if decision.stratum not in CONTROLS and set(concepts) <= given.keys():
            found[decision.feature.index] = {concept: median_low(given[concept]) for concept in concepts}
            names |= {one.annotator for one in fitting}
    if not found:
        raise LabelError(_explain(labels, rating, concepts, annotator))
    return Judge(" and ".join(sorted(names)) if len(names) < 3 else f"{len(names)} people", found)


def _explain(labels: Sequence[Label], rating: Sequence[Label], concepts: Sequence[str], annotator: str | None) -> str:
    wanted = f"{' and '.join(concepts)} from 0 to 4"
    if rating and all(one.machine for one in rating):
        return f"every label that rates {wanted} was made by a program; count these with --programs"
    if annotator is not None and not any(one.annotator == annotator for one in labels):
        known = ", ".join(sorted({one.annotator for one in labels})[:6])
        return f"no label is by {annotator!r}; there are labels by {known}"
    return f"no candidate of the run has labels that rate both {wanted}"


def tell_apart(judge: Judge, known: Sequence[Judge], where: str) -> Judge:
    """The judge under a name that no other one has: with where it judged, if that is what differs."""
    taken = {one.name for one in known}
    name, n = judge.name, 2
    while name in taken:
        name = f"{judge.name} ({where})" if n == 2 else f"{judge.name} ({where}, {n})"
        n += 1
    return judge._replace(name=name)
