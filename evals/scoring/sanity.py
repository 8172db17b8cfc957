"""Do our measures notice labels that miss half of what they should cover, or that cover twice as much?

The missing-labels and extra-labels checks (arXiv 2506.05774): a perfect set of answers is spoilt in one of two ways, and
a measure that means anything has to fall. It is tried on the texts that were drawn, where yes and no are about equally
frequent, and on all held-out tokens, where a feature is rarely active: there balanced accuracy hardly falls, which is why
it never stands alone here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool

from evals.scoring.measures import MEASURES, Graded, Truth, measure, measure_counts
from tools.records import Record

Damage = Literal["missing", "extra"]
DAMAGES: tuple[Damage, ...] = ("missing", "extra")
Place = Literal["texts drawn", "all tokens"]
COMPOSITE = "composite"
LEAST_FALL = 0.1
"""What a measure has to fall by on a feature."""
LEAST_SHARE = 0.9
"""Share of the features on which it has to."""
Tried = tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " m"]]
"""The right answers to one feature's detection and fuzzing items."""


class SanityCheck(Record):
    """How one measure takes damaged answers."""

    measure: str
    on: Place
    features: int
    falls: dict[Damage, float]
    """Mean fall over the features."""
    noticed: dict[Damage, float]
    """Share of the features on which it falls enough."""

    @property
    def passes(self) -> bool:
        """Whether it notices both kinds of damage."""
        return bool(self.features) and all(share >= LEAST_SHARE for share in self.noticed.values())


def check_measures(drawn: Sequence[Tried], shares: Sequence[float], seed: int) -> list[SanityCheck]:
    """Try every measure on perfect answers and on damaged ones.

    Args:
        drawn: of each scored feature, the right answers to its items.
        shares: of each, the share of held-out tokens at which it is active.
        seed: of the answers that are damaged.
    """
    rng = np.random.default_rng(seed)
    on_texts = [list(_try_texts(detection, fuzzing, rng)) for detection, fuzzing in drawn]
    on_tokens = [list(_try_tokens(share)) for share in shares if 0 < share <= 0.5]
    checks = [_sum_up(name, "texts drawn", on_texts) for name in (*MEASURES, COMPOSITE)]
    return checks + [_sum_up(name, "all tokens", on_tokens) for name in MEASURES]


def spoil(truth: Truth, damage: Damage, rng: np.random.Generator) -> Graded:
    """Perfect answers with half of the yeses dropped, or with as many false ones added as there are right ones."""
    answers = truth.astype(float)
    if damage == "missing":
        due = np.flatnonzero(truth)
        answers[rng.permutation(due)[: len(due) // 2]] = 0.0
    else:
        others = np.flatnonzero(~truth)
        answers[rng.permutation(others)[: int(truth.sum())]] = 1.0
    return answers


def compose(detection: Mapping[str, float], fuzzing: Mapping[str, float]) -> float:
    """The composite score of a label: the mean of Matthews' correlation in detection and in fuzzing.

    1 is perfect, and 0 what always saying yes, or chance, is worth.
    """
    return (detection["mcc"] + fuzzing["mcc"]) / 2


def _try_texts(detection: Truth, fuzzing: Truth, rng: np.random.Generator) -> Iterator[tuple[Damage, dict[str, float]]]:
    """Falls of each measure from 1, which is what perfect answers get."""
    for damage in DAMAGES:
        got = measure(detection, spoil(detection, damage, rng))
        whole = compose(got, measure(fuzzing, spoil(fuzzing, damage, rng)))
        yield damage, {name: 1 - value for name, value in {**got, COMPOSITE: whole}.items()}


def _try_tokens(share: float) -> Iterator[tuple[Damage, dict[str, float]]]:
    """The same for a feature that is active at that share of very many tokens, from the confusion matrix."""
    half = share / 2
    matrices: dict[Damage, list[list[float]]] = {
        "missing": [[1 - share, 0.0], [half, half]],
        "extra": [[1 - 2 * share, share], [0.0, share]],
    }
    areas: dict[Damage, float] = {"missing": 0.5 + half, "extra": 0.5}
    for damage, matrix in matrices.items():
        got = {**measure_counts(np.array(matrix)), "auprc": areas[damage]}
        yield damage, {name: 1 - value for name, value in got.items()}


def _sum_up(name: str, on: Place, tried: Sequence[Sequence[tuple[Damage, dict[str, float]]]]) -> SanityCheck:
    falls: dict[Damage, list[float]] = {damage: [dict(one)[damage][name] for one in tried] for damage in DAMAGES}
    return SanityCheck(
        measure=name,
        on=on,
        features=len(tried),
        falls={damage: float(np.mean(values)) if values else 0.0 for damage, values in falls.items()},
        noticed={
            damage: float(np.mean(np.array(values) >= LEAST_FALL)) if values else 0.0
            for damage, values in falls.items()
        },
    )
