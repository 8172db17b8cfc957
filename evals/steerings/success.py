"""Whether steering from one beginning toward one target worked: by the measures, by the model's word, and by chance.

By the measures it did if the texts are, on average over their samples, more like the target's held-out text than the
unsteered ones and than those of the same scheme with shuffled scores, and at most half of them have collapsed. The floor is
the same rule with the two arms' parts exchanged: how often shuffled scores would have counted as a success. Where nothing
works, each of three arms is the likest as often as the others, so that both are near a third.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from agent.folder.steered import Scheme
from evals.steerings.runs import UNSTEERED, Spot, Toward, shuffled

SUCCESS = (
    "texts from a beginning are on average more like the target, by word vectors, than unsteered ones and than those of "
    "the same scheme with shuffled scores, and at most half of them have collapsed"
)
JUDGED = "the model says of a beginning's texts, ties half, in most cases that they are more like the target than unsteered ones"
MOST_COLLAPSED = 0.5


class Outcomes(NamedTuple):
    """Of one target, by beginning; only where everything that the rule needs was measured."""

    measured: Mapping[Spot, bool]
    floor: Mapping[Spot, bool]
    """Whether shuffled scores succeed by the same rule."""
    judged: Mapping[Spot, bool]

    @property
    def share(self) -> float:
        """Of the beginnings that succeeded by the measures; at least one was measured."""
        return sum(self.measured.values()) / len(self.measured)


def find_outcomes(target: Toward, scheme: Scheme) -> Outcomes:
    """What came of steering toward one target with a scheme."""
    return Outcomes(
        measured=_likest(target, scheme, shuffled(scheme)),
        floor=_likest(target, shuffled(scheme), scheme),
        judged={spot: win > 0.5 for spot, win in target.arms[scheme].wins.items()},
    )


def _likest(target: Toward, arm: str, rival: str) -> dict[Spot, bool]:
    own, other, plain = (target.arms[name].likeness for name in (arm, rival, UNSTEERED))
    collapsed = target.arms[arm].collapsed
    spots = own.keys() & other.keys() & plain.keys()
    return {
        spot: own[spot] > max(other[spot], plain[spot]) and collapsed[spot] <= MOST_COLLAPSED for spot in sorted(spots)
    }


def count(outcomes: Sequence[Mapping[Spot, bool]]) -> list[tuple[int, int]]:
    """Successes and beginnings of each target."""
    return [(sum(one.values()), len(one)) for one in outcomes]
