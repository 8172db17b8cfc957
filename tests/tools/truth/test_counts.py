"""Counts against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.tools.truth.worlds import chunked, draw_truths
from tools.truth.counts import THRESHOLDS, Counts, constant_f1, count, measure_maxima
from tools.truth.examples import read

activations = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 40), st.integers(1, 5)),
    elements=st.one_of(st.just(0.0), st.floats(-2, 8, width=32)),
)


@settings(max_examples=60, deadline=None)
@given(activations, st.data())
def test_counts_are_those_of_brute_force(values: np.ndarray, data: st.DataObject) -> None:
    n = len(values)
    truths = data.draw(hnp.arrays(bool, (n, 3)))
    counted = data.draw(hnp.arrays(bool, n).filter(np.any))
    size = data.draw(st.integers(1, n))
    stream = chunked(values, truths, size=size, counted=counted)
    maxima = measure_maxima(stream)
    counts = count(stream, maxima)
    values, truths = values[counted].astype(np.float64), truths[counted]
    assert (maxima == np.maximum(values.max(axis=0), 0)).all()
    assert (counts.examples, counts.true.tolist()) == (counted.sum(), truths.sum(axis=0).tolist())
    for t, share in enumerate(THRESHOLDS):
        fires = (values > share * maxima) & (values > 0)
        assert (counts.fired[t] == fires.sum(axis=0)).all()
        assert (counts.hits[t] == (fires[:, :, None] & truths[:, None]).sum(axis=0)).all()


def test_f1_and_precision_are_the_textbook_ones() -> None:
    from sklearn.metrics import f1_score, precision_score

    values, truths = np.random.default_rng(0).normal(size=(200, 6)), draw_truths(200, (0.3, 0.6))
    stream = chunked(values, truths)
    counts = count(stream, measure_maxima(stream))
    for t in (0, 4, 9):
        fires = values.astype(np.float32).astype(np.float64) > THRESHOLDS[t] * counts.maxima
        for i in range(6):
            for g in range(2):
                assert counts.f1(t)[i, g] == pytest.approx(f1_score(truths[:, g], fires[:, i]))
                assert counts.precision(t)[i, g] == pytest.approx(precision_score(truths[:, g], fires[:, i]))


@pytest.mark.parametrize("prevalence", [0.05, 0.4, 0.9])
def test_a_constant_feature_scores_what_prevalence_gives_it(prevalence: float) -> None:
    truths = np.arange(1000)[:, None] < 1000 * prevalence
    stream = chunked(np.ones((1000, 1)), truths)
    f1 = count(stream, measure_maxima(stream)).f1(0)[0, 0]
    assert f1 == pytest.approx(2 * prevalence / (1 + prevalence))
    assert f1 == pytest.approx(constant_f1(prevalence))


def test_a_feature_that_was_never_active_in_training_never_fires() -> None:
    train = chunked(np.zeros((20, 1)), draw_truths(20, (0.5,)))
    counts: Counts = count(train, measure_maxima(train))
    assert counts.fired.sum() == 0 and counts.f1(0)[0, 0] == 0 and counts.precision(0)[0, 0] == 0


def test_a_stream_that_was_used_up_is_told() -> None:
    stream = iter(chunked(np.ones((20, 1)), draw_truths(20, (0.5,))))
    maxima = measure_maxima(stream)
    with pytest.raises(ValueError, match="has to begin anew"):
        count(stream, maxima)


def test_chunks_of_which_nothing_counts_are_passed_over() -> None:
    counted = np.arange(40) >= 20
    stream = chunked(np.ones((40, 1)), draw_truths(40, (0.5,)), size=10, counted=counted)
    assert [len(chunk.truths) for chunk in read(stream)] == [10, 10]


@pytest.mark.parametrize("thresholds", [(), (0.5, 0.5), (-0.1, 0.5), (0.5, 0.2)])
def test_thresholds_have_to_rise(thresholds: tuple[float, ...]) -> None:
    stream = chunked(np.ones((20, 1)), draw_truths(20, (0.5,)))
    with pytest.raises(ValueError, match="have to rise"):
        count(stream, measure_maxima(stream), thresholds)
