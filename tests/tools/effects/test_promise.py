"""Whether the tokens that a projection names are those that the feature moves, planted three ways."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from tools.bench.workbench import Workbench
from tools.effects.causal import CausalEffect, Place, measure_effects
from tools.effects.promise import (
    FrequencyOrder,
    describe_effect,
    judge_effect,
    matched_auroc,
    order_by_frequency,
    ratio,
)
from tools.records import CausalEvidence, CausalVerdict
from tools.study.definition import Arm
from tools.survey.projection import project

LAST = 2
"""The tiny model's last block."""


@contextmanager
def planted(bench: Workbench, direction: torch.Tensor, gain: float) -> Iterator[None]:
    """The last block does nothing but add `gain` times the residual stream's component along a direction.

    Its attention is silent. Two neurons of its MLP read plus and minus the component, and gelu(x) - gelu(-x) = x.
    """
    named = dict(bench.bridge.original_model.named_parameters())
    block = {
        name.replace("._original_component", "").split(f"h.{LAST}.")[1]: p
        for name, p in named.items()
        if f"h.{LAST}." in name
    }
    kept = {name: parameter.detach().clone() for name, parameter in block.items()}
    with torch.no_grad():
        for name in ("attn.o.weight", "attn.o.bias", "ln_2.bias", *(n for n in block if n.startswith("mlp."))):
            block[name].zero_()
        block["ln_2.weight"].fill_(1.0)
        block["mlp.c_fc.weight"][:, 0], block["mlp.c_fc.weight"][:, 1] = direction, -direction
        block["mlp.c_proj.weight"][0], block["mlp.c_proj.weight"][1] = gain * direction, -gain * direction
    try:
        yield
    finally:
        with torch.no_grad():
            for name, parameter in block.items():
                parameter.copy_(kept[name])


@pytest.fixture(scope="module")
def before_last(bench: Workbench) -> Workbench:
    """The tiny model read and written before its last block."""
    hook = f"blocks.{LAST}.hook_resid_pre"
    other = Workbench.__new__(Workbench)
    other.__dict__.update(bench.__dict__)
    other.hook_name, other.layer, other.arm = hook, LAST, Arm(model="-", sae="-", hook_name=hook)
    return other


def planted_evidence(bench: Workbench, tokens: torch.Tensor, share: float) -> CausalEvidence:
    """Evidence on a direction of which the last block writes `share` again."""
    drawn = torch.randn(32, generator=torch.Generator().manual_seed(4))
    direction = torch.nn.functional.normalize(drawn - drawn.mean(), dim=0)
    activations = torch.zeros(tokens.shape)
    activations[0, 3] = activations[0, 7] = activations[1, 5] = 0.3
    residual = bench.residuals(tokens)[activations > 0]
    spread = float(1 / (1 / residual.std(dim=-1, correction=0)).mean())  # what the block's own norm divides by
    order = order_by_frequency(tokens.numpy(), np.ones(tokens.shape, dtype=bool), bench.W_U.shape[1], 0)
    ids = project(direction[None], bench.W_U, 10).top_ids[0].numpy()
    with planted(bench, direction, share * spread):
        ((_, effect),) = measure_effects(bench, [Place(tokens, activations, direction)])
        return describe_effect(bench, effect, direction, bench.W_U, "direct", ids, order)


# The planted model


@pytest.mark.parametrize(
    ("share", "verdict"), [(0.0, "confirmed"), (-1.0, "projection only"), (-2.0, "reversed"), (0.5, "confirmed")]
)
def test_planted_block_is_found_out(
    before_last: Workbench, tokens: torch.Tensor, share: float, verdict: CausalVerdict
) -> None:
    """Untouched, erased, reversed, amplified: the projection is as large each time, the effect is not."""
    found = planted_evidence(before_last, tokens, share)
    assert found.verdict == verdict
    assert found.survival_ratio == pytest.approx(1 + share, abs=0.2)
    assert found.promise_ratio == pytest.approx(1 + share, abs=0.2)
    assert found.projection_curve == pytest.approx((1 + share,), abs=0.15)
    assert found.n_contexts == 3


