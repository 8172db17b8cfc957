"""Reconstruction: who may assert what, and what it comes to."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tools.truth.worlds import chunked, draw_truths
from tools.truth.counts import Counts, count, measure_maxima
from tools.truth.reconstruction import find_assertions, reconstruct


def counted(fires: np.ndarray, truths: np.ndarray) -> Counts:
    stream = chunked(fires, truths)
    return count(stream, measure_maxima(stream), (0.0,))


@pytest.mark.parametrize(
    ("right", "wrong", "asserts"),
    [(94, 6, False), (95, 5, True), (19, 1, True), (18, 1, False), (10, 0, True), (9, 0, False)],
)
def test_a_feature_asserts_from_a_precision_of_95_percent_and_ten_firings_on(
    right: int, wrong: int, asserts: bool
) -> None:
    truths = np.arange(200)[:, None] < 100
    fires = np.zeros((200, 1))
    fires[:right], fires[100 : 100 + wrong] = 1, 1
    (found,) = find_assertions(counted(fires, truths))
    assert found.features.tolist() == ([0] if asserts else [])
    assert found.predict(np.ones((3, 1))).tolist() == [[asserts]] * 3


def test_exact_detectors_reconstruct_everything() -> None:
    truths = draw_truths(600, (0.2, 0.5, 0.7))
    train, development, test = (chunked(truths[i::3] * 2.0, truths[i::3]) for i in range(3))
    found = reconstruct(find_assertions(count(train, measure_maxima(train))), development, test)
    assert (found.f1.value, found.pooled.value, found.best_on_test) == (1.0, 1.0, 1.0)
    assert found.f1.interval == (1.0, 1.0)
    assert found.asserting == 3


def test_the_predicted_state_is_the_union_of_what_active_features_assert() -> None:
    """Two features that each see half of one variable, and one that sees another: by hand."""
    truths = np.array([[1, 0], [1, 0], [1, 1], [0, 1]] * 20, dtype=bool)
    fires = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 0, 1]] * 20)
    (found,) = find_assertions(counted(fires, truths))
    assert (found.predict(fires[:4].astype(float)) == truths[:4]).all()
    stream = chunked(fires * [1, 0, 1], truths)  # without the second feature, every fourth example is not told
    assert reconstruct((found,), stream, stream).f1.value == pytest.approx(3 / 4)
    assert reconstruct((found,), stream, stream).pooled.value == pytest.approx(2 * 80 / (80 + 100))


def test_the_threshold_is_chosen_on_development_and_the_best_on_test_stands_beside() -> None:
    """In development only weak activations of the feature are true, in the test only strong ones."""
    train = chunked(np.repeat([[0.3], [1.0]], 30, axis=0), np.ones((60, 1)))
    assertions = find_assertions(count(train, measure_maxima(train), (0.0, 0.5)))
    development = chunked(np.array([[0.3], [1.0], [0.0]] * 10), np.array([[1], [1], [0]] * 10))
    test = chunked(np.array([[0.3], [1.0], [0.0]] * 10), np.array([[0], [1], [0]] * 10))
    found = reconstruct(assertions, development, test)
    assert found.threshold == 0.0
    assert found.f1.value == pytest.approx(2 / 3)
    assert found.best_on_test == 1.0


def test_nothing_said_of_an_example_of_which_nothing_is_true_is_right() -> None:
    truths = np.array([[1], [0]] * 20, dtype=bool)
    (found,) = find_assertions(counted(truths, truths))
    silent = chunked(np.zeros((10, 1)), np.zeros((10, 1)))
    assert reconstruct((found,), silent, silent).f1.value == 1.0
    assert reconstruct((found,), silent, chunked(np.ones((10, 1)), np.zeros((10, 1)))).f1.value == 0.0


def test_both_averages_agree_where_examples_are_alike() -> None:
    truths = np.tile([[1, 1, 0]], (50, 1)).astype(bool)
    fires = np.tile([[1, 0]], (50, 1)) * 1.0
    (found,) = find_assertions(counted(fires, truths))
    stream = chunked(fires, np.tile([[1, 0, 1]], (50, 1)))
    both = reconstruct((found,), stream, stream)
    assert both.f1.value == pytest.approx(both.pooled.value) == pytest.approx(0.5)
