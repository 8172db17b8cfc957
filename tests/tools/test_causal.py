"""A promise of weights held against an intervention."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from tools.causal import AblationEffect, ablate_feature, survival_ratio
from tools.projection import project
from tools.workbench import Workbench


class ErasingBench(Workbench):
    """A bench whose only later layer adds `gain` times the component of the residual stream along one direction."""

    def __init__(self, direction: torch.Tensor, gain: float) -> None:  # no model behind it, so nothing to load
        generator = torch.Generator().manual_seed(0)
        W_U = torch.randn(len(direction), 50, generator=generator)
        self.W_U = W_U - W_U.mean(0, keepdim=True) - W_U.mean(1, keepdim=True) + W_U.mean()
        self.embedding = torch.randn(50, len(direction), generator=generator)
        self.bridge = SimpleNamespace(cfg=SimpleNamespace(normalization_type="LN", eps=1e-5))
        self.direction = direction
        self.gain = gain

    def final_residual(
        self, tokens: torch.Tensor, edit: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> torch.Tensor:
        residual = self.embedding[tokens]
        residual = residual if edit is None else edit(residual)
        return residual + self.gain * (residual @ self.direction)[..., None] * self.direction

    def unembed(self, residual: torch.Tensor) -> torch.Tensor:
        centred = residual - residual.mean(-1, keepdim=True)
        return centred / centred.pow(2).mean(-1, keepdim=True).add(1e-5).sqrt() @ self.W_U


def unit(n: int, seed: int) -> torch.Tensor:
    drawn = torch.randn(n, generator=torch.Generator().manual_seed(seed))
    drawn = drawn - drawn.mean()
    return drawn / drawn.norm()


def active_at(shape: tuple[int, int], places: list[tuple[int, int]], value: float = 0.02) -> torch.Tensor:
    activations = torch.zeros(shape)
    for place in places:
        activations[place] = value
    return activations


@pytest.mark.parametrize(("gain", "ratio"), [(0.0, 1.0), (-0.5, 0.5), (-1.0, 0.0), (-2.0, -1.0)])
def test_survival_tells_direct_from_erased_and_reversed(gain: float, ratio: float) -> None:
    direction = unit(64, 1)
    bench = ErasingBench(direction, gain)
    tokens = torch.arange(12).reshape(2, 6)
    effect = ablate_feature(bench, tokens, active_at((2, 6), [(0, 1), (0, 4), (1, 2)]), direction)
    top = project(direction[None], bench.W_U, 5).top_ids[0]
    assert float(effect.promised[top].mean()) < 0, "ablation is promised to lower the direction's own tokens"
    assert survival_ratio(effect, top) == pytest.approx(ratio, abs=0.03)


def test_feature_after_the_last_layer_keeps_its_promise(last_bench: Workbench, tokens: torch.Tensor) -> None:
    direction = last_bench.directions[4]
    effect = ablate_feature(last_bench, tokens, active_at((2, 9), [(0, 3), (1, 7)], 0.05), direction)
    top = project(direction[None], last_bench.W_U, 10).top_ids[0]
    assert survival_ratio(effect, top) == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(effect.logits, effect.promised, atol=2e-3, rtol=0.1)


def test_only_active_positions_count(last_bench: Workbench, tokens: torch.Tensor) -> None:
    direction, places = last_bench.directions[4], [(0, 3), (1, 7), (1, 8)]
    effect = ablate_feature(last_bench, tokens, active_at((2, 9), places, 2.0), direction)
    assert effect.n_positions == 3
    clean, ablated = last_bench.logits(tokens), last_bench.logits(tokens, lambda residual: residual - 2 * direction)
    changes = torch.stack([(ablated - clean)[place] for place in places])
    expected = (changes - changes.mean(-1, keepdim=True)).mean(0)
    torch.testing.assert_close(effect.logits, expected, atol=1e-4, rtol=1e-4)


def test_ablation_takes_out_what_the_sae_says_the_feature_wrote(bench: Workbench, tokens: torch.Tensor) -> None:
    """Everything else of the residual stream stays, the SAE's error included."""
    feature = 6
    residuals = bench.residuals(tokens)
    everything = bench.encode(residuals)
    activations = everything[..., feature]
    assert float(activations.max()) > 0
    without = everything.clone()
    without[..., feature] = 0
    change = bench.decode_activations(without) - bench.decode_activations(everything)
    effect = ablate_feature(bench, tokens, activations, bench.directions[feature])
    difference = (bench.logits(tokens, lambda residual: residual + change) - bench.logits(tokens))[activations > 0]
    expected = (difference - difference.mean(-1, keepdim=True)).mean(0)
    torch.testing.assert_close(effect.logits, expected, atol=1e-4, rtol=1e-3)


def test_feature_that_never_fires_cannot_be_ablated(bench: Workbench, tokens: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="active at none"):
        ablate_feature(bench, tokens, torch.zeros(2, 9), bench.directions[0])


def test_survival_of_nothing_promised_is_no_value() -> None:
    effect = AblationEffect(logits=torch.ones(4), promised=torch.tensor([0.0, 0.0, 2.0, -1.0]), n_positions=1)
    assert survival_ratio(effect, torch.tensor([0, 1])) is None
    assert survival_ratio(effect, torch.tensor([2])) == pytest.approx(0.5)
    assert survival_ratio(effect, torch.tensor([3])) == pytest.approx(-1.0)
