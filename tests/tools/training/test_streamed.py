"""SAEs trained side by side on one stream: known dictionaries, killed trainings, sinks."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from tools.errors import StudyError
from tools.training.activation_stream import cut_before_block, measure_scale, read_block, split_batches
from tools.training.recipe import SaeRecipe
from tools.training.streamed import CURVE, Seed, rate_at, train_side_by_side
from tools.training.topk_dictionary import TopKDictionary, decode

D_IN, N_PLANTED, VOCABULARY, POSITIONS = 16, 24, 400, 9
RECIPE = SaeRecipe(
    hook_name="blocks.1.hook_resid_pre",
    corpora=[],
    heldout=[],
    trainer="stream",
    d_sae=32,
    k=3,
    lr=3e-3,
    training_tokens=20 * 32 * (POSITIONS - 1),
    context_size=POSITIONS,
    train_batch_size_tokens=64,
    store_batch_size_prompts=8,
    n_batches_in_buffer=4,
    lr_warm_up_steps=5,
    lr_decay_steps=20,
    dead_feature_window=10,
    checkpoint_minutes=1e-9,
)


@pytest.fixture(scope="module")
def planted() -> Tensor:
    """Activation of each token: three of 24 directions, at positive strengths, about a mean that is not zero."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(N_PLANTED, D_IN, generator=generator), dim=1)
    which = torch.stack([torch.randperm(N_PLANTED, generator=generator)[:3] for _ in range(VOCABULARY)])
    strengths = 1 + torch.rand(VOCABULARY, 3, generator=generator)
    return 5 * torch.einsum("tk,tkd->td", strengths, directions[which]) + torch.linspace(0, 4, D_IN)


@pytest.fixture(scope="module")
def forward(planted: Tensor) -> Callable[[Tensor], Tensor]:
    """A model whose residual stream is a look-up."""
    return lambda tokens: planted[tokens]


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    drawn = np.random.default_rng(0).integers(1, VOCABULARY, (20 * 32, POSITIONS))
    drawn[:, 0] = 0
    return drawn


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "sae_weights.safetensors")


def test_a_planted_dictionary_is_explained_on_raw_activations(
    forward: Callable[[Tensor], Tensor], rows: np.ndarray, planted: Tensor, tmp_path: Path
) -> None:
    from sae_lens import SAE

    longer = {"training_tokens": 4 * RECIPE.training_tokens, "checkpoint_minutes": 1.0}
    long = RECIPE.model_copy(update=longer)
    explained = train_side_by_side(forward, long, np.tile(rows, (4, 1)), [Seed(0, tmp_path / "sae")], tmp_path)
    sae = SAE.load_from_disk(tmp_path / "sae")
    assert (sae.cfg.metadata.hook_name, sae.cfg.k, sae.cfg.metadata.context_size) == (RECIPE.hook_name, 3, POSITIONS)
    text = planted[1:]
    with torch.no_grad():
        acts = sae.encode(text)
        left = (text - sae.decode(acts)).square().sum() / (text - text.mean(0)).square().sum()
        torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(32), atol=1e-4, rtol=0)
    assert float((acts > 0).sum(1).float().mean()) <= 3
    assert explained is not None
    assert 1 - float(left) == pytest.approx(explained[0], abs=0.03)
    assert explained[0] > 0.85


def test_a_stopped_training_goes_on_bit_for_bit(
    forward: Callable[[Tensor], Tensor], rows: np.ndarray, tmp_path: Path
) -> None:
    for name, stops in (("whole", ()), ("stopped", (7, 13))):
        seeds = [Seed(0, tmp_path / name / "sae"), Seed(5, tmp_path / name / "sae-1")]
        for stop in (*stops, None):
            torch.manual_seed(random.randrange(10**6))  # nothing may hang on the state that torch happens to be in
            train_side_by_side(forward, RECIPE, rows, seeds, tmp_path / name, stop_after=stop)
    for sae in ("sae", "sae-1"):
        first, second = weights(tmp_path / "whole" / sae), weights(tmp_path / "stopped" / sae)
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert train_side_by_side(forward, RECIPE, rows, seeds, tmp_path / "stopped") is None
    curves = [(tmp_path / name / CURVE).read_text("utf-8") for name in ("whole", "stopped")]
    assert curves[0] == curves[1]


