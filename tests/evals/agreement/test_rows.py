"""The agreement table: who is compared on what, what is left out, and the floors beside it."""

from __future__ import annotations

import numpy as np
import pytest

from agent.folder.records import Decision
from evals.agreement.controls import random_direction_row
from evals.agreement.pairing import ABSENT, FAILED, UNDECIDED, consensus, match
from evals.agreement.results import Row
from evals.agreement.rows import HEADLINE, compare, compare_judges, confuse
from evals.errors import LabelError
from evals.manual.records import Item, Label
from tests.evals.worlds import decide, feature, label


def rows(decisions: list[Decision], labels: list[Label], question: str = "relevant") -> dict[str, Row]:
    return {row.name: row for row in compare(match(decisions, labels, question))}


def value(row: Row, name: str) -> float | None:
    return row.statistics[name].value


def table(counts: tuple[int, int, int, int], annotator: str = "ana") -> tuple[list[Decision], list[Label]]:
    """Features for both no, judge yes only, people yes only, and both yes."""
    pairs = [("no", "no"), ("no", "yes"), ("yes", "no"), ("yes", "yes")]
    both = [pair for pair, count in zip(pairs, counts, strict=True) for _ in range(count)]
    decisions = [decide(i, judged) for i, (_, judged) in enumerate(both)]
    return decisions, [label(i, given, annotator) for i, (given, _) in enumerate(both)]


def test_a_known_table_has_its_known_figures() -> None:
    headline = rows(*table((118, 5, 2, 0)))[HEADLINE]
    assert headline.n == headline.features == 125
    assert value(headline, "accuracy") == pytest.approx(0.944)
    assert value(headline, "kappa") == pytest.approx(-0.023, abs=5e-4)
    assert value(headline, "ac1") == pytest.approx(0.941, abs=5e-4)
    assert value(headline, "prevalence_index") == pytest.approx(0.944)
    assert value(headline, "bias_index") == pytest.approx(3 / 125)
    assert value(headline, "precision_yes") == 0
    assert value(headline, "recall_no") == pytest.approx(118 / 123)


def test_undecided_and_failed_are_in_no_figure_and_bound_them_all() -> None:
    decisions, labels = table((40, 9, 6, 45))
    decisions += [decide(200, "undecided"), decide(201, "undecided"), decide(202, None)]
    labels += [label(200, "yes"), label(201, "no"), label(202, "yes")]
    found = rows(decisions, labels)
    headline = found[HEADLINE]
    assert (headline.n, headline.undecided, headline.failed) == (100, 2, 1)
    assert value(headline, "kappa") == pytest.approx(0.700, abs=5e-4)
    worst, best = found["undecided and failed as wrong"], found["undecided and failed as right"]
    assert (worst.n, best.n) == (103, 103)
    assert value(worst, "accuracy") == pytest.approx(85 / 103)
    assert value(best, "accuracy") == pytest.approx(88 / 103)


def test_the_matrix_of_answers_shows_everything_that_was_left_out() -> None:
    decisions = [decide(0, "yes"), decide(1, "undecided"), decide(2, None), decide(3, "no")]
    labels = [label(0, "yes"), label(1, "no"), label(2, "yes"), label(3, "undecided")]
    found = confuse(match(decisions, labels, "relevant"))
    assert found.columns == ("no", "yes", "undecided", "failed")
    assert found.counts == ((0, 0, 1, 0), (0, 1, 0, 1), (1, 0, 0, 0))


def test_floors_stand_in_the_table() -> None:
    found = rows(*table((118, 5, 2, 0)))
    commonest, shuffled = found["control: always the commonest answer"], found["control: shuffled labels"]
    assert value(commonest, "accuracy") == pytest.approx(123 / 125)
    assert value(commonest, "kappa") == 0
    assert value(shuffled, "kappa") == pytest.approx(0, abs=0.02)
    assert value(shuffled, "accuracy") == pytest.approx(0.9456, abs=0.01)
    assert shuffled.statistics["kappa"].method == "permutations"


