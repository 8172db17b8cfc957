"""Near misses: silent throughout, about the right word or with the neighbour active, and not from what was shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.activity.contexts import cut_context, find_near_misses
from tools.study.corpus import TokenRows

WORDS = ("<bos>", " heart", "Heart", " heartless", " river", " bread", ".")
HEART, HEART_CAPITAL, HEARTLESS, RIVER, BREAD, STOP = range(1, 7)
WIDTH = 7


def make_rows(*texts: tuple[int, ...], documents: tuple[str, ...] | None = None) -> TokenRows:
    tokens = np.zeros((len(texts), WIDTH), np.int64)
    real = np.zeros(tokens.shape, bool)
    for row, text in enumerate(texts):
        tokens[row, 1 : len(text) + 1] = text
        real[row, 1 : len(text) + 1] = True
    return TokenRows(tokens, real, documents or tuple(f"d{row}" for row in range(len(texts))))


def at(rows: TokenRows, *places: tuple[int, int, float]) -> np.ndarray:
    values = np.zeros(rows.tokens.shape, np.float32)
    for row, place, value in places:
        values[row, place] = value
    return values


def find(
    rows: TokenRows,
    values: np.ndarray,
    neighbour: np.ndarray | None = None,
    shown: tuple[int, ...] = (0,),
    length: int = 3,
    n: int = 4,
) -> list[tuple[int, int]]:
    alike = None if neighbour is None else (neighbour.max(axis=1), neighbour.argmax(axis=1))
    return [miss[:2] for miss in find_near_misses(rows, values, [0], shown, alike, WORDS, length, n)]


def test_same_word_without_the_feature_is_a_near_miss() -> None:
    rows = make_rows((HEART, STOP), (RIVER, HEART_CAPITAL), (RIVER, HEARTLESS), (BREAD, STOP))
    assert find(rows, at(rows, (0, 1, 5.0))) == [(1, 2)]


def test_activity_of_the_neighbour_without_the_feature_is_a_near_miss() -> None:
    rows = make_rows((HEART,), (RIVER,), (BREAD, BREAD), (BREAD,))
    neighbour = at(rows, (0, 1, 9.0), (1, 1, 2.0), (2, 2, 7.0))
    assert find(rows, at(rows, (0, 1, 5.0)), neighbour) == [(2, 2), (1, 1)]


def test_a_near_miss_names_its_kind() -> None:
    rows = make_rows((HEART,), (HEART,), (BREAD, BREAD))
    neighbour = at(rows, (2, 2, 7.0))
    alike = neighbour.max(axis=1), neighbour.argmax(axis=1)
    found = find_near_misses(rows, at(rows, (0, 1, 5.0)), [0], (0,), alike, WORDS, 3, 4)
    assert {(miss.row, miss.kind) for miss in found} == {(1, "word"), (2, "neighbour")}


def test_the_two_kinds_take_turns() -> None:
    rows = make_rows((HEART,), *[(HEART,)] * 4, *[(BREAD,)] * 4)
    neighbour = at(rows, *((row, 1, 10.0 - row) for row in range(5, 9)))
    found = find(rows, at(rows, (0, 1, 5.0)), neighbour)
    assert [row >= 5 for row, _ in found] == [False, True, False, True]
    assert [row for row, _ in found if row >= 5] == [5, 6]
    assert len(find(rows, at(rows, (0, 1, 5.0)), neighbour, n=7)) == 7, "one kind goes on when the other has ended"


def test_context_in_which_the_feature_stirs_anywhere_is_no_near_miss() -> None:
    rows = make_rows((HEART,), (HEART, RIVER, RIVER), (HEART, STOP, STOP, STOP, BREAD))
    values = at(rows, (0, 1, 5.0), (1, 2, -0.1), (2, 5, 0.1))
    assert find(rows, values) == [(2, 1)], "what lies outside the context does not matter"
    assert find(rows, values, length=WIDTH) == []


def test_padding_is_never_a_near_miss() -> None:
    rows = make_rows((HEART,), (RIVER,))
    rows.tokens[1, 2:] = HEART
    assert find(rows, at(rows, (0, 1, 5.0))) == []


def test_documents_that_were_shown_come_last_and_each_comes_once() -> None:
    rows = make_rows(*[(HEART,)] * 6, documents=("a", "a", "b", "c", "c", "b"))
    found = [rows.documents[row] for row, _ in find(rows, at(rows, (0, 1, 5.0), (2, 1, 4.0)), shown=(0, 2))]
    assert found[0] == "c"
    assert sorted(found) == ["a", "b", "c"]


def test_feature_without_examples_has_no_near_misses() -> None:
    rows = make_rows((HEART,), (RIVER,))
    neighbour = at(rows, (1, 1, 2.0))
    found = find_near_misses(rows, at(rows), [], [], (neighbour.max(axis=1), neighbour.argmax(axis=1)), WORDS, 3, 4)
    assert found == []


def test_rows_of_the_corpus_are_not_taken_in_their_order() -> None:
    """Neighbours in a corpus are of one topic: the first rows would make every near miss one of it."""
    rows = make_rows(*[(HEART,)] * 200)
    found = [row for row, _ in find(rows, at(rows, (0, 1, 5.0)), n=8)]
    assert len(set(found)) == 8
    assert max(found) - min(found) > 60
    assert found == [row for row, _ in find(rows, at(rows, (0, 1, 5.0)), n=8)]


@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 6))
def test_every_near_miss_has_its_reason_and_is_silent(seed: int, length: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    texts = [tuple(rng.integers(1, 7, rng.integers(1, WIDTH)).tolist()) for _ in range(12)]
    rows = make_rows(*texts, documents=tuple(f"d{i // 2}" for i in range(12)))
    values = np.where(rows.real & (rng.random(rows.real.shape) < 0.15), 1.0, 0.0) + at(rows, (0, 1, 5.0))
    neighbour = np.where(rows.real & (rng.random(rows.real.shape) < 0.2), rng.random(rows.real.shape), 0.0)
    found = find(rows, values, neighbour, length=length, n=n)
    peak = WORDS[rows.tokens[0, 1]].strip().lower()
    assert len(found) <= n
    assert len({rows.documents[row] for row, _ in found}) == len(found)
    for row, place in found:
        assert rows.real[row, place]
        carries = WORDS[rows.tokens[row, place]].strip().lower() == peak
        assert carries or neighbour[row, place] > 0
        context = cut_context(rows, values, row, place, WORDS, length)
        assert context.activations is not None and not any(context.activations)
        assert context.max_activation == 0.0
        assert len(context.tokens) == min(length, int(rows.real[row].sum()))


@pytest.mark.parametrize(("place", "expected"), [(1, (1, 2, 3)), (2, (1, 2, 3)), (3, (2, 3, 4)), (5, (3, 4, 5))])
def test_context_lies_around_its_place_as_far_as_the_text_goes(place: int, expected: tuple[int, ...]) -> None:
    rows = make_rows((1, 2, 3, 4, 5))
    values = at(rows, *((0, i, float(i)) for i in range(1, 6)))
    context = cut_context(rows, values, 0, place, WORDS, 3, 2)
    assert context.tokens == tuple(WORDS[i] for i in expected)
    assert context.activations == tuple(map(float, expected))
    assert (context.max_activation, context.quantile, context.document) == (expected[-1], 2, "d0")
