"""The alternative annotator test on raters whose outcome its authors state, and on ones worked by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from evals.agreement.pairing import match
from evals.agreement.stand_in import Instance, alternative_annotator_test, try_stand_ins
from tests.evals.worlds import decide, label

Numbers = dict[Instance, float]


def answers(values: np.ndarray) -> Numbers:
    return {(f"f{number}", "q"): float(value) for number, value in enumerate(values)}


def identical(n: int, raters: int, seed: int = 0) -> tuple[np.ndarray, Mapping[str, Numbers]]:
    truth = np.random.default_rng(seed).integers(0, 4, n)
    return truth, {f"h{number}": answers(truth) for number in range(raters)}


@pytest.mark.parametrize("score", ["accuracy", "neg_rmse"])
@pytest.mark.parametrize("n", [20, 60])
def test_a_judge_like_identical_raters_wins_them_all(score: str, n: int) -> None:
    truth, people = identical(n, 3)
    found = alternative_annotator_test(answers(truth), people, score)
    assert (found.winning_rate, found.advantage, found.passed) == (1.0, 1.0, True)
    assert all(one.difference == 0 for one in found.annotators)


@pytest.mark.parametrize("n", [20, 60])
def test_a_judge_that_guesses_wins_no_identical_rater(n: int) -> None:
    _, people = identical(n, 3)
    guesses = np.random.default_rng(9).integers(0, 4, n)
    found = alternative_annotator_test(answers(guesses), people, "accuracy")
    assert (found.winning_rate, found.passed) == (0.0, False)
    assert found.advantage == pytest.approx(0.25, abs=0.15)


def test_a_judge_that_is_the_majority_is_never_farther_from_the_others_than_a_rater() -> None:
    rng = np.random.default_rng(2)
    raters = rng.integers(0, 2, (5, 80))
    people = {f"h{number}": answers(line) for number, line in enumerate(raters)}
    found = alternative_annotator_test(answers((raters.sum(0) > 2).astype(int)), people, "accuracy")
    assert found.advantage == 1.0


def test_an_example_by_hand() -> None:
    """Forty instances; the judge agrees with both raters on 30; on 10 the raters agree and the judge does not."""
    people = {"a": answers(np.zeros(40)), "b": answers(np.zeros(40))}
    judge = answers(np.repeat([0, 1], [30, 10]))
    found = alternative_annotator_test(judge, people, "accuracy", epsilon=0.2)
    first = found.annotators[0]
    assert (first.n, first.advantage, first.difference) == (40, 0.75, 0.25)
    # t = (0.25 - 0.2) / (0.4385 / sqrt(40)) = 0.721, one-sided on the wrong side; corrected by 1 + 1/2.
    assert first.test == "t"
    assert first.p == pytest.approx(min(1, 0.7624 * 1.5), abs=1e-3)
    assert not first.won


def test_instances_of_one_feature_count_once() -> None:
    truth, _ = identical(40, 2)
    people = {
        name: {(f"f{i}", f"concept {c}"): float(v) for i, v in enumerate(truth) for c in range(8)} for name in "ab"
    }
    found = alternative_annotator_test(people["a"], people, "neg_rmse")
    assert [one.n for one in found.annotators] == [40, 40]


def test_raters_who_share_too_little_are_named_and_not_tested() -> None:
    truth, people = identical(40, 2)
    few = {instance: value for instance, value in list(answers(truth).items())[:3]}
    found = alternative_annotator_test(answers(truth), {**people, "late": few}, "accuracy")
    assert [one.annotator for one in found.annotators] == ["h0", "h1"]
    assert "3 features" in found.left_out["late"]


def test_nobody_to_compare_with_is_no_verdict() -> None:
    found = alternative_annotator_test({}, {"a": {}, "b": {}}, "accuracy")
    assert (found.winning_rate, found.advantage, found.passed) == (None, None, False)


def test_one_answer_for_all_stands_beside_the_judge_where_an_answer_is_rare() -> None:
    """With 5 % positives a judge that always says no passes: the control shows it."""
    decisions = [decide(i, "yes" if i % 20 == 0 else "no") for i in range(100)]
    labels = [label(i, "yes" if i % 20 == 0 else "no", name) for i in range(100) for name in ("ana", "ben", "cleo")]
    judge, commonest, shuffled = try_stand_ins(match(decisions, labels, "relevant"))
    assert (judge.winning_rate, judge.advantage) == (1.0, 1.0)
    assert commonest.passed
    assert commonest.advantage == pytest.approx(0.95)
    assert shuffled.advantage is not None and shuffled.advantage < 1


def test_what_the_judge_failed_at_is_left_out_of_the_test() -> None:
    decisions = [decide(i, None if i < 10 else "no") for i in range(50)]
    labels = [label(i, "no", name) for i in range(50) for name in ("ana", "ben")]
    judge = try_stand_ins(match(decisions, labels, "relevant"))[0]
    assert [one.n for one in judge.annotators] == [40, 40]
    assert judge.advantage == 1.0
