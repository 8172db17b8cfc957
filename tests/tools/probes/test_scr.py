"""SCR, TPP and probes on a planted world: x = g u + p v + noise, and an SAE that has u and v among its features."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.probes.ablation import ablate_pooled
from tools.probes.choice import choose_among, choose_by_effect, choose_like
from tools.probes.classes import perturb_classes, train_class_probes
from tools.probes.draws import draw_ambiguous, draw_balanced, take_balanced
from tools.probes.effects import contrast_effects, exact_effects
from tools.probes.pooling import Pooled
from tools.probes.probe import Probe, centre_threshold, measure_accuracy, train_probe, train_probes
from tools.probes.scr import measure_removal, perturbation_score, removal_score, resample_sums
from tools.probes.task import Task, TaskText, split_of

D, FEATURES = 12, 8
U, V = 0, 1


class World(NamedTuple):
    """Texts whose attribute is written along u and whose class along v."""

    task: Task
    pooled: Pooled
    directions: np.ndarray


def make_world(each: int = 200, noise: float = 0.05, attribute_size: float = 1.0) -> World:
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(D, D)))[0][:FEATURES]
    texts = tuple(
        TaskText(
            document=f"d{n}",
            text=f"t{n}",
            label=n // 2 % 2,
            attribute=n % 2,
            split=split_of(f"d{n}", 0.3, 0.2),
        )
        for n in range(4 * each)
    )
    task = Task(
        name="planted",
        label="trade",
        classes=("a", "b"),
        attribute="kind",
        attribute_classes=("c", "d"),
        texts=texts,
    )
    features = np.abs(rng.normal(size=(len(texts), FEATURES))) * noise
    features[:, U] += attribute_size * task.attributes
    features[:, V] += task.labels
    residual = (features @ directions + noise * rng.normal(size=(len(texts), D))).astype(np.float32)
    density = np.full(FEATURES, 0.5)
    return World(task, Pooled(residual, features.astype(np.float32), np.full(len(texts), 10), density), directions)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


@pytest.mark.parametrize(
    ("ablated", "biased", "oracle", "score"),
    [(0.81, 0.60, 0.95, 0.60), (0.60, 0.60, 0.95, 0.0), (0.95, 0.60, 0.95, 1.0), (0.5, 0.6, 0.8, -0.5)],
)
def test_scr_has_known_answers(ablated: float, biased: float, oracle: float, score: float) -> None:
    assert removal_score(ablated, biased, oracle) == pytest.approx(score)


@pytest.mark.parametrize("oracle", [0.6, 0.6005, 0.5])
def test_scr_is_no_number_where_there_is_no_way_to_go(oracle: float) -> None:
    assert removal_score(0.7, 0.6, oracle) is None


def removed(world: World, probe: Probe, features: list[int]) -> float:
    """SCR of a probe that reads class and attribute alike, against one that reads the class."""
    task, test = world.task, take_balanced(world.task, "test")
    oracle = Probe(world.directions[V], -0.5, 1.0)
    bare = ablate_pooled(world.pooled, world.directions, features)

    def correct(probe: Probe, inputs: np.ndarray) -> np.ndarray:
        return probe.is_correct(inputs[test], task.labels[test])

    score = measure_removal(
        correct(probe, bare),
        correct(probe, world.pooled.residual),
        correct(oracle, world.pooled.residual),
        task.quadrants[test],
    ).score
    assert score is not None
    return score


def test_taking_out_the_attributes_feature_removes_the_bias_and_no_other_does(world: World) -> None:
    biased = Probe(world.directions[U] + world.directions[V], -1.0, 1.0)
    halfway = biased._replace(bias=-0.5)  # once u is gone, the classes lie at 0 and 1
    task, test = world.task, take_balanced(world.task, "test")
    wrong = biased.is_correct(world.pooled.residual[test], task.labels[test]).mean()
    assert 0.6 < wrong < 0.9
    ambiguous = draw_ambiguous(task, "train", 0)
    for features, expected in (([U], 1.0), ([V], None), ([2, 3, 4], 0.0)):
        bare = ablate_pooled(world.pooled, world.directions, features)
        centred = centre_threshold(biased, bare[ambiguous], task.labels[ambiguous])
        score = removed(world, centred, features)
        assert score <= 0.1 if expected is None else score == pytest.approx(expected, abs=0.15)
    assert removed(world, halfway, [U]) == pytest.approx(1.0)
    assert removed(world, halfway, [V]) <= 0


def test_trained_probes_find_the_planted_world(world: World) -> None:
    task, x = world.task, world.pooled.residual
    test = take_balanced(task, "test")
    for seed in range(3):
        probes = train_probes(task, x, seed)
        assert probes.oracle.is_correct(x[test], task.labels[test]).mean() > 0.99
        assert probes.attribute.is_correct(x[test], task.attributes[test]).mean() > 0.99
        share = measure_accuracy(probes.biased.is_correct(x[test], task.labels[test]), task.quadrants[test])
        assert share.by_quadrant[0] > 0.95
        assert share.by_quadrant[3] > 0.95
        assert share.worst < 0.9
        cosine = abs(probes.biased.weights @ world.directions[U] - probes.biased.weights @ world.directions[V])
        assert cosine < 0.25 * np.linalg.norm(probes.biased.weights)


def test_effects_choose_the_planted_features(world: World) -> None:
    task, x = world.task, world.pooled.residual
    drawn = draw_balanced(task, "train", 0)
    probes = train_probes(task, x, 0)
    for probe, classes, planted in ((probes.attribute, task.attributes, U), (probes.oracle, task.labels, V)):
        effects = exact_effects(world.pooled.features[drawn], world.directions, probe)
        contrast = contrast_effects(effects, classes[drawn] == 1)
        assert choose_by_effect(contrast, 1) == [planted]
        logits = probe.logits(x[drawn])
        bare = ablate_pooled(world.pooled, world.directions, [planted])[drawn]
        change = contrast_effects((logits - probe.logits(bare))[:, None], classes[drawn] == 1)
        assert change[0] == pytest.approx(contrast[planted], rel=1e-4)


def test_tpp_of_one_feature_a_class_is_what_is_above_chance() -> None:
    """Each class's probe reads a feature of its own: taken out, it knows nothing of it, and the others know all."""
    rng = np.random.default_rng(1)
    texts = tuple(
        TaskText(document=f"d{n}", text=f"t{n}", label=n % 4, split=split_of(f"d{n}", 0.3, 0.2)) for n in range(1200)
    )
    task = Task(name="planted", label="kind", classes=("a", "b", "c", "d"), texts=texts)
    features = np.eye(4)[task.labels] + 0.01 * rng.normal(size=(1200, 4)) ** 2
    pooled = Pooled(features.astype(np.float32), features.astype(np.float32), np.ones(1200, dtype=np.int64), np.ones(4))
    probes = train_class_probes(task, pooled.residual, 0)
    found = perturb_classes(task, pooled, np.eye(4), probes, 1)
    assert found.features == ((0,), (1,), (2,), (3,))
    assert found.accuracies == pytest.approx(np.ones(4), abs=0.01)
    assert np.diag(found.ablated) == pytest.approx(np.full(4, 0.5), abs=0.02)
    assert found.ablated[~np.eye(4, dtype=bool)] == pytest.approx(np.ones(12), abs=0.02)
    assert found.score == pytest.approx(0.5, abs=0.03)


