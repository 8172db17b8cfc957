"""Effects on a probe's logit are what taking the feature out takes away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import N_LAYERS
from tools.bench.workbench import Workbench
from tools.probes.ablation import ablate_at, ablate_pooled
from tools.probes.effects import class_effects, contrast_effects, exact_effects, integrate_effects
from tools.probes.pooling import pool_at, pool_texts
from tools.probes.probe import Probe

TEXTS = (
    "the doctor met the nurse in the hospital",
    "a garden of the river",
    "the captain and the bridge of the train " * 4,
)
LATER = f"blocks.{N_LAYERS - 1}.hook_resid_post"


@pytest.fixture
def probe(bench: Workbench) -> Probe:
    rng = np.random.default_rng(0)
    return Probe(rng.normal(size=bench.directions.shape[1]), 0.3, 1.0)


def directions(bench: Workbench) -> np.ndarray:
    return bench.directions.numpy()


def test_an_exact_effect_is_what_ablation_takes_from_the_logit(bench: Workbench, probe: Probe, tmp_path: Path) -> None:
    pooled = pool_texts(bench, TEXTS, cache=tmp_path)
    pooled = pooled._replace(residual=pooled.residual.astype(np.float64))
    effects = exact_effects(pooled.features, directions(bench), probe)
    for feature in np.flatnonzero(pooled.features.any(axis=0))[:8]:
        bare = pooled.residual - pooled.features[:, [feature]].astype(np.float64) @ directions(bench)[[feature]]
        np.testing.assert_allclose(
            probe.logits(pooled.residual) - probe.logits(bare), effects[:, feature], rtol=0, atol=1e-6
        )


def test_effects_of_a_set_add_up_to_its_ablation(bench: Workbench, probe: Probe, tmp_path: Path) -> None:
    pooled = pool_texts(bench, TEXTS, cache=tmp_path)
    chosen = np.flatnonzero(pooled.features.any(axis=0))[:5].tolist()
    lost = probe.logits(pooled.residual) - probe.logits(ablate_pooled(pooled, directions(bench), chosen))
    np.testing.assert_allclose(
        lost, exact_effects(pooled.features, directions(bench), probe)[:, chosen].sum(axis=1), atol=1e-4
    )


def test_integrated_gradients_at_the_saes_own_hook_are_the_exact_effects(
    bench: Workbench, probe: Probe, tmp_path: Path
) -> None:
    pooled = pool_texts(bench, TEXTS, cache=tmp_path)
    found = integrate_effects(bench, TEXTS, bench.hook_name, probe, steps=2)
    np.testing.assert_allclose(found, exact_effects(pooled.features, directions(bench), probe), rtol=1e-4, atol=1e-5)


def test_integrated_gradients_add_up_to_what_all_features_do_together(bench: Workbench, probe: Probe) -> None:
    """Completeness, which one gradient at the end of the way does not have."""
    with_all = probe.logits(pool_at(bench, TEXTS, LATER))
    without = probe.logits(ablate_at(bench, TEXTS, LATER, range(bench.d_sae)))
    errors = {
        steps: np.abs(integrate_effects(bench, TEXTS, LATER, probe, steps).sum(axis=1) - (with_all - without)).max()
        for steps in (1, 4, 32)
    }
    assert errors[32] < 0.02 * np.abs(with_all - without).max()
    assert errors[32] < errors[4] / 4
    assert errors[4] < errors[1]


def test_midpoints_beat_ends_by_an_order() -> None:
    """The known answer of a cubic: with ten steps the midpoint rule misses by 1/400 of the curvature, an end by 1/20."""
    at = (np.arange(10) + 0.5) / 10
    assert abs(np.mean(3 * at**2) - 1) == pytest.approx(0.0025)


def test_a_contrast_is_the_difference_of_class_means() -> None:
    effects = np.array([[1.0, 0.0], [3.0, 2.0], [0.0, 6.0]])
    np.testing.assert_allclose(contrast_effects(effects, np.array([True, True, False])), [2.0, -5.0])
    with pytest.raises(ValueError, match="both classes"):
        contrast_effects(effects, np.array([True, True, True]))


def test_a_feature_rarer_in_a_class_has_no_effect_for_it() -> None:
    features = np.array([[2.0, 0.0], [0.0, 1.0]])
    found = class_effects(features, np.array([True, False]), np.eye(2), Probe(np.array([0.5, 7.0]), 0.0, 1.0))
    np.testing.assert_allclose(found, [1.0, 0.0])
