"""Label collisions: features that share a label, and labels that also say yes to other features' contexts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from evals.scoring.measures import estimate_mean
from evals.statistics.estimate import Estimate
from tools.records import Record
from tools.survey.keywords import words_of


class SharedLabel(Record):
    """Features with one label."""

    label: str
    features: tuple[str, ...]


class Specificity(Record):
    """How often a scorer says yes for a label where its feature is active, and where another one is."""

    scorer: str
    labels: int
    own: Estimate
    """Share of yeses on the feature's own active contexts, mean over labels."""
    others: Estimate
    """The same on active contexts of other features."""
    others_asked: int
    """Contexts of other features that were asked about."""


class Collisions(Record):
    """How many labels are shared, and how specific they are."""

    labels: int
    """Features with a label; random directions are none."""
    shared: int
    """Features whose label another feature has too, up to case, punctuation and the order of words."""
    groups: tuple[SharedLabel, ...]
    """The shared labels, commonest first."""
    specificity: tuple[Specificity, ...] = ()


class OwnAndOthers(Record):
    """One label's shares of yeses; None where nothing was answered."""

    own: float | None
    others: float | None
    others_asked: int


def normalise_label(label: str) -> tuple[str, ...]:
    """The words of a label in alphabetical order, each once; a label without any is its own text without case."""
    return tuple(sorted(set(words_of(label)))) or (label.strip().casefold(),)


def find_collisions(labels: Mapping[str, str], specificity: Sequence[Specificity] = ()) -> Collisions:
    """Group features by label.

    Args:
        labels: of each feature, by its key.
        specificity: as measured.
    """
    groups: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for key, label in labels.items():
        groups[normalise_label(label)].append(key)
    shared = sorted((keys for keys in groups.values() if len(keys) > 1), key=lambda keys: (-len(keys), keys))
    return Collisions(
        labels=len(labels),
        shared=sum(map(len, shared)),
        groups=tuple(SharedLabel(label=labels[keys[0]], features=tuple(keys)) for keys in shared),
        specificity=tuple(specificity),
    )


def measure_specificity(scorer: str, shares: Sequence[OwnAndOthers], seed: int) -> Specificity:
    """Means over the labels that were asked about both."""
    both = [(one.own, one.others) for one in shares if one.own is not None and one.others is not None]
    return Specificity(
        scorer=scorer,
        labels=len(both),
        own=estimate_mean([own for own, _ in both], seed),
        others=estimate_mean([others for _, others in both], seed),
        others_asked=sum(one.others_asked for one in shares if one.others is not None and one.own is not None),
    )
