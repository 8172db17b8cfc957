"""Taking features out by subtraction and by running the model again is one thing where both can be done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import HOOK, N_LAYERS
from tools.bench.workbench import Workbench
from tools.probes.ablation import ablate_at, ablate_pooled
from tools.probes.pooling import pool_at, pool_texts
from tools.study.definition import Arm

TEXTS = ("the doctor met the nurse in the hospital", "a garden", "the river and the bridge of the captain " * 6)
LATER = f"blocks.{N_LAYERS - 1}.hook_resid_post"


@pytest.fixture
def topk_bench(bench: Workbench, make_topk_sae: Callable[..., Any]) -> Workbench:
    return Workbench(bench.bridge, make_topk_sae(True), Arm(model="-", sae="-", hook_name=HOOK), "topk", bench.hashes)


@pytest.mark.parametrize("kind", ["standard", "topk"])
def test_subtraction_and_the_model_agree_at_the_saes_hook(
    bench: Workbench, topk_bench: Workbench, tmp_path: Path, kind: str
) -> None:
    """In a top-k SAE no other feature moves up into the place of one that is taken out."""
    given = bench if kind == "standard" else topk_bench
    pooled = pool_texts(given, TEXTS, cache=tmp_path)
    chosen = np.argsort(-pooled.features.sum(axis=0))[:6].tolist()
    quick = ablate_pooled(pooled, given.directions.numpy(), chosen)
    np.testing.assert_allclose(ablate_at(given, TEXTS, given.hook_name, chosen), quick, rtol=1e-5, atol=1e-5)
    assert np.abs(quick - pooled.residual).max() > 0.01


def test_nothing_taken_out_changes_nothing(bench: Workbench, tmp_path: Path) -> None:
    pooled = pool_texts(bench, TEXTS, cache=tmp_path)
    np.testing.assert_array_equal(ablate_pooled(pooled, bench.directions.numpy(), []), pooled.residual)
    np.testing.assert_array_equal(ablate_at(bench, TEXTS, LATER, []), pool_at(bench, TEXTS, LATER))


def test_later_layers_see_the_ablation(bench: Workbench, tmp_path: Path) -> None:
    pooled = pool_texts(bench, TEXTS, cache=tmp_path)
    chosen = np.argsort(-pooled.features.sum(axis=0))[:3].tolist()
    changed = ablate_at(bench, TEXTS, LATER, chosen) - pool_at(bench, TEXTS, LATER)
    assert np.abs(changed).max() > 0.01


def test_all_features_out_leave_the_error_and_the_bias(bench: Workbench, tmp_path: Path) -> None:
    pooled = pool_texts(bench, TEXTS[:1], cache=tmp_path)
    ids = torch.tensor([[bench.bos, *bench.tokenize(TEXTS[0])]])
    stream = bench.residuals(ids)[0, 1:]
    rebuilt = bench.decode_activations(bench.encode(stream), stream)
    left = (stream - rebuilt).mean(0) + bench.sae.b_dec.detach()
    found = ablate_pooled(pooled, bench.directions.numpy(), range(bench.d_sae))[0]
    np.testing.assert_allclose(found, left.numpy(), atol=1e-4)