def test_untouched_feature_raises_its_tokens_and_its_absence_lowers_them(
    before_last: Workbench, tokens: torch.Tensor
) -> None:
    found = planted_evidence(before_last, tokens, 0.0)
    assert found.addition_effect is not None and found.auroc is not None
    assert found.ablation_effect < -0.01 < 0.01 < found.addition_effect
    assert found.auroc > 0.95
    assert len(found.raised) == len(found.lowered) == 10
    assert found.raised[0].change > 0 > found.lowered[0].change
    reversed_ = planted_evidence(before_last, tokens, -2.0)
    assert reversed_.auroc is not None and reversed_.auroc < 0.05


def test_planting_leaves_the_model_as_it_was(before_last: Workbench, tokens: torch.Tensor) -> None:
    clean = before_last.logits(tokens)
    planted_evidence(before_last, tokens, -1.0)
    assert torch.equal(before_last.logits(tokens), clean)


# Promise


def effect_of(logits: torch.Tensor, activation: float = 2.0, scaled: float = 0.5) -> CausalEffect:
    return CausalEffect(-logits, logits, activation, scaled, (), 1)


def test_each_lens_promises_in_its_own_units(bench: Workbench) -> None:
    """The unembedding promises before the final norm, a mean effect behind it."""
    direction, ids = bench.directions[3], np.array([5, 9, 11])
    order = FrequencyOrder(np.arange(bench.W_U.shape[1]), np.arange(bench.W_U.shape[1]))
    lens = 3 * bench.W_U
    read = direction @ bench.W_U
    direct = describe_effect(bench, effect_of(0.5 * read), direction, bench.W_U, "direct", ids, order)
    assert (direct.survival_ratio, direct.promise_ratio) == pytest.approx((1, 1), rel=1e-4)
    behind = describe_effect(bench, effect_of(6 * read), direction, lens, "effect", ids, order)
    assert (behind.survival_ratio, behind.promise_ratio) == pytest.approx((12, 1), rel=1e-4)


def test_ratio_of_nothing_promised_is_no_value() -> None:
    found, promised = torch.ones(4), torch.tensor([0.0, 0.0, 2.0, -1.0])
    assert ratio(found[:2], promised[:2]) is None
    assert ratio(found[2:3], promised[2:3]) == pytest.approx(0.5)
    assert ratio(found[3:], promised[3:]) == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("auroc", "promise", "verdict"),
    [
        (0.9, 0.8, "confirmed"),
        (0.7, 0.1, "confirmed"),
        (0.9, 0.05, "projection only"),
        (0.69, 0.8, "projection only"),
        (0.5, 0.0, "projection only"),
        (0.9, -0.8, "projection only"),
        (0.1, -0.8, "reversed"),
        (0.3, -0.1, "reversed"),
        (0.1, -0.05, "projection only"),
        (None, 0.8, None),
        (0.9, None, None),
    ],
)
def test_verdict_needs_order_and_size(
    auroc: float | None, promise: float | None, verdict: CausalVerdict | None
) -> None:
    assert judge_effect(auroc, promise) == verdict


# Frequency


def test_vocabulary_is_ordered_by_frequency_and_ties_by_the_seed() -> None:
    tokens = np.array([[3, 3, 3, 1], [1, 2, 9, 9]])
    real = np.array([[True] * 4, [True, True, False, False]])
    order = order_by_frequency(tokens, real, 10, 0)
    assert order.tokens[-3:].tolist() == [2, 1, 3]
    assert order.tokens[order.places].tolist() == list(range(10))
    assert sorted(order.tokens[:7].tolist()) == [0, 4, 5, 6, 7, 8, 9], "what is not real does not count"
    assert order.tokens.tolist() != order_by_frequency(tokens, real, 10, 1).tokens.tolist()


def test_tokens_are_compared_with_others_as_frequent() -> None:
    """Rare tokens all move up; a rare token that moves no more than they do is no mover."""
    order = FrequencyOrder(np.arange(300), np.arange(300))
    effect = np.where(np.arange(300) < 150, 1.0, 0.0)
    assert matched_auroc(effect, np.array([40, 60]), order) == pytest.approx(0.5)
    effect[[40, 60]] = 2.0
    assert matched_auroc(effect, np.array([40, 60]), order) == 1.0
    effect[[40, 60]] = 0.5
    assert matched_auroc(effect, np.array([40, 60]), order) == 0.0, "although it moves more than most tokens"
    assert matched_auroc(effect, np.array([299]), order) == pytest.approx(0.5), "at the end too"


def test_nothing_to_compare_with_is_no_value() -> None:
    order = FrequencyOrder(np.arange(3), np.arange(3))
    assert matched_auroc(np.arange(3.0), np.array([0, 1, 2]), order) is None
