"""Features that answer to a place in a row of text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.activity.places import WORTH_SAYING, describe_position
from tools.records import ActivationEvidence, PositionEvidence
from tools.study.corpus import TokenRows, cut_rows

WIDTH = 20


def rows_of(lengths: list[int], width: int = WIDTH) -> TokenRows:
    return cut_rows([[7] * n for n in lengths], [f"d{i}" for i in range(len(lengths))], width, 0)


def zeros(rows: TokenRows) -> np.ndarray:
    return np.zeros(rows.tokens.shape, dtype=np.float32)


def test_feature_of_row_beginnings_is_an_artefact_and_says_so() -> None:
    rows = rows_of([100, 100])
    values = zeros(rows)
    values[:, 1:3] = 2.0
    values[0, 9] = 1.0
    found = describe_position(rows, values)
    assert found is not None and found.is_artefact
    n = len(rows.tokens)
    assert found.share == pytest.approx(4 * n / (4 * n + 1))
    assert found.opening_share == pytest.approx(8 / (4 * n + 1))
    assert found.active == 2 * n
    assert found.sentence == (
        "98% of its activation is at the first 2 tokens of a row of text, where 12.0% of the tokens are: "
        "it answers to the place, which is no meaning"
    )


def test_feature_of_text_beginnings_is_told_from_one_of_rows() -> None:
    rows = rows_of([100] * 8)
    values = zeros(rows)
    assert rows.opens is not None
    values[rows.opens, 1] = 1.0
    found = describe_position(rows, values)
    assert found is not None and found.is_artefact and found.opening_share == 1
    assert "and 100% where a text begins: it answers to the place" in found.sentence


def test_feature_of_words_has_nothing_said_of_its_place() -> None:
    rows = rows_of([100, 100])
    values = zeros(rows)
    values[:, 1::4] = 1.0
    values[~rows.real] = 0
    assert describe_position(rows, values) is None
    assert describe_position(rows, zeros(rows)) is None


def test_short_texts_and_less_than_nearly_all_make_no_artefact() -> None:
    long, short = rows_of([100, 100]), rows_of([3] * 40)
    all_short, most = zeros(short), zeros(long)
    all_short[:, 1:3] = 1.0
    most[:, 1] = 1.0
    most[:, 5] = 0.2
    for rows, values in ((short, all_short), (long, most)):
        found = describe_position(rows, values)
        assert found is not None and not found.is_artefact
        assert "no meaning" not in found.sentence


def test_handful_of_cases_and_half_of_the_activation_are_not_worth_saying() -> None:
    rows = rows_of([100, 100])
    few, half = zeros(rows), zeros(rows)
    few[:4, 1] = 5.0
    half[:, 1] = 1.0
    half[:, 5] = 0.8
    assert describe_position(rows, few) is describe_position(rows, half) is None


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 60), min_size=1, max_size=9))
def test_shares_are_those_of_a_count_by_hand(seed: int, lengths: list[int]) -> None:
    rows = rows_of(lengths)
    rng = np.random.default_rng(seed)
    values = np.where(rows.real & (rng.random(rows.real.shape) < 0.05), rng.random(rows.real.shape), 0).astype(
        np.float32
    )
    values[:, 1] += rows.real[:, 1]
    found = describe_position(rows, values)
    early = total = opening = tokens = 0.0
    for row in range(len(values)):
        for place in range(values.shape[1]):
            total += float(values[row, place])
            is_early = place in (1, 2)
            early += float(values[row, place]) * is_early
            tokens += bool(rows.real[row, place]) and is_early
            opening += float(values[row, place]) * (is_early and bool(rows.opens is not None and rows.opens[row]))
    active = int((values[:, 1:3] > 0).sum())
    if early / total < 0.7999 or active < 5:
        assert found is None
    if early / total > 0.8001 and active >= 5:
        assert found is not None
        assert found.share == pytest.approx(early / total, rel=1e-4)
        assert found.token_share == pytest.approx(tokens / rows.real.sum())
        assert found.opening_share == pytest.approx(opening / total, rel=1e-4)


def test_evidence_without_such_a_share_is_stored_as_it_always_was() -> None:
    plain = ActivationEvidence(top=())
    assert "position" not in plain.model_dump(mode="json")
    assert "position" not in plain.model_dump_json()
    told = ActivationEvidence(top=(), position=PositionEvidence(first=2, share=0.95, token_share=0.02, active=9))
    assert ActivationEvidence.model_validate_json(told.model_dump_json()) == told


def test_rows_that_begin_a_text_are_told_from_those_that_go_on() -> None:
    rows = rows_of([WIDTH * 2, 3, WIDTH - 1], WIDTH)
    assert rows.opens is not None
    assert rows.opens.tolist() == [True, False, False, True, True]


@given(st.integers(0, 10_000), st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(3, 14))
def test_shares_of_places_are_those_of_a_loop(seed: int, lengths: list[int], width: int) -> None:
    """Of activation, of tokens, of active tokens, and of where texts begin; nothing for less than most of it."""
    rng = np.random.default_rng(seed)
    rows = rows_of(lengths, width)
    assert rows.opens is not None
    width = rows.tokens.shape[1]
    weight = np.where(np.arange(width) <= 2, 9.0, 0.3)
    values = (rng.integers(0, 4, rows.tokens.shape) * weight * rows.real).astype(np.float32)
    mass, early_mass, open_mass, active, early_active, early, opening, real = 0.0, 0.0, 0.0, 0, 0, 0, 0, 0
    for row in range(len(values)):
        for place in range(width):
            first = rows.real[row, place] and place in (1, 2)
            real += int(rows.real[row, place])
            early += int(first)
            opening += int(first and rows.opens[row])
            mass += float(values[row, place])
            active += int(values[row, place] > 0)
            early_mass += float(values[row, place]) * first
            open_mass += float(values[row, place]) * (first and rows.opens[row])
            early_active += int(first and values[row, place] > 0)
    found = describe_position(rows, values)
    if mass == 0 or early_mass / mass < WORTH_SAYING - 1e-6 or early_active < 5:
        assert found is None
        return
    assert found is not None
    assert found.share == pytest.approx(early_mass / mass, abs=1e-6)
    assert found.opening_share == pytest.approx(open_mass / mass, abs=1e-6)
    assert (found.active, found.occurrences) == (early_active, pytest.approx(early_active / active))
    assert (found.token_share, found.opening_token_share) == (
        pytest.approx(early / real),
        pytest.approx(opening / real),
    )
