"""A promise of weights held against an intervention."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from tools.bench.readout import FinalNorm, LastStep, Readout
from tools.bench.workbench import Workbench
from tools.effects.causal import CausalEffect, Place, measure_effects
from tools.effects.promise import ratio
from tools.survey.projection import project


class ErasingBench(Workbench):
    """A bench whose only later layer adds `gain` times the component of the residual stream along one direction."""

    def __init__(self, direction: torch.Tensor, gain: float) -> None:  # no model behind it, so nothing to load
        generator = torch.Generator().manual_seed(0)
        W_U = torch.randn(len(direction), 50, generator=generator)
        self.W_U = W_U - W_U.mean(0, keepdim=True) - W_U.mean(1, keepdim=True) + W_U.mean()
        self.embedding = torch.randn(50, len(direction), generator=generator)
        self.readout = Readout(FinalNorm(torch.ones(len(direction)), True, 1e-5), LastStep(1.0, None))
        self.bridge = SimpleNamespace(cfg=SimpleNamespace(n_layers=1), hooks=lambda fwd_hooks: nullcontext())
        self.device, self.lock = torch.device("cpu"), threading.RLock()
        self.hook_name, self.layer = "blocks.0.hook_resid_pre", 0
        self.direction = direction
        self.gain = gain

    def final_residual(
        self,
        tokens: torch.Tensor,
        edit: Callable[[torch.Tensor], torch.Tensor] | None = None,
        below: torch.Tensor | None = None,
    ) -> torch.Tensor:
        assert below is None, "nothing lies below the first block"
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


def measure(bench: Workbench, tokens: torch.Tensor, activations: torch.Tensor, direction: torch.Tensor) -> CausalEffect:
    ((_, effect),) = measure_effects(bench, [Place(tokens, activations, direction)])
    return effect


def mean_change(
    bench: Workbench, tokens: torch.Tensor, change: torch.Tensor, places: list[tuple[int, int]]
) -> torch.Tensor:
    """Of the logits at some places when something is added, mean over the vocabulary out."""
    difference = bench.logits(tokens, lambda residual: residual + change) - bench.logits(tokens)
    picked = torch.stack([difference[place] for place in places])
    return (picked - picked.mean(-1, keepdim=True)).mean(0)


# Known answers


@pytest.mark.parametrize(("gain", "survival"), [(0.0, 1.0), (-0.5, 0.5), (-1.0, 0.0), (-2.0, -1.0)])
def test_survival_and_projection_tell_direct_from_erased_and_reversed(gain: float, survival: float) -> None:
    """A later layer that writes -1 times the direction: ratio 0, and it has written -1 of what was there."""
    direction = unit(64, 1)
    bench = ErasingBench(direction, gain)
    tokens = torch.arange(12).reshape(2, 6)
    effect = measure(bench, tokens, active_at((2, 6), [(0, 1), (0, 4), (1, 2)]), direction)
    promised = direction @ bench.W_U
    top = project(direction[None], bench.W_U, 5).top_ids[0]
    assert ratio(effect.ablated[top], -effect.scaled * promised[top]) == pytest.approx(survival, abs=0.03)
    assert ratio(effect.having[top], effect.scaled * promised[top]) == pytest.approx(survival, abs=0.03)
    assert effect.curve == pytest.approx((1 + gain,), abs=1e-3)
    assert effect.curve[-1] - 1 == pytest.approx(gain, abs=1e-3), "the share that the later layer has written"


def test_feature_after_the_last_layer_keeps_its_promise(last_bench: Workbench, tokens: torch.Tensor) -> None:
    direction = last_bench.directions[4]
    effect = measure(last_bench, tokens, active_at((2, 9), [(0, 3), (1, 7)], 0.05), direction)
    promised = -effect.scaled * (direction @ last_bench.W_U)
    top = project(direction[None], last_bench.W_U, 10).top_ids[0]
    assert ratio(effect.ablated[top], promised[top]) == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(effect.ablated, promised, atol=2e-3, rtol=0.1)
    torch.testing.assert_close(effect.having, -promised, atol=2e-3, rtol=0.1)
    assert effect.curve == (), "no block comes after it"


# What is measured


def test_only_active_positions_count(last_bench: Workbench, tokens: torch.Tensor) -> None:
    direction, places = last_bench.directions[4], [(0, 3), (1, 7), (1, 8)]
    effect = measure(last_bench, tokens, active_at((2, 9), places, 2.0), direction)
    assert (effect.n_positions, effect.activation) == (3, 2.0)
    torch.testing.assert_close(
        effect.ablated, mean_change(last_bench, tokens, -2 * direction, places), atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(
        effect.added, mean_change(last_bench, tokens, 2 * direction, places), atol=1e-4, rtol=1e-4
    )


def test_ablation_takes_out_what_the_sae_says_the_feature_wrote(bench: Workbench, tokens: torch.Tensor) -> None:
    """Everything else of the residual stream stays, the SAE's error included."""
    feature = 6
    everything = bench.encode(bench.residuals(tokens))
    activations = everything[..., feature]
    assert float(activations.max()) > 0
    without = everything.clone()
    without[..., feature] = 0
    change = bench.decode_activations(without) - bench.decode_activations(everything)
    effect = measure(bench, tokens, activations, bench.directions[feature])
    places = [(int(row), int(position)) for row, position in torch.nonzero(activations > 0)]
    torch.testing.assert_close(effect.ablated, mean_change(bench, tokens, change, places), atol=1e-4, rtol=1e-3)


