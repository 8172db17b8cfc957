"""Coverage where it is known: exact detectors, constants, mixtures, variables that say nothing."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tools.truth.worlds import chunked, draw_truths, name
from tools.truth.counts import THRESHOLDS, constant_f1, count, measure_maxima
from tools.truth.coverage import Coverage, measure_coverage
from tools.truth.floors import Shuffled
from tools.truth.scores import measure

PREVALENCES = (0.1, 0.3, 0.5, 0.8)


def cover(activations: np.ndarray, truths: np.ndarray) -> Coverage:
    stream = chunked(activations, truths)
    return measure_coverage(count(stream, measure_maxima(stream)), name(truths.shape[1]))


def test_one_exact_detector_for_each_variable_is_coverage_1() -> None:
    truths = draw_truths(500, PREVALENCES)
    found = cover(truths[:, ::-1] * [1.0, 2.0, 0.5, 7.0], truths)
    assert (found.best, found.one_threshold) == (1.0, 1.0)
    assert [covered.best.feature for covered in found.variables] == [3, 2, 1, 0]
    assert all(covered.best[2:] == (1.0, 1.0, 1.0) for covered in found.variables)
    assert found.true_labels(most_second=0.95) == {3 - i: f"variable {i}" for i in range(4)}


def test_constant_features_cover_what_prevalence_gives_them() -> None:
    truths = draw_truths(2000, PREVALENCES)
    found = cover(np.ones((2000, 3)), truths)
    assert found.best == pytest.approx(np.mean([constant_f1(share) for share in truths.mean(axis=0)]))
    assert all(covered.best.recall == 1 for covered in found.variables)


def test_the_best_threshold_is_found_for_each_variable_and_one_for_all_is_no_better() -> None:
    """Each feature is strong where its variable is true, and as strong as its own noise elsewhere."""
    truths, rng = draw_truths(3000, PREVALENCES[:3]), np.random.default_rng(1)
    activations = np.where(truths, 1.0, rng.random(truths.shape) * (0.25, 0.55, 0.85))
    found = cover(activations, truths)
    assert [covered.best.threshold for covered in found.variables] == [0.3, 0.6, 0.9]
    assert (found.best, found.one_threshold, found.threshold) == (1.0, 1.0, 0.9)
    activations[truths[:, 0] & (rng.random(3000) < 0.5), 0] = (
        0.35  # so that the highest threshold no longer suits the first
    )
    mixed = cover(activations, truths)
    assert mixed.one_threshold < mixed.best == 1.0


@pytest.mark.parametrize("binary", [True, False])
def test_both_kinds_of_coverage_agree_where_thresholds_cannot_matter(binary: bool) -> None:
    truths, rng = draw_truths(400, PREVALENCES), np.random.default_rng(2)
    activations = rng.random((400, 9))
    stream = chunked((activations < 0.3) if binary else activations, truths)
    counts = count(stream, measure_maxima(stream), THRESHOLDS if binary else (0.4,))
    found = measure_coverage(counts, name(4))
    assert found.best == pytest.approx(found.one_threshold)


def test_variables_that_never_vary_are_in_no_mean() -> None:
    truths = np.concatenate([draw_truths(300, (0.4,)), np.ones((300, 1)), np.zeros((300, 1))], axis=1)
    found = cover(truths[:, :1] * 1.0, truths)
    assert (found.best, len(found.variables)) == (1.0, 1)
    assert found.left_out == ("variable 1", "variable 2")
    assert found.true_labels() == {0: "variable 0"}
    assert found.variables[0].runner_up is None


def test_where_nothing_varies_there_is_no_coverage() -> None:
    with pytest.raises(ValueError, match="every variable is true of all examples or of none"):
        cover(np.ones((10, 2)), np.ones((10, 2)))


def test_a_feature_has_a_true_label_only_where_it_means_one_variable() -> None:
    """The second feature means either of two variables, the third a part of one; the last is noise."""
    truths, rng = draw_truths(4000, (0.1, 0.1, 0.1)), np.random.default_rng(3)
    both = truths[:, 1] | truths[:, 2]
    part = truths[:, 1] & (rng.random(4000) < 0.5)
    found = cover(np.stack([truths[:, 0], both, part, rng.random(4000)], axis=1), truths)
    assert found.true_labels() == {0: "variable 0"}
    assert found.nearest.f1[1] == pytest.approx(0.69, abs=0.04)
    assert {int(found.nearest.variable[1]), int(found.nearest.second[1])} == {1, 2}
    assert found.true_labels(least=0.6, most_second=0.9) == {
        0: "variable 0",
        1: f"variable {found.nearest.variable[1]}",
        2: "variable 1",
    }


def test_of_one_variable_there_is_no_second() -> None:
    truths = draw_truths(100, (0.5,))
    found = cover(truths * 1.0, truths)
    assert (found.nearest.second.tolist(), found.nearest.second_f1.tolist()) == ([-1], [0.0])
    assert found.true_labels() == {0: "variable 0"}


def test_the_best_of_many_noises_is_worth_less_on_examples_it_was_not_chosen_by() -> None:
    rng, truths = np.random.default_rng(4), draw_truths(400, (0.1,) * 5)
    train, test = (chunked(rng.random((200, 300)) ** 8, half) for half in (truths[:200], truths[200:]))
    counts = count(train, measure_maxima(train))
    found = measure_coverage(counts, name(5))
    held_out = measure(test, [found.predictor(counts.maxima)])[0].coverage()
    assert held_out.interval.high < found.best
    again = measure(train, [found.predictor(counts.maxima)])[0].coverage()
    assert again.value == pytest.approx(found.best)


# Floors


def test_shuffled_variables_leave_little_more_than_a_constant_feature_gets() -> None:
    truths = draw_truths(5000, (0.2, 0.5))
    activations = np.concatenate([truths, np.ones((5000, 1))], axis=1)
    stream = Shuffled(chunked(activations, truths), seed=3)
    floor = measure_coverage(count(stream, measure_maxima(stream)), name(2))
    expected = np.mean([constant_f1(share) for share in truths.mean(axis=0)])
    assert floor.best == pytest.approx(expected, abs=0.02)


def test_shuffling_exchanges_truths_between_games_at_one_position() -> None:
    truths = np.eye(60, dtype=bool)  # every example has a truth of its own
    stream = chunked(np.ones((60, 1)), truths, per_game=6, size=7)
    shuffled = np.concatenate([chunk.truths for chunk in Shuffled(stream, seed=1)])
    source = shuffled.argmax(axis=1)
    assert sorted(source) == list(range(60))
    assert (source % 6 == np.arange(60) % 6).all()
    assert (source != np.arange(60)).all()
    again = np.concatenate([chunk.truths for chunk in Shuffled(stream, seed=1)])
    other = np.concatenate([chunk.truths for chunk in Shuffled(stream, seed=2)])
    assert (again == shuffled).all() and (other != shuffled).any()


def test_what_only_tells_the_position_scores_on_shuffled_variables_what_it_scores() -> None:
    truths = (np.arange(600) % 6 < 2)[:, None]
    stream = chunked(truths * 1.0, truths, per_game=6)
    floor = measure_coverage(count(Shuffled(stream), np.ones(1)), name(1))
    assert floor.best == 1.0


def test_one_game_alone_cannot_be_shuffled() -> None:
    stream = chunked(np.ones((30, 1)), draw_truths(30, (0.5,)), per_game=30)
    with pytest.raises(ValueError, match="alone at their position"):
        list(Shuffled(stream))
