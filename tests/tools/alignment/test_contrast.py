"""The direct scorer: planted features are found, random documents find none, and p is counted as it should be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import permutation_test

from tests.conftest import DEAD_FEATURE, EVERYDAY, MEDICAL
from tools.alignment import contrast
from tools.alignment.contrast import FULL_SCORE, cut_alike, finest, permuted_share, score_by_contrast, score_groups
from tools.alignment.scores import FeatureScores
from tools.bench.workbench import Workbench
from tools.errors import UnveilError

N_TARGET, N, D = 10, 120, 300


def world(seed: int, planted: int = 0, shift: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Sparse, skewed activations by document, as features have them; the first `planted` are stronger in the target."""
    rng = np.random.default_rng(seed)
    means = rng.exponential(size=(N, D)) * (rng.random((N, D)) < rng.uniform(0.05, 1, D))
    is_target = np.arange(N) < N_TARGET
    means[:N_TARGET, :planted] += shift * means.std(axis=0)[:planted]
    return means.astype(np.float32), is_target


def score(means: np.ndarray, is_target: np.ndarray, permutations: int = 999, seed: int = 0) -> FeatureScores:
    alive = (means != 0).any(axis=0)
    return score_groups(means, is_target, alive, permutations=permutations, seed=seed)


def test_planted_features_are_found_and_few_others() -> None:
    """At q <= 0.05 at most one in twenty of what is found is false, on average."""
    power, false = [], []
    for seed in range(10):
        found = score(*world(seed, planted=30, shift=2)).beyond(0.05)
        power.append(found[:30].mean())
        false.append(found[30:].sum() / max(1, found.sum()))
    assert np.mean(power) > 0.9
    assert np.mean(false) < 0.08


def test_random_documents_as_the_target_find_nothing() -> None:
    """Of 40 null targets at most a few find anything: each does with probability 0.05."""
    found = [int(score(*world(seed)).beyond(0.05).sum()) for seed in range(40)]
    assert sum(n > 0 for n in found) <= 6


def test_null_p_is_uniform_or_larger() -> None:
    p = np.concatenate([score(*world(seed)).p for seed in range(10)])  # pyright: ignore[reportArgumentType, reportCallIssue]
    for level in (0.01, 0.05, 0.2, 0.5):
        assert (p <= level).mean() < level * 1.25 + 0.005


@given(st.integers(0, 2**32 - 1))
def test_p_is_the_share_of_all_relabellings_that_reach_as_much(seed: int) -> None:
    """Against scipy on groups so small that it goes through every one of them."""
    rng = np.random.default_rng(seed)
    values = np.round(rng.exponential(size=(8, 3)) * (rng.random((8, 3)) < 0.7), 1).astype(np.float32)
    is_target = np.arange(8) < 3
    got = permuted_share(values, is_target, 4000, seed)
    for feature in range(3):
        exact = permutation_test(
            (values[:3, feature], values[3:, feature]),
            lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
            alternative="greater",
            n_resamples=np.inf,
            vectorized=True,
        ).pvalue
        assert got[feature] == pytest.approx(exact, abs=0.04)


def test_p_is_never_0_and_no_finer_than_it_says() -> None:
    means, is_target = world(0, planted=5, shift=50)
    scores = score(means, is_target, permutations=99)
    assert scores.p is not None
    assert scores.p.min() == scores.resolution == 0.01
    assert finest(8, 3, 10_000) == pytest.approx(1 / 56)


def test_permutations_do_not_depend_on_how_they_are_taken_in_blocks() -> None:
    means, is_target = world(1, planted=5)
    whole = permuted_share(means, is_target, 500, 3)
    wide = permuted_share(np.tile(means, 200), is_target, 500, 3)  # 60,000 features: blocks of 279
    np.testing.assert_array_equal(np.tile(whole, 200), wide)


