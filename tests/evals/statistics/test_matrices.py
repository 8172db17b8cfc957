"""Agreement statistics: known answers, independent implementations, and what must hold for any counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import cohens_kappa

from evals.statistics.matrices import (
    accuracy,
    any_relation,
    bias_index,
    cohen_kappa,
    coincidences,
    confusion_cells,
    f1,
    gwet_ac1,
    krippendorff_alpha,
    matthews,
    precision,
    prevalence_index,
    recall,
)

KRIPPENDORFF = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""
"""Krippendorff's worked example: four observers, twelve units."""

matrices = st.integers(2, 5).flatmap(
    lambda k: st.lists(st.lists(st.integers(0, 30), min_size=k, max_size=k), min_size=k, max_size=k)
)


@pytest.mark.parametrize(
    ("counts", "observed", "kappa", "ac1"),
    [
        ([[118, 5], [2, 0]], 0.944, -0.023, 0.941),
        ([[80, 10], [5, 5]], 0.85, 0.318, 0.808),
        ([[40, 9], [6, 45]], 0.85, 0.700, 0.701),
    ],
)
def test_the_same_agreement_is_worth_little_where_one_answer_is_rare(
    counts: list[list[int]], observed: float, kappa: float, ac1: float
) -> None:
    table = np.array(counts, dtype=float)
    assert accuracy(table) == pytest.approx(observed, abs=5e-4)
    assert cohen_kappa(table) == pytest.approx(kappa, abs=5e-4)
    assert gwet_ac1(table) == pytest.approx(ac1, abs=5e-4)


@pytest.mark.parametrize(
    ("metric", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_krippendorffs_example_has_his_alphas(metric: str, alpha: float) -> None:
    cells = [
        [-1 if cell == "." else int(cell) - 1 for cell in line.split()] for line in KRIPPENDORFF.split("\n") if line
    ]
    summed = coincidences(np.array(cells).T, 5).sum(0)
    assert krippendorff_alpha(summed, metric, np.arange(1.0, 6.0)) == pytest.approx(alpha, abs=5e-4)


def test_shuffled_labels_of_a_rare_class_keep_their_percent_agreement_and_lose_their_kappa() -> None:
    rng = np.random.default_rng(0)
    people = (rng.random(4000) < 0.09).astype(int)
    judged = rng.permutation(people)
    table = confusion_cells(people, judged, 2).sum(0)
    assert accuracy(table) == pytest.approx(0.835, abs=0.01)
    assert gwet_ac1(table) == pytest.approx(0.80, abs=0.015)
    assert cohen_kappa(table) == pytest.approx(0, abs=0.03)


@given(matrices)
def test_kappas_are_those_of_another_implementation(counts: list[list[int]]) -> None:
    table = np.array(counts, dtype=float)
    if len({*np.flatnonzero(table.sum(0)), *np.flatnonzero(table.sum(1))}) < 2:
        return
    for ours, theirs in (("nominal", None), ("linear", "linear"), ("quadratic", "quadratic")):
        reference = cohens_kappa(table, wt=theirs, return_results=False) if table.sum() else np.nan
        assert cohen_kappa(table, ours) == pytest.approx(reference, abs=1e-9)


@given(matrices)
def test_a_stack_of_matrices_gives_what_each_gives_alone(counts: list[list[int]]) -> None:
    table = np.array(counts, dtype=float)
    stack = np.stack([table, table.T, table * 2])
    for measure in (accuracy, cohen_kappa, gwet_ac1, matthews, prevalence_index, bias_index, krippendorff_alpha):
        together, alone = measure(stack), [measure(one) for one in stack]
        assert np.allclose(together, alone, equal_nan=True)


@given(matrices)
def test_swapping_the_sides_swaps_precision_and_recall_and_nothing_else(counts: list[list[int]]) -> None:
    table = np.array(counts, dtype=float)
    for measure in (accuracy, cohen_kappa, gwet_ac1, matthews):
        assert np.allclose(measure(table), measure(table.T), equal_nan=True)
    assert np.allclose(precision(table, 0), recall(table.T, 0), equal_nan=True)
    assert np.allclose(f1(table, 1), f1(table.T, 1), equal_nan=True)


@given(st.lists(st.integers(1, 40), min_size=2, max_size=5))
def test_agreement_on_everything_is_one_and_independence_is_zero(used: list[int]) -> None:
    perfect, apart = np.diag(used).astype(float), np.outer(used, used).astype(float)
    for measure in (cohen_kappa, gwet_ac1, matthews, krippendorff_alpha):
        assert measure(perfect) == pytest.approx(1)
    for measure in (cohen_kappa, matthews):
        assert measure(apart) == pytest.approx(0, abs=1e-9)


def test_matthews_is_the_correlation_of_two_binary_answers() -> None:
    rng = np.random.default_rng(1)
    one = rng.integers(0, 2, 300)
    other = np.where(rng.random(300) < 0.7, one, 1 - one)
    table = confusion_cells(one, other, 2).sum(0)
    assert matthews(table) == pytest.approx(np.corrcoef(one, other)[0, 1])


def test_what_is_not_defined_is_not_a_number_and_no_warning() -> None:
    one_class = np.array([[30.0, 0.0], [0.0, 0.0]])
    assert np.isnan(cohen_kappa(one_class))
    assert np.isnan(krippendorff_alpha(one_class))
    assert np.isnan(precision(one_class, 1))
    assert np.isnan(accuracy(np.zeros((2, 2))))
    assert matthews(one_class) == 0


def test_ratings_collapse_to_no_relation_and_some() -> None:
    table = np.arange(25.0).reshape(5, 5)
    assert any_relation(table).tolist() == [[0, 10], [50, 240]]
    assert any_relation(any_relation(table)).tolist() == [[0, 10], [50, 240]]


def test_a_unit_with_one_rating_says_nothing_about_agreement() -> None:
    assert coincidences(np.array([[0, -1, -1], [-1, -1, -1]]), 3).sum() == 0
    assert coincidences(np.array([[0, 1, 1]]), 2)[0].tolist() == [[0, 1], [1, 1]]