def test_projection_curve_follows_the_difference_through_the_later_blocks(
    bench: Workbench, tokens: torch.Tensor
) -> None:
    direction, places = bench.directions[6], [(0, 2), (1, 5)]
    activations = active_at((2, 9), places, 1.5)
    change = -activations[..., None] * direction
    expected: list[float] = []
    for layer in range(bench.layer, 3):
        kept: list[torch.Tensor] = []
        hook = (f"blocks.{layer}.hook_resid_post", lambda residual, hook, kept=kept: kept.append(residual))
        with bench.bridge.hooks(fwd_hooks=[hook]):
            bench.logits(tokens)
            bench.logits(tokens, lambda residual: residual + change)
        difference = kept[1] - kept[0]
        found = sum(float(difference[place] @ change[place]) for place in places)
        expected.append(found / float(change.pow(2).sum()))
    effect = measure(bench, tokens, activations, direction)
    assert effect.curve == pytest.approx(expected, abs=1e-3)
    assert len(effect.curve) == 2, "one number a block: the hook's own and the last"


# Many at once


def test_directions_measured_together_are_measured_as_if_alone(bench: Workbench) -> None:
    generator = torch.Generator().manual_seed(5)
    tokens = torch.randint(1, 300, (4, 12), generator=generator)
    places = [
        Place(tokens[[0, 1]], active_at((2, 12), [(0, 3), (1, 11)], 1.0), bench.directions[3]),
        Place(tokens[[1, 0]], active_at((2, 12), [(0, 2)], 2.0), bench.directions[8]),
        Place(tokens[[2]], active_at((1, 12), [(0, 4), (0, 6)], 0.5), bench.directions[11]),
        Place(tokens[[0, 3]], active_at((2, 12), [(1, 1)], 3.0), bench.directions[3]),
    ]
    together = dict(measure_effects(bench, places))
    in_blocks = dict(measure_effects(bench, places, pass_bytes=1))
    assert sorted(together) == sorted(in_blocks) == [0, 1, 2, 3]
    for number, place in enumerate(places):
        alone = measure(bench, *place)
        for found in (together[number], in_blocks[number]):
            torch.testing.assert_close(found.ablated, alone.ablated, atol=1e-4, rtol=1e-3)
            torch.testing.assert_close(found.added, alone.added, atol=1e-4, rtol=1e-3)
            assert found.curve == pytest.approx(alone.curve, abs=1e-3)
            assert (found.n_positions, found.activation) == (alone.n_positions, alone.activation)


def test_text_after_the_last_active_position_is_not_looked_at(bench: Workbench, tokens: torch.Tensor) -> None:
    activations = active_at((2, 9), [(0, 3), (1, 4)], 1.0)
    other = tokens.clone()
    other[:, 5:] = 7
    one, two = (measure(bench, text, activations, bench.directions[6]) for text in (tokens, other))
    assert torch.equal(one.ablated, two.ablated)


def test_feature_that_never_fires_cannot_be_ablated(bench: Workbench, tokens: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="active at none"):
        measure(bench, tokens, torch.zeros(2, 9), bench.directions[0])