def test_tpp_counts_what_is_lost_off_target() -> None:
    own = np.array([0.9, 0.8])
    ablated = np.array([[0.5, 0.7], [0.8, 0.5]])
    assert perturbation_score(own, ablated) == pytest.approx(((0.4 - 0.1) + (0.3 - 0.1)) / 2)
    with pytest.raises(ValueError, match="no others"):
        perturbation_score(np.array([0.9]), np.array([[0.5]]))


def test_an_interval_of_scr_covers_it_and_narrows_with_more_texts() -> None:
    widths = list[float]()
    for n in (200, 3200):
        rng = np.random.default_rng(3)
        quadrants = np.arange(n) % 4
        oracle, biased, ablated = (rng.random(n) < share for share in (0.95, 0.6, 0.81))
        found = measure_removal(ablated, biased, oracle, quadrants)
        assert found.score is not None and found.interval is not None
        assert found.interval.low < found.score < found.interval.high
        widths.append(found.interval.high - found.interval.low)
    assert widths[1] < widths[0] / 3


def test_resamples_pair_what_is_measured_on_the_same_texts() -> None:
    """The difference of two columns has the resamples that it has by itself."""
    rng = np.random.default_rng(0)
    values, quadrants = rng.random((60, 2)), np.arange(60) % 4
    both = resample_sums(values, quadrants, 5)
    alone = resample_sums(values[:, :1] - values[:, 1:], quadrants, 5)
    np.testing.assert_allclose(both[:, 0] - both[:, 1], alone[:, 0])
    np.testing.assert_allclose(resample_sums(np.ones((60, 1)), quadrants, 5), 60)


