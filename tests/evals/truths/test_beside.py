"""Runs over the same features: what each gains and loses against the first, on the concepts that both have."""

from __future__ import annotations

import pytest

from agent.llm.records import Usage
from evals.statistics.estimate import estimate_share
from evals.truths.beside import HeldRun, compare_runs
from evals.truths.naming import Outcome
from evals.truths.results import LabelRow, LabelsHeld, MatcherRef
from tools.records import FeatureRef


def held(name: str, outcomes: list[Outcome]) -> HeldRun:
    rows = [
        LabelRow(
            feature=FeatureRef(study="s", sae="base", index=number),
            group="random" if outcome == "named" else "concept",
            name="x",
            meaning=None,
            label="y",
            confidence=0.5,
            outcome=outcome,
        )
        for number, outcome in enumerate(outcomes)
    ]
    labels = LabelsHeld(
        matcher=MatcherRef(name="words", usage=Usage()),
        rows=(),
        concepts=tuple(rows),
        swapped=estimate_share(0, 3),
        swapped_pairs=3,
        same_group=estimate_share(0, 3),
        calibration=None,
    )
    return HeldRun(name, "m", (), labels)


def test_gains_and_losses_are_of_the_same_concepts_and_placebos_are_none() -> None:
    first = held("all", ["right", "right", "wrong", "failed", "named"])
    other = held("less", ["right", "nothing nameable", "right", "right", "named", "right"])
    row = compare_runs([first, other])[1]
    assert (row.pairs, row.gained, row.lost) == (4, 2, 1)
    assert row.p == pytest.approx(1.0)


def test_tests_are_mcnemars_exact_ones_and_corrected_together() -> None:
    first = held("all", ["right"] * 8)
    lost_all, lost_none = held("a", ["wrong"] * 8), held("b", ["right"] * 8)
    _, worst, same = compare_runs([first, lost_all, lost_none])
    assert worst.p == pytest.approx(2 * 0.5**8) and worst.corrected == pytest.approx(4 * 0.5**8)
    assert (same.p, same.corrected) == (1.0, 1.0)