def test_an_sae_is_the_same_alone_and_in_company(
    forward: Callable[[Tensor], Tensor], rows: np.ndarray, tmp_path: Path
) -> None:
    train_side_by_side(forward, RECIPE, rows, [Seed(5, tmp_path / "alone")], tmp_path / "a")
    train_side_by_side(forward, RECIPE, rows, [Seed(0, tmp_path / "x"), Seed(5, tmp_path / "both")], tmp_path / "b")
    first, second = weights(tmp_path / "alone"), weights(tmp_path / "both")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["W_enc"], weights(tmp_path / "x")["W_enc"])


def test_sinks_change_nothing(forward: Callable[[Tensor], Tensor], rows: np.ndarray, planted: Tensor) -> None:
    """A position with a norm of a thousand is as if it were not in the text: for the scale and for what is learnt."""
    massive = planted.clone()
    massive[7] *= 1000
    seen = read_block(lambda tokens: massive[tokens], rows[:64], float("inf"), 8)
    scale = measure_scale(seen.activations, RECIPE.sink_multiple)
    without = read_block(forward, np.where(rows[:64] == 7, 0, rows[:64]), float("inf"), 8)
    n_sinks = int((rows[:64, 1:] == 7).sum())
    assert 0 < n_sinks < 64
    kept = read_block(lambda tokens: massive[tokens], rows[:64], RECIPE.sink_multiple * scale.median, 8)
    assert kept.n_sinks == n_sinks
    assert len(kept.activations) == 64 * (POSITIONS - 1) - n_sinks
    true = without.activations[torch.from_numpy(rows[:64, 1:] != 7).flatten()]
    assert torch.equal(kept.activations, true)
    torch.testing.assert_close(scale.mean, true.mean(0))
    assert scale.factor == pytest.approx(D_IN**0.5 / float(true.norm(dim=1).mean()))


def test_the_first_position_is_never_seen(rows: np.ndarray, planted: Tensor) -> None:
    loud = planted.clone()
    loud[0] = 1e6
    assert float(read_block(lambda tokens: loud[tokens], rows[:16], float("inf"), 4).activations.max()) < 1e3


def test_dead_features_learn_what_the_others_leave() -> None:
    torch.manual_seed(0)
    batch = torch.randn(256, D_IN)
    scale = measure_scale(batch, 100.0)
    revived, left = (TopKDictionary(RECIPE.model_copy(update={"aux_coefficient": c}), scale, 0) for c in (1.0, 0.0))
    before = revived.W_dec.detach().clone()
    for dictionary in (revived, left):
        with torch.no_grad():
            dictionary.b_enc[:8] = -1.0  # seldom among the k highest
        dictionary.quiet[:8] = 10**6
        dictionary.step(batch, 1.0)
    moved = [float((d.W_dec[:8].detach() - before[:8]).norm()) for d in (revived, left)]
    assert moved[0] > moved[1]


def test_dead_features_are_counted_in_tokens() -> None:
    dictionary = TopKDictionary(RECIPE, measure_scale(torch.randn(50, D_IN), 9.0), 0)
    with torch.no_grad():
        dictionary.b_enc[3] = -1e3
    for _ in range(10):
        assert not bool(dictionary.dead[3])
        dictionary.step(torch.randn(64, D_IN), 0.0)
    assert bool(dictionary.dead[3])


