"""Benches of the tiny model whose SAEs can be rewritten."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.tools.architectures import load_reference, save_sae
from tools.bench.workbench import Workbench
from tools.study.definition import Arm


@pytest.fixture(scope="session")
def bench_of(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Workbench]:
    """The tiny model with an SAE of an architecture, its settings as named."""

    def make(architecture: str, **settings: object) -> Workbench:
        sae = load_reference(save_sae(architecture, tmp_path_factory.mktemp(architecture), **settings))
        return Workbench(bench.bridge, sae, Arm(model="-", sae="-", hook_name=""), architecture, bench.hashes)

    return make


@pytest.fixture(scope="session")
def topk_bench(bench_of: Callable[..., Workbench]) -> Workbench:
    """48 features, 6 of them at a time."""
    return bench_of("topk", rescale_acts_by_decoder_norm=False)


@pytest.fixture(scope="session")
def residual(topk_bench: Workbench) -> torch.Tensor:
    """The residual stream of four texts, BOS left out; [4, 8, 32]."""
    generator = torch.Generator().manual_seed(4)
    drawn = torch.randint(1, topk_bench.W_U.shape[1], (4, 9), generator=generator)
    drawn[:, 0] = topk_bench.bos
    return topk_bench.residuals(drawn)[:, 1:]


def draw_scores(n: int, d_sae: int = 48, seed: int = 0) -> torch.Tensor:
    """Scores of every feature, without order."""
    return torch.rand(n, d_sae, generator=torch.Generator().manual_seed(seed))