def test_features_beyond_the_screen_are_counted_over_all_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given up has a p that is no smaller than the screen's bound; all others have what they would have had."""
    means, is_target = world(5, planted=20, shift=2)
    screened = permuted_share(means, is_target, 6000, 1)
    monkeypatch.setattr(contrast, "SCREEN", 6000)
    full = permuted_share(means, is_target, 6000, 1)
    hopeless = screened != full
    assert hopeless.any()
    assert screened[hopeless].min() > contrast.HOPELESS
    assert screened[:20].max() < contrast.HOPELESS


def test_score_is_the_clipped_difference_in_standard_deviations() -> None:
    means, is_target = world(2, planted=20, shift=3)
    scores = score(means, is_target)
    j = 4
    d = (means[is_target, j].mean() - means[~is_target, j].mean()) / means[:, j].std()
    assert scores.statistic[j] == pytest.approx(d, rel=1e-4)
    np.testing.assert_allclose(scores.score, np.clip(scores.statistic / FULL_SCORE, 0, 1))
    assert (scores.score[scores.statistic < 0] == 0).all()


def test_feature_that_never_varies_scores_0_and_one_that_never_fires_has_no_score() -> None:
    means, is_target = world(3)
    means[:, 0], means[:, 1] = 1, 0
    scores = score(means, is_target)
    assert (scores.score[0], scores.scored[0], scores.scored[1]) == (0, True, False)
    assert scores.p is not None and scores.q is not None
    assert (scores.p[0], scores.p[1], scores.q[1]) == (1, 1, 1)
    assert scores.coverage == pytest.approx(1 - 1 / D)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_activation_that_is_no_number_is_an_error_and_no_rank(bad: float) -> None:
    means, is_target = world(4)
    means[50, 7] = bad
    with pytest.raises(UnveilError, match="feature 7 .*no numbers"):
        score(means, is_target)


def test_no_feature_at_all_is_no_error() -> None:
    nothing = score(np.zeros((20, 6), np.float32), np.arange(20) < 5)
    assert nothing.coverage == 0
    assert not len(nothing.ranking())


def test_other_documents_are_cut_to_lengths_that_the_targets_have() -> None:
    documents = [np.arange(50)] * 9 + [np.arange(3)]
    cut = cut_alike(documents, [5, 10, 20], seed=0)
    assert sorted({len(ids) for ids in cut[:9]}) == [5, 10, 20]
    assert [sum(len(ids) == n for ids in cut[:9]) for n in (5, 10, 20)] == [3, 3, 3]
    assert all((ids == np.arange(len(ids))).all() for ids in cut)
    assert len(cut[-1]) == 3


# With a model


def sentences(words: tuple[str, ...], n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["The {} was in the {} and a {} of the {}.".format(*rng.choice(words, 4)) for _ in range(n)]


def test_features_of_a_models_medical_words_are_found_by_medical_text(bench: Workbench) -> None:
    scores = score_by_contrast(bench, sentences(MEDICAL, 12, 0), sentences(EVERYDAY, 60, 1), permutations=999)
    assert scores.beyond(0.05).any()
    assert not scores.scored[DEAD_FEATURE]
    null = score_by_contrast(bench, sentences(EVERYDAY, 12, 2), sentences(EVERYDAY, 60, 1), permutations=999)
    assert not null.beyond(0.05).any()


def test_same_seed_gives_the_same_scores(bench: Workbench) -> None:
    target, others = sentences(MEDICAL, 5, 0), sentences(EVERYDAY, 20, 1)
    one, same = (score_by_contrast(bench, target, others, permutations=99, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.p, same.p)  # pyright: ignore[reportArgumentType]
    np.testing.assert_array_equal(one.score, same.score)


@pytest.mark.parametrize(("target", "others"), [(["", " "], ["a river", "the bread"]), (["a", "b"], ["", "the"])])
def test_group_without_text_is_refused(bench: Workbench, target: list[str], others: list[str]) -> None:
    with pytest.raises(UnveilError, match="documents with any text"):
        score_by_contrast(bench, target, others, permutations=9)
