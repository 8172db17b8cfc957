"""What to label next, and agreement over a whole run from labels on a part of it."""

from __future__ import annotations

import numpy as np
import pytest

from evals.agreement.sampling import Judged, plan_labels, weigh_labels
from evals.statistics.matrices import cohen_kappa
from tests.evals.worlds import feature


def make_judged(rng: np.random.Generator, n: int = 400) -> tuple[list[Judged], np.ndarray]:
    """A judge that says yes rarely, and the people's answers it is held against."""
    truth = (rng.random(n) < 0.12).astype(int)
    verdicts = np.where(truth, rng.random(n) < 0.75, rng.random(n) < 0.06).astype(int)
    return [Judged(feature(i), "unrelated controls", int(v), None, False) for i, v in enumerate(verdicts)], truth


def answer(judged: list[Judged], truth: np.ndarray, chosen: set[int]) -> list[Judged]:
    return [one._replace(label=int(truth[i]), asked=True) if i in chosen else one for i, one in enumerate(judged)]


def whole_kappa(judged: list[Judged], truth: np.ndarray) -> float:
    table = np.zeros((2, 2))
    for one, true in zip(judged, truth, strict=True):
        table[true, one.verdict] += 1
    return float(cohen_kappa(table))


def test_labels_by_plan_come_nearer_to_the_whole_runs_kappa_than_labels_at_random() -> None:
    rng = np.random.default_rng(0)
    by_plan, at_random = list[float](), list[float]()
    for trial in range(40):
        judged, truth = make_judged(rng)
        start = set(map(int, rng.permutation(400)[:40]))
        known = answer(judged, truth, start)
        plan = plan_labels(known, 40, seed=trial)
        assert plan is not None and len(plan.proposals) == 40
        proposed = {one.feature.index for one in plan.proposals}
        assert not proposed & start
        free = [i for i in range(400) if i not in start]
        drawn = set(map(int, rng.permutation(free)[:40]))
        for chosen, errors in ((proposed, by_plan), (drawn, at_random)):
            row = weigh_labels(answer(judged, truth, start | chosen))
            if row is not None and row.statistics["kappa"].value is not None:
                errors.append(row.statistics["kappa"].value - whole_kappa(judged, truth))
    assert np.std(by_plan) < 0.75 * np.std(at_random)
    assert abs(np.mean(by_plan)) < 0.03


def test_the_plan_says_what_it_expects_to_gain() -> None:
    rng = np.random.default_rng(1)
    judged, truth = make_judged(rng)
    plan = plan_labels(answer(judged, truth, set(range(60))), 30)
    assert plan is not None
    assert plan.error_planned < plan.error_random < plan.error_now


def test_labels_weighted_by_cell_undo_an_uneven_choice() -> None:
    """All that the judge called yes are labelled, and one in four of the rest."""
    rng = np.random.default_rng(2)
    judged, truth = make_judged(rng, 4000)
    chosen = {i for i, one in enumerate(judged) if one.verdict == 1 or i % 4 == 0}
    row = weigh_labels(answer(judged, truth, chosen))
    assert row is not None
    kappa = row.statistics["kappa"]
    assert kappa.value == pytest.approx(whole_kappa(judged, truth), abs=0.03)
    assert kappa.low is not None and kappa.high is not None
    assert kappa.low < whole_kappa(judged, truth) < kappa.high
    assert row.n == len(chosen)


def test_weights_need_a_label_in_every_cell_and_some_feature_without_one() -> None:
    rng = np.random.default_rng(3)
    judged, truth = make_judged(rng)
    noes = {i for i, one in enumerate(judged) if one.verdict == 0}
    assert weigh_labels(answer(judged, truth, noes)) is None
    assert weigh_labels(answer(judged, truth, set(range(400)))) is None


def test_nothing_is_proposed_when_everything_was_asked() -> None:
    rng = np.random.default_rng(4)
    judged, truth = make_judged(rng, 50)
    assert plan_labels(answer(judged, truth, set(range(50))), 10) is None
    assert plan_labels([], 10) is None


def test_features_people_were_undecided_on_are_not_proposed_again() -> None:
    rng = np.random.default_rng(5)
    judged, _ = make_judged(rng, 50)
    asked = [one._replace(asked=i < 45) for i, one in enumerate(judged)]
    plan = plan_labels(asked, 10)
    assert plan is not None
    assert sorted(one.feature.index for one in plan.proposals) == [45, 46, 47, 48, 49]
