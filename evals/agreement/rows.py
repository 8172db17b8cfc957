"""The agreement table: the judge with the people, the people with each other, and the floors beside them.

What the judge left undecided or failed at is in no comparison; two rows show what the figures would be if all of it
were wrong, or right.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Int

from evals.agreement.comparison import (
    Codes,
    Compared,
    Side,
    alpha_row,
    estimate,
    fill_row,
    mean_over_slots,
    measure_row,
    measures,
    stack_answers,
)
from evals.agreement.controls import majority_row, shuffled_row
from evals.agreement.pairing import FAILED, UNDECIDED, Matching
from evals.agreement.results import Confusion, PairedTest, Row
from evals.statistics.bootstrap import Statistic, gather_units, resample
from tools.records import STRATA

HEADLINE = "judge and people"
_COMPARED = ("kappa", "accuracy", "alpha", "ac1", "mcc")


def compare(matching: Matching, seed: int = 0) -> tuple[Row, ...]:
    """Every row of the agreement table.

    The first is the headline: the judge and the people, with several annotators the mean over them.
    """
    people, owner, k, ordinal = matching.people, matching.owner, len(matching.categories), matching.ordinal
    names = matching.annotators
    sides: list[Side] = [(people[:, a], matching.judged) for a in range(len(names))]
    rows = [measure_row(HEADLINE, "judge", stack_answers(sides, owner, k), ordinal, seed)]
    if len(names) > 1:
        for name, side in zip(names, sides, strict=True):
            rows.append(measure_row(f"judge and {name}", "judge", stack_answers([side], owner, k), ordinal, seed))
    rows += _treatment_rows(sides, owner, k, ordinal, seed)
    rows += people_rows(names, people, owner, k, ordinal, seed)
    if len(names) > 1:
        rows += _shared_rows(matching, seed)
    rows += _stratum_rows(matching, sides, owner, seed)
    rows.append(majority_row(sides, owner, k, ordinal, seed))
    rows.append(shuffled_row(sides, owner, k, ordinal, seed))
    return tuple(rows)


def compare_side(matching: Matching, name: str, seed: int = 0) -> Row:
    """The judge and the people on one side of the features, as the headline is on the whole."""
    sides: list[Side] = [(matching.people[:, a], matching.judged) for a in range(len(matching.annotators))]
    answers = stack_answers(sides, matching.owner, len(matching.categories))
    return measure_row(name, "judge", answers, matching.ordinal, seed)


def people_rows(
    names: Sequence[str],
    people: Int[np.ndarray, "cases annotators"],
    owner: Codes,
    k: int,
    ordinal: bool,
    seed: int = 0,
) -> list[Row]:
    """Annotators among themselves: every pair, and with three or more the mean over the pairs and alpha of all.

    Args:
        names: of the annotators.
        people: their answers as categories, below 0 for none.
        owner: the feature each case is about.
        k: number of categories.
        ordinal: whether the categories are ratings.
        seed: of the bootstrap.
    """
    pairs = {
        f"{names[a]} and {names[b]}": (people[:, a], people[:, b])
        for a, b in combinations(range(len(names)), 2)
        if ((people[:, a] >= 0) & (people[:, b] >= 0)).any()
    }
    rows = [measure_row(name, "people", stack_answers([side], owner, k), ordinal, seed) for name, side in pairs.items()]
    if len(pairs) > 1:
        mean = stack_answers(list(pairs.values()), owner, k)
        rows.append(measure_row("people, mean over pairs", "people", mean, ordinal, seed))
        rows.append(alpha_row("people, all together", people, owner, k, ordinal, seed))
    return rows


def confuse(matching: Matching) -> Confusion:
    """Counts of every answer the people gave against the judge's, undecided and failed ones included."""
    columns = (*matching.categories, "undecided", "failed")
    k = len(matching.categories)
    counts = np.zeros((k + 1, k + 2), dtype=int)
    place = {UNDECIDED: k, FAILED: k + 1}
    for answer, given in zip(matching.judged, matching.people, strict=True):
        for one in given[given >= UNDECIDED]:
            counts[place.get(int(one), int(one)), place.get(int(answer), int(answer))] += 1
    return Confusion(rows=columns[:-1], columns=columns, counts=tuple(tuple(map(int, line)) for line in counts))


