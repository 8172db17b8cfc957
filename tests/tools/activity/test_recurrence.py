"""How often a direction is active again where its tokens stand again, and what random readings reach."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tools.activity.activations import record_activations
from tools.activity.recurrence import RecurrenceNull, draw_readings, measure_recurrence
from tools.bench.workbench import Workbench
from tools.study.definition import Study

WORDS = np.array([0, 1, 0, 2, 0, 1, 3, 2])


def share(*active: int) -> float:
    return measure_recurrence(WORDS, np.isin(np.arange(8), active), np.bincount(WORDS))


def test_a_direction_that_is_active_at_every_place_of_its_tokens_recurs_at_all_of_them() -> None:
    assert share(0, 2, 4) == share(1, 5) == share(0, 1, 2, 4, 5) == 1


def test_one_place_of_a_token_says_nothing_of_its_others_and_a_token_that_stands_once_repeats_nothing() -> None:
    assert share(0) == share(6) == share(0, 1, 3) == 0
    assert share(0, 2) == 0.5  # of the two other places of each, it is active at one
    assert share(1, 5, 6) == pytest.approx(2 / 3)


@given(
    tokens=arrays(np.int64, 30, elements=st.integers(0, 5)),
    component=arrays(np.float64, 30, elements=st.integers(-1000, 1000), unique=True),
    n=st.integers(1, 30),
)
def test_the_null_of_n_places_is_what_one_would_count_at_a_readings_n_largest(
    tokens: np.ndarray, component: np.ndarray, n: int
) -> None:
    largest = component >= np.sort(component)[-n]
    null = RecurrenceNull.draw(tokens, component[:, None], most=30)
    assert null.shares[0, n - 1] == pytest.approx(measure_recurrence(tokens, largest, np.bincount(tokens)), abs=1e-6)


def test_a_detector_of_a_word_stands_out_from_random_readings_and_one_of_them_does_not() -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 40, 4000)
    null = RecurrenceNull.draw(tokens, rng.standard_normal((4000, 199)), most=400)
    detector, noise = null.measure(tokens == 7), null.measure(rng.random(4000) < 0.02)
    assert detector is not None and noise is not None
    assert (detector.share, detector.null_share) == (1, 1 / 200)
    assert noise.share < 0.1 and noise.usual < 0.1
    assert null.measure(np.zeros(4000, dtype=bool)) is None


def test_as_large_a_share_as_a_random_reading_has_is_one_that_it_reaches() -> None:
    rng = np.random.default_rng(1)
    tokens, components = rng.integers(0, 9, 500), rng.standard_normal((500, 20))
    null = RecurrenceNull.draw(tokens, components, most=50)
    for column in range(20):
        found = null.measure(components[:, column] >= np.sort(components[:, column])[-50])
        assert found is not None
        at_least = int((null.shares[:, 49] >= null.shares[column, 49]).sum())
        assert found.null_share == pytest.approx((1 + at_least) / 21)


def test_text_is_spread_as_far_along_each_random_reading_and_the_same_are_drawn_again(
    bench: Workbench, study: Study
) -> None:
    rows = bench.read_text(study, "train", bench.context_size)
    readings = draw_readings(bench, rows, 50)
    assert torch.equal(readings, draw_readings(bench, rows, 50))
    recording = record_activations(bench, rows, [0], torch.zeros(0, 32), readings=readings)
    assert recording.components is not None
    spread = recording.components.std(axis=0) / 32**0.5
    assert spread.min() > 0.5 and spread.max() < 2


def test_components_of_readings_are_those_of_every_real_token_row_by_row(bench: Workbench, study: Study) -> None:
    rows = bench.read_text(study, "train", bench.context_size)
    readings = torch.eye(32)[:3]
    recording = record_activations(bench, rows, [0], torch.zeros(0, 32), readings=readings)
    expected = [
        bench.residuals(torch.from_numpy(tokens[None]))[0, :, :3].numpy()[real]
        for tokens, real in zip(recording.rows.tokens, recording.rows.real, strict=True)
    ]
    assert recording.components == pytest.approx(np.concatenate(expected), abs=1e-4)


def test_a_recording_without_readings_has_no_null(bench: Workbench, study: Study) -> None:
    rows = bench.read_text(study, "train", bench.context_size)
    assert RecurrenceNull.of(record_activations(bench, rows, [0], torch.zeros(0, 32))) is None