def test_two_annotators_are_compared_with_the_judge_and_with_each_other() -> None:
    decisions, first = table((40, 9, 6, 45))
    _, second = table((40, 9, 6, 45), "ben")
    flipped = [label(one.item.index, "no" if one.value == "yes" else "yes", "ben") for one in second[:10]]
    found = rows(decisions, [*first, *flipped, *second[10:60]])
    assert found["ana and ben"].n == 60
    assert value(found["ana and ben"], "accuracy") == pytest.approx(50 / 60)
    assert found["judge and ana"].n == 100 and found["judge and ben"].n == 60
    mean = (value(found["judge and ana"], "kappa") or 0) + (value(found["judge and ben"], "kappa") or 0)
    assert value(found[HEADLINE], "kappa") == pytest.approx(mean / 2)
    same, people = found["judge and people, same items"], found["people, same items"]
    gap = found["judge with people less people among themselves"]
    assert same.features == people.features == 60
    difference = (value(same, "kappa") or 0) - (value(people, "kappa") or 0)
    assert value(gap, "kappa") == pytest.approx(difference)


def test_alpha_of_three_people_leaves_missing_answers_open() -> None:
    decisions, first = table((10, 2, 3, 10))
    more = [label(one.item.index, one.value, name) for one in first[:15] for name in ("ben", "cleo")]
    found = rows(decisions, [*first, *more])
    assert value(found["people, all together"], "alpha") == pytest.approx(1)
    assert found["people, all together"].n == 15


def test_ratings_of_several_concepts_are_drawn_again_by_feature() -> None:
    rng = np.random.default_rng(0)
    ratings = [{"a": int(a), "b": int(b)} for a, b in rng.integers(0, 5, (30, 2))]
    decisions = [decide(i, None, ratings=given) for i, given in enumerate(ratings)]
    labels = [label(i, min(4, r + (i % 3 == 0)), question=c) for i, g in enumerate(ratings) for c, r in g.items()]
    found = rows(decisions, labels, "ratings")[HEADLINE]
    assert (found.n, found.features) == (60, 30)
    assert found.statistics["accuracy"].method == "bca"
    assert (value(found, "kappa_quadratic") or 0) > (value(found, "kappa") or 0) > 0.4
    assert value(found, "accuracy_any") == pytest.approx(
        np.mean([(r > 0) == (min(4, r + (i % 3 == 0)) > 0) for i, g in enumerate(ratings) for r in g.values()])
    )
    one = rows(decisions, labels, "a")[HEADLINE]
    assert one.n == 30


def test_what_the_judge_was_not_asked_is_not_compared() -> None:
    decisions = [decide(i, "yes", interpretable=3 if i < 5 else None) for i in range(10)]
    labels = [label(i, 3, question="interpretable") for i in range(10)]
    assert rows(decisions, labels, "interpretable")[HEADLINE].n == 5


def test_nothing_in_common_says_what_there_is() -> None:
    decisions = [decide(i, "yes") for i in range(3)]
    with pytest.raises(LabelError, match="the questions answered are: dentist"):
        match(decisions, [label(1, 3, question="dentist")], "relevant")
    elsewhere = label(1, "yes").model_copy(update={"item": Item(sae="finetuned", index=1)})
    with pytest.raises(LabelError, match="the run's SAEs are tiny/base, the labels' \\*/finetuned"):
        match(decisions, [elsewhere], "relevant")
    with pytest.raises(LabelError, match="made by a program"):
        match(decisions, [label(1, "yes", machine=True)], "relevant")