@given(st.lists(st.booleans(), min_size=4, max_size=60), st.integers(0, 3))
def test_worst_quadrant_is_the_least_of_those_that_have_texts(correct: list[bool], shift: int) -> None:
    quadrants = (np.arange(len(correct)) // 2 + shift) % 4
    found = measure_accuracy(np.array(correct), quadrants)
    shares = [np.mean(np.array(correct)[quadrants == q]) for q in np.unique(quadrants)]
    assert found.worst == pytest.approx(min(shares))
    assert found.worst_interval.low <= found.worst_interval.high
    assert found.interval.low <= found.share <= found.interval.high + 1e-9


def test_draws_are_of_one_size_and_of_their_quadrants(world: World) -> None:
    task = world.task
    for seed in range(3):
        ambiguous, balanced = draw_ambiguous(task, "train", seed), draw_balanced(task, "train", seed)
        assert len(ambiguous) == len(balanced) == len(set(ambiguous.tolist()))
        assert np.bincount(task.quadrants[ambiguous], minlength=4).tolist() == [
            len(ambiguous) // 2,
            0,
            0,
            len(ambiguous) // 2,
        ]
        assert set(np.bincount(task.quadrants[balanced], minlength=4).tolist()) == {len(balanced) // 4}
        assert task.within("train")[ambiguous].all()
        assert task.within("train")[balanced].all()
    assert draw_ambiguous(task, "train", 0).tolist() != draw_ambiguous(task, "train", 1).tolist()
    assert draw_ambiguous(task, "train", 1).tolist() == draw_ambiguous(task, "train", 1).tolist()


def test_penalty_is_chosen_on_development_texts_alone(world: World) -> None:
    """A probe is the same whatever the test texts are."""
    task, x = world.task, world.pooled.residual.copy()
    first = train_probes(task, x, 0)
    x[task.within("test")] = 1e6
    again = train_probes(task, x, 0)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)


def test_of_equally_good_penalties_the_strongest_is_taken() -> None:
    x = np.array([[-1.0], [-2.0], [1.0], [2.0]])
    y = np.array([0, 0, 1, 1])
    assert train_probe(x, y, x, y).strength == pytest.approx(1e-4)


def test_a_probe_reads_what_it_is_given_in_its_own_units() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    x = rng.normal(size=(200, 3)) + y[:, None]
    near, far = train_probe(x, y, x, y), train_probe(1000 * x + 7, y, 1000 * x + 7, y)
    np.testing.assert_allclose(near.logits(x), far.logits(1000 * x + 7), atol=1e-3)


def test_features_alike_are_as_dense_and_as_strong_and_never_the_chosen_ones() -> None:
    rng = np.random.default_rng(0)
    density, effects = 10 ** rng.uniform(-4, -1, 500), rng.normal(size=500) * 10 ** rng.uniform(-3, 0, 500)
    effects[:50], density[50:60] = 0, 0
    chosen = choose_by_effect(effects, 20)
    for seed in range(5):
        drawn = choose_like(chosen, density, effects, seed, excluded=[70, 71])
        assert len(set(drawn)) == len(chosen)
        assert not set(drawn) & {*chosen, *range(60), 70, 71}
        pairs = [(one, other) for one, other in zip(chosen, drawn, strict=True) if density[one] > 0]
        assert np.median([abs(np.log(density[other] / density[one])) for one, other in pairs]) < 1.5
    assert choose_like(chosen, density, effects, 1) != choose_like(chosen, density, effects, 2)
    assert choose_like(chosen, density, effects, 1) == choose_like(chosen, density, effects, 1)


def test_choices_run_out_where_features_do() -> None:
    effects = np.array([0.0, -3.0, 1.0, 0.0, 2.0])
    assert choose_by_effect(effects, 10) == [1, 4, 2]
    assert choose_by_effect(effects) == [1, 4, 2]
    assert choose_among(effects, {2, 0, 1}, 2) == [1, 2]
    assert choose_among(effects, {2, 0, 1}) == [1, 2, 0]
    assert choose_like([1], np.ones(5), effects, 0, excluded=[2, 4]) == []
