"""SAEs of one world side by side: what each tells of it, at how many active features, and does p-annealing help?

The same coefficient makes SAEs of two architectures differently sparse, so they are compared at the same L0: an SAE of
p-annealing with the line through the standard ones of its seed, between the two that are next to it. Differences are averaged
within a seed, and seeds are what the interval is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from agent.errors import RunError
from evals.statistics.estimate import Estimate, estimate_student, format_estimate
from tools.records import Record
from tools.truth.world_truth import HeldSae

HIGHEST = "exchanged truths"
"""The reference whose highest value stands for all SAEs: no figure of theirs is worth anything below it."""
NEW, USUAL = "p-annealing", "standard"
NAMES = {
    "mcc": "MCC",
    "f1": "F1",
    "coverage_beyond": "coverage beyond its floor",
    "reconstruction_beyond": "reconstruction beyond its floor",
}
"""Of measures, in words, where that is not what they are called."""


class Point(Record):
    """One SAE."""

    architecture: str
    sparsity: float
    """Its setting."""
    seed: int
    l0: float
    explained_variance: float
    told: dict[str, float]
    """What it is worth, by measure: on test transcripts coverage and reconstruction, and what either has beyond exchanged truths;
    of sums of directions MCC, uniqueness and F1."""
    counts: dict[str, int]
    """What else is listed of it."""
    command: str
    """That makes it again."""


class Contrast(Record):
    """p-annealing less the standard SAE, at the same L0."""

    measure: str
    difference: Estimate
    """Mean over seeds, with Student's interval over them."""
    seeds: int
    saes: int
    """Of p-annealing that have a standard one on either side."""


class Frontier(Record):
    """All of it."""

    schema_version: Literal[2] = 2
    world: str
    points: tuple[Point, ...]
    references: dict[str, dict[str, float]]
    """What each measure comes to elsewhere: `HIGHEST` for the best of the SAEs, else on average over them."""
    contrasts: tuple[Contrast, ...]

    @property
    def measures(self) -> tuple[str, ...]:
        """What its SAEs are compared by."""
        return tuple(one.measure for one in self.contrasts)

    @property
    def figures(self) -> dict[str, float]:
        """What a requirement may name."""
        found: dict[str, float] = {}
        for one in self.contrasts:
            ends = {"": one.difference.value, "_low": one.difference.low, "_high": one.difference.high}
            found |= {f"{one.measure}_difference{end}": value for end, value in ends.items() if value is not None}
        return found


def compare_saes(held: Sequence[HeldSae]) -> Frontier:
    """SAEs of one model of one world, held against the same transcripts; or of the same directions and examples.

    Raises:
        RunError: they are not, or two are the same SAE.
    """
    truths = [one.truth for one in held]
    if any(one.conditions != truths[0].conditions for one in truths):
        raise RunError(
            "these SAEs are not of one model at one place, held against the same transcripts of one world, or of one number of "
            "features, held against the same directions"
        )
    names = [(one.architecture, one.sparsity, one.seed) for one in held]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise RunError("two SAEs are {}, sparsity {:g}, seed {}: name each once".format(*doubled))
    points = tuple(sorted((_point(one) for one in held), key=lambda one: (one.architecture, one.l0, one.seed)))
    return Frontier(
        world=truths[0].world,
        points=points,
        references={name: _gather(name, (one.references[name] for one in truths)) for name in truths[0].references},
        contrasts=tuple(contrast(points, name) for name in truths[0].measures),
    )


def _gather(name: str, found: Iterable[dict[str, float]]) -> dict[str, float]:
    every = list(found)
    over = max if name == HIGHEST else np.mean
    return {measure: float(over([one[measure] for one in every])) for measure in every[0]}


def _point(held: HeldSae) -> Point:
    truth = held.truth
    return Point(
        architecture=held.architecture,
        sparsity=held.sparsity,
        seed=held.seed,
        l0=truth.l0,
        explained_variance=truth.explained_variance,
        told=truth.measures,
        counts=truth.counts,
        command=held.command,
    )


def contrast(points: Sequence[Point], measure: str, new: str = NEW, usual: str = USUAL) -> Contrast:
    """One architecture less another, at the same L0 and of the same seed."""
    by_seed: list[float] = []
    saes = 0
    for seed in sorted({one.seed for one in points}):
        own = [one for one in points if one.seed == seed]
        differences = _differences(*(_curve(own, kind, measure) for kind in (new, usual)))
        if len(differences):
            by_seed.append(float(differences.mean()))
            saes += len(differences)
    return Contrast(measure=measure, difference=estimate_student(by_seed), seeds=len(by_seed), saes=saes)


def _curve(points: Sequence[Point], architecture: str, measure: str) -> Float[np.ndarray, "n 2"]:
    """Log L0 and the figure, by rising L0; SAEs with nothing active are left out, and those of one L0 are one."""
    alive = [(np.log(one.l0), one.told[measure]) for one in points if one.architecture == architecture and one.l0]
    places = sorted({place for place, _ in alive})
    means = [[place, float(np.mean([value for at, value in alive if at == place]))] for place in places]
    return np.array(means, dtype=float).reshape(-1, 2)


def _differences(new: Float[np.ndarray, "n 2"], usual: Float[np.ndarray, "m 2"]) -> Float[np.ndarray, " k"]:
    if not len(usual):
        return np.zeros(0)
    within = new[(new[:, 0] >= usual[0, 0]) & (new[:, 0] <= usual[-1, 0])]
    return within[:, 1] - np.interp(within[:, 0], usual[:, 0], usual[:, 1])


def say_verdict(frontier: Frontier) -> str:
    """Does p-annealing help, by how much, with what interval: in one sentence, a null as a null."""
    told = [one for one in frontier.contrasts if one.difference.value is not None]
    if not told:
        return (
            f"Whether {NEW} helps cannot be told: no SAE of it lies between two {USUAL} ones of its seed in L0"
            if {NEW, USUAL} <= {one.architecture for one in frontier.points}
            else f"Whether {NEW} helps cannot be told: it takes SAEs of {NEW} and {USUAL} ones"
        )
    figures = ", ".join(f"{format_estimate(one.difference, '+.3f')} in {name_of(one.measure)}" for one in told)
    seeds = f"{told[0].seeds} seed{'s' * (told[0].seeds != 1)}, {told[0].saes} SAE{'s' * (told[0].saes != 1)}"
    judged = "; ".join(_judge(one) for one in told)
    return f"At the same L0, {NEW} against {USUAL} SAEs: {figures} ({seeds}): {judged}"


def _judge(one: Contrast) -> str:
    low, high, name = one.difference.low, one.difference.high, name_of(one.measure)
    if low is None or high is None:
        return f"of {name} nothing is shown, for there is no interval"
    if low > 0:
        return f"it helps {name}"
    return f"it harms {name}" if high < 0 else f"of {name} no difference is shown"


def name_of(measure: str) -> str:
    """In words."""
    return NAMES.get(measure, measure)