def test_a_checkpoint_knows_nothing_of_settings_that_only_other_architectures_read(
    forward: Callable[[Tensor], Tensor], rows: np.ndarray, tmp_path: Path
) -> None:
    """Those came later than some checkpoints, which are gone on from all the same."""
    train_side_by_side(forward, RECIPE, rows, [Seed(0, tmp_path / "sae")], tmp_path, stop_after=1)
    with safe_open(tmp_path / "checkpoint.safetensors", framework="pt") as file:
        told = json.loads(file.metadata()["plan"])["recipe"]
    assert not {"l0_coefficient", "p_end", "p_changes", "anneal_start_share"} & set(told)
    assert told["k"] == RECIPE.k
    varied = RECIPE.model_copy(update={"l0_coefficient": 2.0})
    assert train_side_by_side(forward, varied, rows, [Seed(0, tmp_path / "sae")], tmp_path, stop_after=2)


def test_another_recipe_does_not_take_up_a_checkpoint(
    forward: Callable[[Tensor], Tensor], rows: np.ndarray, tmp_path: Path
) -> None:
    train_side_by_side(forward, RECIPE, rows, [Seed(0, tmp_path / "sae")], tmp_path, stop_after=2)
    kept = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(StudyError, match="belongs to another training"):
        train_side_by_side(forward, RECIPE.model_copy(update={"lr": 1e-5}), rows, [Seed(0, tmp_path / "sae")], tmp_path)
    with pytest.raises(StudyError, match="belongs to another training"):
        train_side_by_side(forward, RECIPE, rows, [Seed(1, tmp_path / "sae")], tmp_path)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == kept


@pytest.mark.parametrize("cut", [0, 20, 5000])
def test_a_damaged_checkpoint_is_told_in_a_line(
    forward: Callable[[Tensor], Tensor], rows: np.ndarray, tmp_path: Path, cut: int
) -> None:
    train_side_by_side(forward, RECIPE, rows, [Seed(0, tmp_path / "sae")], tmp_path, stop_after=1)
    file = tmp_path / "checkpoint.safetensors"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(StudyError, match="checkpoint"):
        train_side_by_side(forward, RECIPE, rows, [Seed(0, tmp_path / "sae")], tmp_path)


@pytest.mark.parametrize(
    "hook",
    ["blocks.0.hook_resid_pre", "blocks.3.hook_resid_pre", "blocks.1.hook_mlp_out", "blocks.x.hook_resid_pre", ""],
)
def test_only_places_before_a_later_block_are_streamed_from(hook: str) -> None:
    bridge = SimpleNamespace(cfg=SimpleNamespace(n_layers=3, n_ctx=64))
    with pytest.raises(StudyError, match=r"from 1 to 2"):
        cut_before_block(bridge, RECIPE.model_copy(update={"hook_name": hook}))


@given(st.integers(1, 3000), st.integers(1, 500), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_batches_hold_every_token_once(n_tokens: int, size: int, seed: int) -> None:
    batches = list(split_batches(n_tokens, size, (seed, 1)))
    assert sorted(torch.cat(batches).tolist()) == list(range(n_tokens))
    assert max(map(len, batches)) - min(map(len, batches)) <= 1
    assert len(batches) == max(1, round(n_tokens / size))


@given(st.integers(1, 400), st.integers(0, 50), st.integers(0, 300))
def test_the_rate_rises_holds_and_falls(steps: int, warm: int, decay: int) -> None:
    recipe = RECIPE.model_copy(update={"lr_warm_up_steps": warm, "lr_decay_steps": decay})
    rates = [rate_at(step, steps, recipe) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_the_sparse_decoder_is_the_dense_one() -> None:
    torch.manual_seed(0)
    rows, acts = torch.randn(12, 5), torch.relu(torch.randn(7, 12))
    values, chosen = acts.topk(4, dim=1)
    dense = torch.zeros_like(acts).scatter(1, chosen, values) @ rows
    torch.testing.assert_close(decode(values, chosen, rows), dense)
