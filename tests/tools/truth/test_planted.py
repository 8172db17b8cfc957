"""Planted directions in gaussians: concepts are found, placebos are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.tools.truth.worlds import chunked
from tools.truth.counts import count, measure_maxima
from tools.truth.coverage import measure_coverage
from tools.truth.planted import Planted, difference_of_means, plant, shuffle_labels

D, N, PER_DOCUMENT = 32, 6000, 60
DOCUMENTS = np.arange(N) // PER_DOCUMENT


def draw(seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Residuals about a mean far from 0, with a concept of single tokens and one of whole documents along two axes."""
    rng = np.random.default_rng(seed)
    concepts = {"word": rng.random(N) < 0.1, "topic": (rng.random(N // PER_DOCUMENT) < 0.3)[DOCUMENTS]}
    residuals = rng.normal(size=(N, D)) + 20
    residuals[:, 3] += 8 * concepts["word"]
    residuals[:, 5] -= 8 * concepts["topic"]
    return residuals, concepts


@pytest.fixture(scope="module")
def planted() -> Planted:
    residuals, concepts = draw(0)
    return plant(residuals, concepts, DOCUMENTS)


def test_directions_are_those_that_were_planted(planted: Planted) -> None:
    assert planted.names == ("word", "topic") * 3
    assert planted.kinds == ("concept",) * 2 + ("shuffled",) * 2 + ("random",) * 2
    assert np.linalg.norm(planted.directions, axis=1) == pytest.approx(np.ones(6))
    assert planted.directions[0, 3] > 0.99
    assert planted.directions[1, 5] < -0.97


def test_concepts_are_told_on_other_text_and_placebos_tell_nothing(planted: Planted) -> None:
    residuals, concepts = draw(1)
    truths = np.stack(list(concepts.values()), axis=1)
    stream = chunked(planted.activations(residuals), truths, size=500)
    near = measure_coverage(count(stream, measure_maxima(stream)), list(concepts)).nearest
    assert (near.f1[:2] > 0.95).all()
    assert near.variable[:2].tolist() == [0, 1]
    assert (near.f1[2:] < 0.5).all()


def test_every_direction_fires_as_often_as_its_concept_is_present(planted: Planted) -> None:
    residuals, concepts = draw(0)
    fired = (planted.activations(residuals) > 0).mean(axis=0)
    expected = [float(labels.mean()) for labels in concepts.values()] * 3
    assert fired == pytest.approx(expected, abs=1.5 / N)


def test_what_is_drowned_by_long_directions_is_read_where_the_reading_is_whitened() -> None:
    """Along the concept's axis and one more, residuals vary together and ten times as much as the concept moves them."""
    residuals, concepts = draw(0)
    loud = np.random.default_rng(7).normal(size=N) * 80
    residuals[:, 3] += loud
    residuals[:, 8] += loud
    f1 = {}
    for whitened in (True, False):
        features = plant(residuals, concepts, DOCUMENTS, whitened=whitened)
        stream = chunked(features.activations(residuals), concepts["word"][:, None], size=500)
        f1[whitened] = count(stream, measure_maxima(stream)).f1(0)[0, 0]
    assert f1[True] > 0.9
    assert f1[False] < 0.4


@pytest.mark.parametrize("whitened", [True, False])
def test_one_more_of_a_direction_is_read_as_one_more(whitened: bool) -> None:
    residuals, concepts = draw(0)
    features = plant(residuals, concepts, DOCUMENTS, whitened=whitened)
    assert (features.readers * features.directions).sum(axis=1) == pytest.approx(np.ones(6))
    if not whitened:
        assert features.readers == pytest.approx(features.directions)


def test_a_seed_plants_the_same_again() -> None:
    residuals, concepts = draw(0)
    first, again, other = (plant(residuals, concepts, DOCUMENTS, seed) for seed in (0, 0, 1))
    assert (first.directions == again.directions).all()
    assert (first.directions[2:] != other.directions[2:]).any(axis=1).all()
    assert (first.directions[:2] == other.directions[:2]).all()


@given(hnp.arrays(bool, 60), st.integers(0, 100))
def test_shuffled_labels_tell_little_and_stay_within_documents_or_are_exchanged(labels: np.ndarray, seed: int) -> None:
    documents = np.repeat([7, 3, 9, 1, 5], 12)
    try:
        shuffled = shuffle_labels(labels, documents, np.random.default_rng(seed))
    except ValueError as error:
        assert "cannot be shuffled" in str(error)
        return
    sums = [[int(one[documents == document].sum()) for document in (7, 3, 9, 1, 5)] for one in (labels, shuffled)]
    assert sorted(sums[0]) == sorted(sums[1])
    assert abs(np.corrcoef(labels, shuffled)[0, 1]) <= 0.3 + 1e-9


def test_labels_within_documents_stay_in_theirs() -> None:
    labels = np.random.default_rng(0).random(N) < 0.1
    shuffled = shuffle_labels(labels, DOCUMENTS, np.random.default_rng(1))
    assert (np.bincount(DOCUMENTS, labels) == np.bincount(DOCUMENTS, shuffled)).all()
    assert (shuffled != labels).mean() > 0.1


@pytest.mark.parametrize("slips", [0.0, 0.03])
def test_labels_of_a_topic_are_exchanged_between_documents_though_some_tokens_slip(slips: float) -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(N // PER_DOCUMENT) < 0.3)[DOCUMENTS] ^ (rng.random(N) < slips)
    shuffled = shuffle_labels(labels, DOCUMENTS, rng)
    assert shuffled.sum() == labels.sum()
    assert abs(np.corrcoef(labels, shuffled)[0, 1]) < 0.3
    shares = np.bincount(DOCUMENTS, shuffled) / PER_DOCUMENT
    assert ((shares < 0.2) | (shares > 0.8)).all()


@pytest.mark.parametrize("labels", [np.arange(20) < 10, np.ones(20, bool), np.zeros(20, bool)])
def test_what_cannot_be_shuffled_is_told(labels: np.ndarray) -> None:
    """Of two documents, exchanging them would label the opposite."""
    with pytest.raises(ValueError, match="labels of tax cannot be shuffled"):
        shuffle_labels(labels, np.arange(20) // 10, np.random.default_rng(0), "tax")


@pytest.mark.parametrize(("labels", "said"), [(np.zeros(9, bool), "none of the"), (np.ones(9, bool), "all of the")])
def test_a_concept_that_is_present_everywhere_or_nowhere_has_no_direction(labels: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        difference_of_means(np.random.default_rng(0).normal(size=(9, 4)), labels)


def test_a_concept_that_moves_nothing_has_no_direction() -> None:
    with pytest.raises(ValueError, match="one mean"):
        difference_of_means(np.ones((4, 3)), np.array([True, True, False, False]))


def test_where_every_direction_tells_the_concept_there_is_no_placebo() -> None:
    labels = np.random.default_rng(0).random(200) < 0.3
    residuals = np.where(labels, 5.0, -5.0)[:, None] + np.random.default_rng(1).normal(size=(200, 1)) * 0.1
    with pytest.raises(ValueError, match="cannot be shuffled|each tells one of the concepts"):
        plant(residuals, {"word": labels}, np.arange(200) // 50)