def test_labels_of_programs_count_when_asked_to_and_are_named() -> None:
    labels = [label(1, "yes", machine=True), label(2, "no", "ana")]
    decisions = [decide(1, "yes"), decide(2, "yes")]
    left_out, counted = (match(decisions, labels, "relevant", programs) for programs in (False, True))
    assert (left_out.machine, left_out.programs, len(left_out.cases)) == (1, (), 1)
    assert (counted.machine, len(counted.cases)) == (0, 2)
    assert counted.programs == (labels[0].annotator,)


def test_labels_of_another_study_are_counted_and_left_out() -> None:
    other = label(1, "no").model_copy(update={"item": Item(study="other", sae="base", index=1)})
    found = match([decide(1, "yes"), decide(2, "yes")], [other, label(2, "yes")], "relevant")
    assert [case.feature.index for case in found.cases] == [2]
    assert found.unmatched == 1


def test_everything_can_have_failed() -> None:
    decisions = [decide(i, None) for i in range(5)]
    found = rows(decisions, [label(i, "yes") for i in range(5)])
    assert (found[HEADLINE].n, found[HEADLINE].failed) == (0, 5)
    assert found[HEADLINE].statistics == {}
    assert value(found["undecided and failed as wrong"], "accuracy") == 0


def test_a_matching_knows_its_answers_as_categories_and_counts_them_once() -> None:
    decisions = [decide(0, "yes"), decide(1, "undecided"), decide(2, None)]
    labels = [label(0, "yes", "ana"), label(0, "yes", "ben"), label(1, "no", "ben"), label(2, "undecided", "ana")]
    matching = match(decisions, labels, "relevant")
    assert matching.judged.tolist() == [1, UNDECIDED, FAILED]
    assert matching.people.tolist() == [[1, 1], [ABSENT, 0], [UNDECIDED, ABSENT]]
    assert matching.reference.tolist() == [1, 0, UNDECIDED]
    assert matching.owner.tolist() == [0, 1, 2]
    assert matching.people is matching.people
    assert "people" not in matching.model_dump() and matching == match(decisions, labels, "relevant")


def test_a_consensus_is_a_majority_and_a_tie_is_none() -> None:
    people = np.array([[1, 1, 0], [1, 0, -3], [-1, -1, 1], [-3, -3, -3], [0, 0, 1]])
    assert consensus(people).tolist() == [1, UNDECIDED, 1, UNDECIDED, 0]


def test_mcnemars_exact_test_has_its_known_answer() -> None:
    """Ten features that only this judge has right, two that only the other has."""
    reference = np.zeros(40, dtype=int)
    this, other = reference.copy(), reference.copy()
    other[:10], this[10:12] = 1, -1
    this[12:15], other[12:15] = 1, -2
    found = compare_judges(reference, this, other, "rules")
    assert (found.only_this, found.only_other, found.both, found.neither) == (10, 2, 25, 3)
    assert found.p == pytest.approx(0.0386, abs=5e-5)


def test_judges_that_err_alike_do_not_differ() -> None:
    same = np.array([0, 1, 0, 1])
    assert compare_judges(np.array([0, 1, 1, -1]), same, same, "other").p == 1.0


def test_a_yes_to_a_random_direction_is_an_error() -> None:
    verdicts = ["yes", "no", "no", "no", "undecided", None]
    found = random_direction_row(
        [decide(i, verdict, stratum="random directions") for i, verdict in enumerate(verdicts)]
    )
    assert found is not None
    assert (found.n, found.undecided, found.failed) == (4, 1, 1)
    assert value(found, "accuracy") == 0.75
    assert random_direction_row([decide(1, "yes")]) is None


def test_labels_on_random_directions_are_told_from_those_on_features() -> None:
    direction = decide(7, "no", stratum="random directions")
    item = Item(sae="base", index=7, kind="random_direction")
    labels = [label(7, "yes"), label(7, "no").model_copy(update={"item": item})]
    found = match([decide(7, "yes"), direction], labels, "relevant")
    assert [(case.feature, case.answers["ana"]) for case in found.cases] == [
        (feature(7), "yes"),
        (direction.feature, "no"),
    ]
