"""Floors that every agreement table carries: what costs nothing to reach, and what is wrong by construction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from agent.folder.records import Decision
from evals.agreement.comparison import Codes, Side, fill_row, mean_over_slots, measure_row, measures, stack_answers
from evals.agreement.results import Row
from evals.statistics.estimate import Estimate, estimate_share

SHUFFLES = 1000


def majority_row(sides: Sequence[Side], owner: Codes, k: int, ordinal: bool, seed: int) -> Row:
    """What always giving the people's commonest answer would score, on the answers of the headline."""
    given = np.concatenate([g[(g >= 0) & (a >= 0)] for g, a in sides])
    common = int(np.bincount(given, minlength=k).argmax()) if len(given) else 0
    constant = [(g, np.where(a >= 0, common, a)) for g, a in sides]
    return measure_row(
        "control: always the commonest answer", "control", stack_answers(constant, owner, k), ordinal, seed
    )


def shuffled_row(sides: Sequence[Side], owner: Codes, k: int, ordinal: bool, seed: int) -> Row:
    """The judge's answers moved to other features at random; the intervals are the middle 95 % of 1,000 shuffles.

    A feature's answers move together, to a feature that was asked as many questions.
    """
    orders = _shuffled_orders(owner, seed)
    sums = np.zeros((SHUFFLES, len(sides), k, k))
    for slot, (given, answer) in enumerate(sides):
        moved = answer[orders]
        kept = (given >= 0) & (moved >= 0)
        cell = np.arange(SHUFFLES)[:, None] * k * k + given * k + moved
        sums[:, slot] = np.bincount(cell[kept], minlength=SHUFFLES * k * k).reshape(SHUFFLES, k, k)
    statistics: dict[str, Estimate] = {}
    for key, measure in measures(k, ordinal).items():
        values = mean_over_slots(measure)(sums)
        values = values[~np.isnan(values)]
        if len(values):
            low, high = np.quantile(values, [0.025, 0.975])
            statistics[key] = Estimate(
                value=float(values.mean()), low=float(low), high=float(high), method="permutations"
            )
    return fill_row("control: shuffled labels", "control", stack_answers(sides, owner, k), statistics)


def random_direction_row(decisions: Sequence[Decision]) -> Row | None:
    """Random directions, none of which is a feature: a judge that finds one relevant is wrong. None if the run has none."""
    verdicts = [d.relevant for d in decisions if d.feature.kind == "random_direction"]
    if not verdicts:
        return None
    yes, no = verdicts.count("yes"), verdicts.count("no")
    right = estimate_share(no, yes + no)
    return Row(
        name="control: random directions, all no",
        kind="control",
        n=yes + no,
        features=yes + no,
        undecided=verdicts.count("undecided"),
        failed=verdicts.count(None),
        statistics={"accuracy": right, "recall_no": right},
    )


def _shuffled_orders(owner: Codes, seed: int) -> Int[np.ndarray, "shuffles cases"]:
    """Permutations of the cases that keep each feature's cases together and in their order."""
    rng = np.random.default_rng(seed)
    sizes = np.bincount(owner)
    orders = np.tile(np.arange(len(owner)), (SHUFFLES, 1))
    by_feature = np.argsort(owner, kind="stable")
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes[sizes > 0]):
        alike = by_feature[starts[sizes == size][:, None] + np.arange(size)]
        moved = rng.permuted(np.tile(np.arange(len(alike)), (SHUFFLES, 1)), axis=1)
        orders[:, alike.ravel()] = alike[moved].reshape(SHUFFLES, -1)
    return orders
