"""What a corpus pass counts, and what is shown of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tools.activity.activations import (
    Recording,
    nearest_features,
    record_activations,
    sample_features,
)
from tools.activity.contexts import cut_context
from tools.activity.densities import draw_densities
from tools.activity.description import describe_activations, domain_nearby
from tools.bench.workbench import Workbench
from tools.records import ActivationEvidence
from tools.study.corpus import TokenRows, cut_rows
from tools.study.definition import Study
from tools.survey.keywords import TokenWord
from tools.survey.projection import random_directions

N_RANDOM = 5
NUMBERS = (0, 1, 2, 7, 40)
DEAD = 47


class SpyingBench(Workbench):
    """The bench with parts of it exchanged."""

    def __init__(self, bench: Workbench) -> None:
        self.__dict__.update(bench.__dict__)


@pytest.fixture(scope="session")
def recording(bench: Workbench, study: Study) -> Recording:
    """All features, then random directions, over the train split: rows of different lengths, so with padding."""
    rows = bench.read_text(study, "train", bench.context_size)
    return record_activations(bench, rows, range(bench.d_sae), random_directions(N_RANDOM, 32, 9), numbers=NUMBERS)


def made_up(values: np.ndarray, real: np.ndarray, documents: tuple[str, ...] | None = None) -> Recording:
    """A recording of one direction whose token ids are their places."""
    tokens = np.arange(values.size, dtype=np.int64).reshape(values.shape)
    names = documents or tuple(f"d{row}" for row in range(len(values)))
    return Recording(TokenRows(tokens, real, names), np.where(real, values, 0)[..., None], 1.0, np.ones(1))


def describe(recording: Recording, near: np.ndarray | None = None, **changes: int) -> ActivationEvidence:
    sizes = {"context_tokens": 5, "n_top": 3, "n_quantiles": 2, **changes}
    near = np.zeros_like(recording.rows.real) if near is None else near
    return describe_activations(recording, 0, near, [str(i) for i in range(recording.rows.tokens.size)], **sizes)


# Recording


def test_recorded_activations_are_those_of_each_text_alone(bench: Workbench, recording: Recording) -> None:
    for row in (0, 5, 11):
        length = int(recording.rows.real[row].sum())
        alone = torch.from_numpy(recording.rows.tokens[row : row + 1, : length + 1])
        expected = bench.encode(bench.residuals(alone))[0, 1:]
        got = recording.activations[row, 1 : length + 1, : bench.d_sae]
        np.testing.assert_allclose(got, expected, atol=1e-3)


def test_padding_and_bos_are_never_counted(bench: Workbench, recording: Recording) -> None:
    rows = recording.rows
    assert (~rows.real[:, 1:]).any(), "without padding this test would be empty"
    assert (recording.activations[~rows.real] == 0).all()
    features = recording.activations[..., : bench.d_sae]
    counted = (features[rows.real] > 0).mean(axis=0)
    np.testing.assert_allclose(recording.density, counted, atol=1e-6)


def test_residual_norm_is_that_of_real_tokens(bench: Workbench, recording: Recording) -> None:
    norms = []
    for tokens, real in zip(recording.rows.tokens, recording.rows.real, strict=True):
        alone = torch.from_numpy(tokens[None, : real.sum() + 1])
        norms += bench.residuals(alone)[0, 1:].norm(dim=-1).tolist()
    assert recording.residual_norm == pytest.approx(np.mean(norms), rel=1e-4)


def test_wider_padding_changes_nothing(bench: Workbench) -> None:
    ids = [bench.tokenize("The doctor was in the river."), bench.tokenize("A nurse met the heart")]
    none = torch.zeros(0, 32)
    narrow, wide = (record_activations(bench, cut_rows(ids, ["a", "b"], w, bench.bos), [3, 8], none) for w in (16, 24))
    np.testing.assert_allclose(narrow.density, wide.density)
    assert narrow.residual_norm == pytest.approx(wide.residual_norm, rel=1e-5)
    np.testing.assert_allclose(narrow.activations, wide.activations[:, :16], atol=1e-4)


def test_random_directions_are_as_often_active_as_their_numbers_say(bench: Workbench, recording: Recording) -> None:
    n_real = int(recording.rows.real.sum())
    asked = draw_densities(recording.density, NUMBERS)
    assert len(set(asked.tolist())) > 1, "all at one density would give them away"
    assert set(asked.tolist()) <= set(recording.density[recording.density > 0].tolist())
    counted = (recording.activations[..., bench.d_sae :] > 0).sum(axis=(0, 1)) / n_real
    assert counted.tolist() == pytest.approx(asked.tolist(), abs=2.5 / n_real)
    assert recording.drawn.tolist() == asked.tolist()


def test_random_directions_without_numbers_are_all_as_often_active_as_the_median_live_feature(
    bench: Workbench, recording: Recording
) -> None:
    again = record_activations(bench, recording.rows, [3], random_directions(N_RANDOM, 32, 9))
    median = float(np.median(again.density[again.density > 0]))
    assert again.drawn.tolist() == [median] * N_RANDOM
    n_real = int(again.rows.real.sum())
    counted = (again.activations[..., 1:] > 0).sum(axis=(0, 1)) / n_real
    assert counted.tolist() == pytest.approx([median] * N_RANDOM, abs=2.5 / n_real)


def test_random_direction_is_active_where_its_component_is_largest(bench: Workbench, recording: Recording) -> None:
    direction = random_directions(N_RANDOM, 32, 9)[2]
    row = int(recording.activations[..., bench.d_sae + 2].max(axis=1).argmax())
    component = bench.residuals(torch.from_numpy(recording.rows.tokens[row : row + 1]))[0] @ direction
    component[torch.from_numpy(~recording.rows.real[row])] = -torch.inf
    values = recording.activations[row, :, bench.d_sae + 2]
    assert int(values.argmax()) == int(component.argmax())
    active = values > 0
    differences = component.numpy()[active] - values[active]
    np.testing.assert_allclose(differences, differences[0], atol=1e-3, err_msg="one threshold for all tokens")


def test_density_is_of_the_sampled_features(bench: Workbench, recording: Recording) -> None:
    drawn = sample_features(bench.d_sae, 20)
    assert len(set(drawn.tolist())) == 20
    assert torch.equal(drawn, sample_features(bench.d_sae, 20)), "the same ones in every run"
    few = record_activations(bench, recording.rows, [3], torch.zeros(0, 32), sampled=20)
    np.testing.assert_allclose(few.density, recording.density[drawn.numpy()])


def test_sample_of_features_finds_their_median_density() -> None:
    """On 24,576 features whose densities spread as those of a real SAE do, over three decades."""
    density = 10 ** np.random.default_rng(3).normal(-2.5, 0.7, 24_576)
    drawn = sample_features(len(density)).numpy()
    assert len(drawn) == 2048
    assert np.mean(density < np.median(density[drawn])) == pytest.approx(0.5, abs=0.03)


def test_neighbour_is_the_live_feature_with_the_nearest_decoder_row(bench: Workbench) -> None:
    directions = random_directions(2, 32, 5)
    found = nearest_features(bench, torch.tensor([3, 0]), directions).tolist()
    cosines = torch.cat([bench.directions[[3, 0]], directions]) @ bench.directions.T
    for row, (own, neighbour) in enumerate(zip((3, 0, None, None), found, strict=True)):
        order = [i for i in cosines[row].argsort(descending=True).tolist() if i != own]
        assert neighbour == order[0]
    dead = SpyingBench(bench)
    dead.alive = torch.ones(bench.d_sae, dtype=torch.bool)
    dead.alive[found[0]] = False
    second = [i for i in cosines[0].argsort(descending=True).tolist() if i not in (3, found[0])][0]
    assert nearest_features(dead, torch.tensor([3]), directions[:0]).tolist() == [second]


def test_peaks_of_neighbours_are_recorded_with_their_places(bench: Workbench, recording: Recording) -> None:
    neighbours = recording.neighbours
    assert neighbours is not None
    own = recording.activations[..., : bench.d_sae]
    for column in (0, 17, bench.d_sae + 1):
        values = own[..., neighbours.features[column]]
        np.testing.assert_allclose(neighbours.peaks[:, column], values.max(axis=1), atol=1e-5)
        places = neighbours.places[:, column]
        np.testing.assert_allclose(values[np.arange(len(values)), places], values.max(axis=1), atol=1e-5)


def test_rows_of_a_long_context_are_fewer_at_a_time(bench: Workbench, recording: Recording) -> None:
    seen: list[int] = []
    spy = SpyingBench(bench)
    spy.residuals = lambda tokens: seen.append(tokens.numel()) or bench.residuals(tokens)
    directions, most = random_directions(N_RANDOM, 32, 9), 2 * bench.context_size
    again = record_activations(
        spy, recording.rows, range(bench.d_sae), directions, numbers=NUMBERS, tokens_per_batch=most
    )
    assert max(seen) <= 2 * bench.context_size
    np.testing.assert_allclose(again.activations, recording.activations, atol=1e-4)
    assert again.residual_norm == pytest.approx(recording.residual_norm, rel=1e-5)


def test_dead_feature_has_density_zero(recording: Recording) -> None:
    assert recording.density[DEAD] == 0
    assert (np.delete(recording.density, DEAD) > 0).any()


def test_long_passages_keep_their_document_in_every_row(bench: Workbench) -> None:
    text = "The doctor met the nurse in the hospital and the patient was with a heart. " * 3
    rows = cut_rows([bench.tokenize(text), bench.tokenize("A heart")], ["long", "short"], 12, bench.bos)
    assert rows.documents[-1] == "short"
    assert set(rows.documents[:-1]) == {"long"}
    assert rows.tokens[:-1][rows.real[:-1]].tolist() == bench.tokenize(text)


# Contexts


@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(3, 14), st.integers(1, 9))
def test_context_windows_hold_their_peak(seed: int, n_rows: int, width: int, context: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, width, size=n_rows)
    places = np.arange(width)
    real = (places >= 1) & (places <= lengths[:, None])
    recording = made_up(np.maximum(rng.normal(size=(n_rows, width)), 0), real)
    found = describe(recording, context_tokens=context)
    for shown in (*found.top, *found.quantiles):
        row = int(shown.document[1:])
        values = recording.activations[row, :, 0]
        assert max(shown.activations) == pytest.approx(shown.max_activation, abs=1e-4)
        assert shown.max_activation == pytest.approx(values.max())
        assert len(shown.tokens) == len(shown.activations) == min(context, lengths[row])
        ids = [int(token) for token in shown.tokens]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        assert all(real.ravel()[i] for i in ids), "neither BOS nor padding is shown"
        assert shown.activations == pytest.approx(values[[i - row * width for i in ids]].tolist(), abs=1e-4)


def test_top_examples_come_from_different_documents_highest_first() -> None:
    values = np.array([[0.0, 9.0], [0.0, 8.0], [0.0, 7.0], [0.0, 6.0], [0.0, 5.0]])
    real = np.array([[False, True]] * 5)
    found = describe(made_up(values, real, ("a", "a", "b", "a", "c")), n_top=3, n_quantiles=0)
    assert [(shown.document, shown.max_activation) for shown in found.top] == [("a", 9.0), ("b", 7.0), ("c", 5.0)]


def test_quantile_examples_are_numbered_from_the_highest_and_leave_the_top_out() -> None:
    values = np.array([[0.0, float(v)] for v in range(20, 0, -1)])
    found = describe(made_up(values, np.array([[False, True]] * 20)), n_top=4, n_quantiles=4)
    assert [shown.max_activation for shown in found.top] == [20, 19, 18, 17]
    assert [shown.quantile for shown in found.top] == [None] * 4
    assert [shown.quantile for shown in found.quantiles] == [1, 2, 3, 4]
    assert [shown.max_activation for shown in found.quantiles] == [14, 10, 6, 2]


def test_feature_that_is_never_active_shows_nothing() -> None:
    found = describe(made_up(np.zeros((3, 4)), np.ones((3, 4), dtype=bool)), np.ones((3, 4), dtype=bool))
    assert (found.density, found.max_activation, found.domain_lift) == (0.0, 0.0, None)
    assert found.top == found.quantiles == ()


def test_density_is_a_share_of_real_tokens() -> None:
    values = np.array([[5.0, 1.0, 0.0, 0.0, 9.0]])
    real = np.array([[False, True, True, True, False]])
    found = describe(made_up(values, real))
    assert found.n_tokens == 3
    assert found.density == pytest.approx(1 / 3)
    assert found.max_activation == 1.0


def test_near_misses_of_real_features_are_silent_about_what_they_share(
    bench: Workbench, recording: Recording, study: Study
) -> None:
    assert recording.neighbours is not None
    n_found = 0
    near = np.zeros_like(recording.rows.real)
    for column in range(bench.d_sae + N_RANDOM):
        found = describe_activations(
            recording, column, near, bench.token_strings, context_tokens=6, n_top=3, n_quantiles=2
        )
        tops = {context.tokens[int(np.argmax(context.activations))].strip().lower() for context in found.top}  # pyright: ignore
        for context in found.near_misses:
            assert context.activations is not None and not any(context.activations)
            assert (context.max_activation, context.quantile) == (0.0, None)
            rows = [row for row, name in enumerate(recording.rows.documents) if name == context.document]
            shares = {token.strip().lower() for token in context.tokens} & tops
            assert shares or recording.neighbours.peaks[rows, column].max() > 0
            assert context.shared is not None
            if context.shared.kind == "word":
                assert context.tokens[context.shared.place].strip().lower() in tops, (
                    "what is said to be shared is there"
                )
        assert len(found.near_misses) <= 4
        n_found += len(found.near_misses)
    assert n_found > bench.d_sae


# Nearness to the domain


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(2, 9))
def test_the_domain_near_active_tokens_is_held_against_their_passages(seed: int, n: int, width: int) -> None:
    """A feature that chooses its places in a passage at random has as much of the domain near as the passage has."""
    rng = np.random.default_rng(seed)
    real = rng.random((n, width)) < 0.8
    real[:, 0], real[0, 1] = False, True
    near = (rng.random((n, width)) < 0.4) & real
    values = np.where(real, rng.random((n, width)) * (rng.random((n, width)) < 0.3), 0).astype(np.float32)
    found = describe(made_up(values, real), near)
    active = [(row, place) for row in range(n) for place in range(width) if values[row, place] > 0]
    if not active:
        assert (found.domain_near, found.passage_share, found.domain_lift) == (None, None, None)
        return
    expected = np.mean([near[row, real[row]].mean() for row, _ in active])
    assert found.passage_share == pytest.approx(expected)
    assert found.domain_near == pytest.approx(np.mean([near[place] for place in active]))
    everywhere = made_up(real.astype(np.float32), real)
    assert describe(everywhere, near).passage_share == pytest.approx(describe(everywhere, near).domain_near)


def test_a_density_is_held_against_that_of_the_median_live_feature() -> None:
    real = np.array([[False, True, True]])
    made = made_up(real.astype(np.float32), real)._replace(density=np.array([0.0, 0.1, 0.3, 0.2]))
    assert describe(made).usual_density == pytest.approx(0.2)
    assert describe(made._replace(density=np.zeros(3))).usual_density is None


# Windows


@given(st.integers(0, 10_000), st.integers(1, 24))
def test_three_quarters_of_a_context_stand_before_its_peak_where_the_text_has_them(seed: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    width = int(rng.integers(2, 40))
    real = np.zeros((2, width), bool)
    first, stop = sorted(rng.choice(np.arange(1, width + 1), 2, replace=False).tolist()) if width > 1 else (1, 2)
    real[:, first:stop] = True
    place = int(rng.integers(first, stop))
    values = np.zeros((2, width), np.float32)
    values[:, place] = 1
    made = made_up(values, real)
    rows = made.rows._replace(opens=np.array([True, False]))
    for row, name in ((0, "text"), (1, "row")):
        context = cut_context(rows, values, row, place, [str(i) for i in range(2 * width)], length, lead=0.75)
        before = context.activations.index(1.0) if context.activations else -1
        after = len(context.tokens) - before
        assert len(context.tokens) == min(length, stop - first)
        assert before == int(0.75 * length) or place - first == before or stop - place == after
        assert context.begins == (name if place - first == before else None)
    assert cut_context(made.rows, values, 0, place, [str(i) for i in range(2 * width)], length).begins is None


# Tokens near the domain


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 14), st.integers(0, 6))
def test_domain_words_count_within_reach_and_within_the_text(seed: int, n: int, width: int, reach: int) -> None:
    rng = np.random.default_rng(seed)
    words = [TokenWord(word, False) for word in ("heart", "river", "bread")] + [TokenWord(None, False)]
    tokens = rng.integers(0, 4, size=(n, width))
    real = rng.random((n, width)) < 0.8
    near = domain_nearby(TokenRows(tokens, real, ("d",) * n), words, frozenset({"heart"}), reach)
    for row in range(n):
        for place in range(width):
            around = range(max(0, place - reach), min(width, place + reach + 1))
            expected = real[row, place] and any(tokens[row, i] == 0 and real[row, i] for i in around)
            assert near[row, place] == expected


def test_domain_lift_is_the_share_near_domain_words_over_the_corpus_share() -> None:
    real = np.ones((2, 10), dtype=bool)
    near = np.zeros((2, 10), dtype=bool)
    near[0, :5] = True
    values = np.zeros((2, 10))
    values[0, :4] = 1.0
    assert describe(made_up(values, real), near).domain_lift == pytest.approx(1 / 0.25)
    values[1, :4] = 1.0
    assert describe(made_up(values, real), near).domain_lift == pytest.approx(0.5 / 0.25)
    values[0] = 0.0
    assert describe(made_up(values, real), near).domain_lift == 0.0


def test_each_document_counts_once_by_its_most_active_token() -> None:
    """Three documents, the first in two rows; only the second's peak stands near the domain."""
    real, near, values = np.ones((4, 5), dtype=bool), np.zeros((4, 5), dtype=bool), np.zeros((4, 5))
    near[0, 0] = near[2, 1] = near[3, 1] = True
    values[0, 0], values[1, 3], values[2, 1], values[3, 4] = 1.0, 9.0, 5.0, 2.0
    values[3, 1] = 1.0
    recording = made_up(values, real)
    rows = recording.rows._replace(documents=("one", "one", "two", "three"))
    found = describe(recording._replace(rows=rows), near)
    assert (found.peak_documents, found.domain_peaks, found.domain_share) == (3, 1, 3 / 20)


def test_a_direction_that_is_never_active_has_no_peaks() -> None:
    found = describe(made_up(np.zeros((2, 3)), np.ones((2, 3), dtype=bool)), np.ones((2, 3), dtype=bool))
    assert (found.peak_documents, found.domain_peaks, found.domain_share) == (0, 0, 1.0)


def test_domain_lift_needs_domain_words_in_the_corpus() -> None:
    assert describe(made_up(np.ones((1, 4)), np.ones((1, 4), dtype=bool))).domain_lift is None