def compare_judges(reference: Codes, judged: Codes, others: Codes, other: str) -> PairedTest:
    """McNemar's exact test of two judges on the same features. Undecided and failed answers count as not right.

    Args:
        reference: people's categories; cases without one are left out.
        judged: this run's categories, below 0 for none.
        others: the other run's.
        other: the other run's name.
    """
    from scipy.stats import binomtest

    known = reference >= 0
    this, that = judged[known] == reference[known], others[known] == reference[known]
    only_this, only_other = int((this & ~that).sum()), int((that & ~this).sum())
    p = binomtest(only_this, only_this + only_other).pvalue if only_this + only_other else 1.0
    return PairedTest(
        other=other,
        n=int(known.sum()),
        both=int((this & that).sum()),
        only_this=only_this,
        only_other=only_other,
        neither=int((~this & ~that).sum()),
        p=float(p),
    )


def _treatment_rows(sides: Sequence[Side], owner: Codes, k: int, ordinal: bool, seed: int) -> list[Row]:
    """What was left undecided or failed, taken as the category farthest from the people's, and as the people's own."""
    wrong = [(given, np.where(answer < 0, np.where(given < k / 2, k - 1, 0), answer)) for given, answer in sides]
    right = [(given, np.where(answer < 0, np.clip(given, 0, None), answer)) for given, answer in sides]
    return [
        measure_row(f"undecided and failed as {name}", "treatment", stack_answers(filled, owner, k), ordinal, seed)
        for name, filled in (("wrong", wrong), ("right", right))
    ]


def _shared_rows(matching: Matching, seed: int) -> list[Row]:
    """On the cases that the judge and at least two people answered: judge with people, people, and the difference."""
    answered = (matching.judged >= 0) & ((matching.people >= 0).sum(1) > 1)
    if not answered.any():
        return []
    kept, own, judge = matching.people[answered], matching.owner[answered], matching.judged[answered]
    n, k, ordinal = kept.shape[1], len(matching.categories), matching.ordinal
    pairs = [(kept[:, a], kept[:, b]) for a, b in combinations(range(n), 2)]
    cells = stack_answers([*((kept[:, a], judge) for a in range(n)), *pairs], own, k).cells
    with_people, among = Compared(cells[:, :n]), Compared(cells[:, n:])
    units = gather_units(cells)
    sums = resample(units, seed)
    gaps = {
        key: estimate(_gap(mean_over_slots(measure), n), units, sums)
        for key, measure in measures(k, ordinal).items()
        if key.startswith(_COMPARED)
    }
    return [
        measure_row("judge and people, same items", "judge", with_people, ordinal, seed),
        measure_row("people, same items", "people", among, ordinal, seed),
        fill_row("judge with people less people among themselves", "judge", Compared(cells), gaps),
        alpha_row("people and judge, all together", np.column_stack([kept, judge]), own, k, ordinal, seed),
    ]


def _gap(mean: Statistic, place: int) -> Statistic:
    return lambda sums: mean(sums[..., :place, :, :]) - mean(sums[..., place:, :, :])


def _stratum_rows(matching: Matching, sides: Sequence[Side], owner: Codes, seed: int) -> list[Row]:
    where = np.array([case.stratum for case in matching.cases])
    present = [stratum for stratum in STRATA if (where == stratum).any()]
    rows: list[Row] = []
    for stratum in present if len(present) > 1 else ():
        inside = where == stratum
        part = stack_answers([(g[inside], a[inside]) for g, a in sides], owner[inside], len(matching.categories))
        rows.append(measure_row(stratum, "stratum", part, matching.ordinal, seed))
    return rows
