"""Which texts a probe is trained and measured on: ambiguous ones, where class and attribute agree, or balanced ones.

Every seed draws anew, without putting back, four in five of the texts that it could take: what probes of several seeds
differ by is what another sample of texts would have changed. Ambiguous and balanced sets of a seed are of one size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from tools.probes.task import PAIRS, Split, Task

DRAWN_SHARE = 0.8
CONFOUNDED = tuple(place for place, (label, attribute) in enumerate(PAIRS) if label == attribute)


def draw_ambiguous(task: Task, split: Split, seed: int) -> Int64[np.ndarray, " drawn"]:
    """Texts in which the attribute gives the class away: as many of the two confounded quadrants."""
    n = _size(task, split)
    return _draw(task, split, CONFOUNDED, n // 2, seed)


def draw_balanced(task: Task, split: Split, seed: int) -> Int64[np.ndarray, " drawn"]:
    """Texts in which it says nothing of it: as many of all four quadrants."""
    return _draw(task, split, range(len(PAIRS)), _size(task, split) // 4, seed)


def take_balanced(task: Task, split: Split) -> Int64[np.ndarray, " taken"]:
    """All texts that four equal quadrants can hold, the first of each: the same for everyone who measures on them."""
    places = [np.flatnonzero(task.within(split) & (task.quadrants == quadrant)) for quadrant in range(len(PAIRS))]
    least = min(map(len, places))
    return np.sort(np.concatenate([of_quadrant[:least] for of_quadrant in places]))


def _size(task: Task, split: Split) -> int:
    """Texts of either set, a multiple of four."""
    counts = np.bincount(task.quadrants[task.within(split)], minlength=len(PAIRS)) * DRAWN_SHARE
    return 4 * max(1, int(min(counts.min(), counts[list(CONFOUNDED)].min() / 2)))


def _draw(task: Task, split: Split, quadrants: Sequence[int], n: int, seed: int) -> Int64[np.ndarray, " drawn"]:
    rng = np.random.default_rng(seed)
    drawn = [
        rng.choice(np.flatnonzero(task.within(split) & (task.quadrants == quadrant)), n, replace=False)
        for quadrant in quadrants
    ]
    return np.sort(np.concatenate(drawn))
