"""Token statistics against counting by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.activity.token_statistics import START, count_tokens

STRINGS = ["<s>", " health", " patients", " the", "ing", ","]


def counted(tokens: list[list[int]], values: list[list[float]], real: list[list[bool]] | None = None):  # noqa: ANN201
    ids = np.array(tokens)
    known = np.ones(ids.shape, bool) if real is None else np.array(real)
    known[:, 0] = False
    return count_tokens(ids, known, np.array(values, np.float32), STRINGS)


def test_a_feature_of_one_word_says_so() -> None:
    found = counted([[0, 3, 1, 5, 1], [0, 1, 3, 3, 2]], [[0, 0, 2, 0, 2], [0, 4, 0, 0, 2]])
    assert found is not None
    assert (found.n_active, found.different) == (4, 2)
    health, patients = found.tokens
    assert (health.token, health.mass, health.occurrences, health.active_share) == (" health", 0.8, 0.75, 1.0)
    assert (patients.token, patients.mass, patients.occurrences) == (" patients", 0.2, 0.25)
    assert [(entry.token, round(entry.mass, 2)) for entry in found.before] == [(" the", 0.4), (START, 0.4), (",", 0.2)]
    assert [entry.active_share for entry in found.before] == [2 / 3, 0.5, 1.0], (
        "of three, two and one that stand before a token"
    )


def test_a_silent_feature_has_none() -> None:
    assert counted([[0, 3, 1]], [[0, 0, 0]]) is None


def test_padding_and_the_opening_token_are_no_text() -> None:
    found = counted([[0, 1, 0], [0, 2, 1]], [[9, 1, 9], [9, 0, 1]], [[True, True, False], [True, True, True]])
    assert found is not None
    assert found.n_active == 2
    assert [entry.token for entry in found.tokens] == [" health"]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_counts_are_those_of_a_loop(data: st.DataObject) -> None:
    n, width = data.draw(st.integers(1, 4)), data.draw(st.integers(2, 7))
    tokens = np.array(
        data.draw(st.lists(st.lists(st.integers(1, 5), min_size=width, max_size=width), min_size=n, max_size=n))
    )
    tokens[:, 0] = 0
    values = np.array(
        data.draw(
            st.lists(
                st.lists(st.sampled_from([0.0, 0.0, 0.5, 1.0, 3.0]), min_size=width, max_size=width),
                min_size=n,
                max_size=n,
            )
        ),
        np.float32,
    )
    real = np.array(
        data.draw(st.lists(st.lists(st.booleans(), min_size=width, max_size=width), min_size=n, max_size=n))
    )
    real[:, 0] = False
    found = count_tokens(tokens, real, values, STRINGS, listed=3)
    mass, count, own = Counter[str](), Counter[str](), Counter[str]()
    before, ahead, ahead_mass = Counter[str](), Counter[str](), Counter[str]()
    for row in range(n):
        for place in range(width):
            if not real[row, place]:
                continue
            token = STRINGS[tokens[row, place]]
            previous = STRINGS[tokens[row, place - 1]] if real[row, place - 1] else START
            own[token] += 1
            ahead[previous] += 1
            if values[row, place] > 0:
                mass[token] += float(values[row, place])  # pyright: ignore[reportArgumentType]
                ahead_mass[previous] += float(values[row, place])  # pyright: ignore[reportArgumentType]
                count[token] += 1
                before[previous] += 1
    if not count:
        assert found is None
        return
    assert found is not None
    assert (found.n_active, found.different, found.different_before) == (count.total(), len(count), len(before))
    assert len(found.tokens) == min(3, len(count))
    for entry in found.tokens:
        assert entry.mass == pytest.approx(mass[entry.token] / mass.total())
        assert entry.occurrences == pytest.approx(count[entry.token] / count.total())
        assert entry.active_share == pytest.approx(count[entry.token] / own[entry.token])
    listed = [mass[entry.token] for entry in found.tokens]
    assert listed == sorted(mass.values(), reverse=True)[:3]
    for entry in found.before:
        assert entry.mass == pytest.approx(ahead_mass[entry.token] / ahead_mass.total())
        assert entry.occurrences == pytest.approx(before[entry.token] / before.total())
        assert entry.active_share == pytest.approx(before[entry.token] / ahead[entry.token])
