"""Held-out contexts: active ones from every quantile, silent ones of three kinds, never from the labeller's split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.activity.activations import Neighbours, Recording
from tools.activity.heldout import SILENT_KINDS, Draw, HeldOut, cut_stretches, draw_contexts, draw_held_out
from tools.bench.workbench import Workbench
from tools.records import FeatureRef
from tools.study.corpus import Corpus, TokenRows
from tools.study.definition import Study

LENGTH = 4
STRINGS = [f" w{i}" for i in range(50)]


def ref(index: int, kind: str = "feature") -> FeatureRef:
    return FeatureRef.model_validate({"study": "tiny", "sae": "base", "index": index, "kind": kind})


def make_recording(
    values: np.ndarray, neighbour: np.ndarray | None = None, tokens: np.ndarray | None = None
) -> Recording:
    """One direction in rows of a document each; position 0 is BOS."""
    real = np.ones(values.shape, bool)
    real[:, 0] = False
    ids = np.ones(values.shape, np.int64) if tokens is None else tokens
    rows = TokenRows(ids, real, tuple(f"d{row}" for row in range(len(values))))
    alike = np.zeros(values.shape) if neighbour is None else neighbour
    near = Neighbours(np.array([1]), alike.max(axis=1)[:, None], alike.argmax(axis=1)[:, None])
    return Recording(rows, values[..., None].astype(np.float32), 1.0, np.ones(1), near)


def draw(recording: Recording, **changes: int) -> HeldOut:
    return draw_contexts(recording, 0, ref(0), STRINGS, Draw(**{"contexts": 5, "length": LENGTH, **changes}))


def graded(n_active: int, n_rows: int = 60) -> np.ndarray:
    """Row i has its strongest activation n_active - i, in the middle of its only stretch."""
    values = np.zeros((n_rows, LENGTH + 1))
    values[:n_active, 2] = np.arange(n_active, 0, -1)
    return values


def test_active_contexts_come_from_every_quantile() -> None:
    found = draw(make_recording(graded(50)))
    quantiles = [context.quantile for context in found.active]
    assert quantiles == [1, 2, 3, 4, 5]
    peaks = [context.max_activation for context in found.active]
    assert [int((50 - peak) // 10) + 1 for peak in peaks if peak is not None] == quantiles
    assert (found.active_stretches, found.stretches, found.active_tokens, found.tokens) == (50, 60, 50, 240)


def test_further_contexts_are_others_of_the_same_quantiles() -> None:
    found = draw(make_recording(graded(50)), contexts=10)
    assert [c.quantile for c in found.further] == [c.quantile for c in found.active]
    assert not {c.document for c in found.further} & {c.document for c in found.active}


def test_feature_with_few_contexts_gives_what_it_has() -> None:
    found = draw(make_recording(graded(3)))
    assert len(found.active) == 3
    assert found.further == ()
    assert draw(make_recording(graded(0))).active == ()


def test_every_stretch_of_a_row_may_be_drawn() -> None:
    values = np.zeros((1, 4 * LENGTH + 1))
    values[0, [2, 6, 10, 14]] = 4, 3, 2, 1
    found = draw(make_recording(values), quantiles=1)
    assert found.active_stretches == 4
    assert sorted(c.max_activation or 0 for c in found.active) == [1, 2, 3, 4]


def test_silent_contexts_have_no_activation_anywhere() -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random((80, 13)) < 0.1, rng.random((80, 13)), 0)
    values[:, 0] = 0
    neighbour = np.where(rng.random((80, 13)) < 0.2, rng.random((80, 13)), 0)
    tokens = rng.integers(1, 8, (80, 13))
    found = draw(make_recording(values, neighbour, tokens), contexts=8)
    for kind in SILENT_KINDS:
        assert len(found.silent(kind)) == 8, kind
        assert all(not any(context.activations or (1,)) for context in found.silent(kind))
        assert len({context.document for context in found.silent(kind)}) == 8


def test_near_misses_hold_a_word_the_feature_is_strongest_at() -> None:
    values = graded(20)
    tokens = np.ones(values.shape, np.int64)
    tokens[:20, 2], tokens[30:40, 3] = 7, 7
    found = draw(make_recording(values, tokens=tokens))
    assert len(found.near_misses) == 5
    assert all(" w7" in context.tokens for context in found.near_misses)


def test_neighbour_contexts_are_those_in_which_it_is_strongest() -> None:
    values, neighbour = graded(20), np.zeros((60, LENGTH + 1))
    neighbour[10:50, 2] = np.arange(40, 0, -1)
    found = draw(make_recording(values, neighbour))
    assert [context.document for context in found.neighbour] == ["d20", "d21", "d22", "d23", "d24"]


def test_feature_that_is_always_active_has_no_silent_context() -> None:
    found = draw(make_recording(graded(60)))
    assert found.random == found.near_misses == found.neighbour == ()


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    recording = make_recording(graded(50))
    assert draw(recording) == draw(recording)
    assert draw(recording, seed=1) != draw(recording)


@given(st.integers(2, 30), st.integers(1, 9), st.integers(1, 6))
def test_stretches_cover_every_real_token_once(width: int, length: int, n_rows: int) -> None:
    rng = np.random.default_rng(width * 100 + length)
    sizes = rng.integers(1, width, n_rows)
    real = (np.arange(width) >= 1) & (np.arange(width) <= sizes[:, None])
    values = np.where(real, rng.random((n_rows, width)) + 0.1, 0.0)
    found = cut_stretches(values, real, length)
    assert len(found.rows) == sum(-(-int(size) // length) for size in sizes)
    assert real[found.rows, found.places].all() and real[found.rows, found.middles].all()
    np.testing.assert_allclose(values[found.rows, found.places], found.peaks)
    assert max(found.peaks) == pytest.approx(values.max())


def test_contexts_of_a_real_model_are_those_of_the_held_out_split(bench: Workbench, study: Study) -> None:
    held, train = (Corpus(study).passages(split) for split in ("held_out", "train"))
    features = [ref(3, "random_direction"), *map(ref, range(12)), ref(0, "random_direction")]
    found = draw_held_out(bench, held, features, Draw(4, 2, 8), directions_seed=0)
    assert [one.feature for one in found] == features
    documents = {c.document for one in found for k in SILENT_KINDS for c in (*one.active, *one.further, *one.silent(k))}
    assert documents and documents <= {passage.document for passage in held}
    assert not documents & {passage.document for passage in train}


def test_what_is_drawn_of_a_feature_does_not_depend_on_the_others(bench: Workbench, study: Study) -> None:
    held = Corpus(study).passages("held_out")
    alone = draw_held_out(bench, held, [ref(5)], Draw(4, 2, 8), directions_seed=0)
    among = draw_held_out(bench, held, [ref(2), ref(5), ref(1, "random_direction")], Draw(4, 2, 8), directions_seed=0)
    assert alone[0] == among[1]
    assert draw_held_out(bench, held, [], Draw(), directions_seed=0) == []


def test_random_directions_of_earlier_runs_keep_the_one_density_they_had(bench: Workbench, study: Study) -> None:
    held = Corpus(study).passages("held_out")
    randoms = [ref(number, "random_direction") for number in range(6)]
    spread, one = (
        [found.active_tokens for found in draw_held_out(bench, held, randoms, Draw(4, 2, 8), 0, at_median=at_median)]
        for at_median in (False, True)
    )
    assert max(one) - min(one) <= 1
    assert max(spread) - min(spread) > 1
