"""p-annealing: its penalty by hand, the moment of a change, and a training that finds what was planted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

pytest.importorskip("sae_lens")
from sae_lens import SAE, SAETrainer, TrainingSAE, TrainingSAEConfig  # noqa: E402
from sae_lens.config import LoggingConfig, SAETrainerConfig  # noqa: E402
from sae_lens.registry import SAE_TRAINING_CLASS_REGISTRY  # noqa: E402
from sae_lens.saes.sae import TrainStepInput  # noqa: E402

from tools.training.p_annealing import (  # noqa: E402
    CHORD_BELOW,
    PAnnealingTrainingSAE,
    PAnnealingTrainingSAEConfig,
    register,
    sum_powers,
)

D_IN, D_SAE = 16, 24


def make(**settings: object) -> PAnnealingTrainingSAE:
    torch.manual_seed(0)
    given = {"d_in": D_IN, "d_sae": D_SAE, "l1_coefficient": 0.3, "anneal_start": 4, "anneal_end": 24} | settings
    return PAnnealingTrainingSAE(PAnnealingTrainingSAEConfig(**given))  # type: ignore[arg-type]


def feed(sae: PAnnealingTrainingSAE, batch: Tensor, step: int) -> tuple[float, float]:
    """Penalty and whole loss of a training step."""
    out = sae.training_forward_pass(TrainStepInput(batch, {"l1": sae.cfg.l1_coefficient}, None, step, False))
    return float(out.losses["lp_loss"].detach()), float(out.loss.detach())


# The penalty


@pytest.mark.parametrize(("p", "total"), [(1.0, 5.0), (0.5, 3.0)])
def test_the_penalty_is_the_sum_of_powers(p: float, total: float) -> None:
    assert sum_powers(torch.tensor([[4.0, 1.0, 0.0]]), p).tolist() == pytest.approx([total])


@pytest.mark.parametrize("p", [1.0, 0.5, 0.2])
def test_gradients_of_features_that_are_off_are_zero_and_all_others_finite(p: float) -> None:
    features = torch.tensor([[4.0, 1.0, 0.0, -2.0, 1e-38]], requires_grad=True)
    sum_powers(features, p).sum().backward()
    assert features.grad is not None
    assert features.grad[0, 2:4].tolist() == [0, 0]
    assert features.grad.isfinite().all()
    assert features.grad[0, 0] == pytest.approx(p * 4 ** (p - 1))
    assert features.grad[0, 4] == pytest.approx(CHORD_BELOW ** (p - 1))


@given(st.floats(0, 0.1), st.floats(0, 0.1), st.floats(0.05, 1))
def test_a_stronger_activation_is_never_charged_less(one: float, other: float, p: float) -> None:
    low, high = sum_powers(torch.tensor([[min(one, other)], [max(one, other)]], dtype=torch.float64), p)
    assert low <= high * (1 + 1e-12)


# When p changes


def test_p_stays_until_annealing_starts_and_arrives_one_interval_before_its_end() -> None:
    config = make(n_changes=4).cfg
    powers = [config.p_after(config.changes_by(step)) for step in range(40)]
    assert powers[:4] == [1.0] * 4
    assert powers[4:24:5] == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert powers[19:] == pytest.approx([0.2] * 21)
    assert len(set(powers)) == 5


def test_lambda_is_multiplied_by_the_ratio_of_the_penalties() -> None:
    sae = make(p_end=0.5, n_changes=1)
    sae._follow(3, torch.tensor([[4.0, 1.0, 0.0]]))
    assert (int(sae.changes), float(sae.factor)) == (0, 1.0)
    sae._follow(4, torch.tensor([[4.0, 1.0, 0.0]]))
    assert (int(sae.changes), float(sae.factor)) == (1, pytest.approx(5 / 3))


def test_the_loss_is_what_it_was_at_the_moment_of_a_change() -> None:
    sae, batch = make(n_changes=2), torch.randn(16, D_IN)
    before, after = feed(sae, batch, 3), feed(sae, batch, 4)
    assert (int(sae.changes), sae.cfg.p_after(1)) == (1, pytest.approx(0.6))
    assert after == pytest.approx(before, rel=1e-6)
    assert float(sae.factor) != pytest.approx(1, abs=0.01)


def test_over_the_queued_batches_the_mean_penalty_is_what_it_was() -> None:
    sae, batches = make(queue_batches=3, n_changes=2), torch.rand(5, 8, D_SAE) * torch.arange(1, 6)[:, None, None]
    for step, batch in enumerate(batches):
        sae._follow(step, batch)
    last = batches[-3:].flatten(0, 1)  # earlier ones have left the queue
    now, then = (sum_powers(last, p).mean() for p in (1.0, 0.6))
    assert float(sae.factor) == pytest.approx(float(now / then), rel=1e-6)


def test_where_nothing_is_active_lambda_stays() -> None:
    sae = make(n_changes=1)
    sae._follow(4, torch.zeros(3, D_SAE))
    assert (int(sae.changes), float(sae.factor)) == (1, 1.0)


@pytest.mark.parametrize(
    "wrong",
    [{"p_end": 0.0}, {"p_start": 0.1}, {"n_changes": 0}, {"anneal_end": 8}, {"lp_norm": 2.0}, {"anneal_start": -1}],
)
def test_settings_that_anneal_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="p_end|n_changes|changes of p|lp_norm"):
        make(**wrong)


# Training


@pytest.fixture(scope="module")
def planted() -> Tensor:
    """Directions that the activations are sums of."""
    generator = torch.Generator().manual_seed(3)
    return torch.nn.functional.normalize(torch.randn(16, D_IN, generator=generator), dim=1)


def train(sae: PAnnealingTrainingSAE, planted: Tensor, steps: int) -> None:
    generator = torch.Generator().manual_seed(1)

    def draw() -> Tensor:
        on = torch.rand(256, len(planted), generator=generator) < 0.08
        return (on * (2 + torch.rand(on.shape, generator=generator))) @ planted

    config = SAETrainerConfig(
        total_training_samples=256 * steps,
        device="cpu",
        autocast=False,
        lr=5e-3,
        lr_end=5e-4,
        lr_scheduler_name="constant",
        lr_warm_up_steps=20,
        adam_beta1=0.9,
        adam_beta2=0.999,
        lr_decay_steps=steps // 4,
        n_restart_cycles=1,
        train_batch_size_samples=256,
        dead_feature_window=100,
        feature_sampling_window=1000,
        logger=LoggingConfig(log_to_wandb=False),
        n_batches_for_norm_estimate=1,
        n_checkpoints=0,
        checkpoint_path=None,
        save_final_checkpoint=False,
    )
    SAETrainer(config, sae, iter(draw, None)).fit()


def test_planted_directions_are_found_and_saved_as_an_ordinary_standard_sae(planted: Tensor, tmp_path: Path) -> None:
    sae = make(l1_coefficient=0.2, anneal_start=300, anneal_end=1000)
    train(sae, planted, 1000)
    assert int(sae.changes) == sae.cfg.n_changes
    sae.fold_activation_norm_scaling_factor(0.5)  # as after a training on scaled activations
    sae.save_inference_model(tmp_path)
    saved = SAE.load_from_disk(tmp_path)
    assert saved.cfg.architecture() == "standard"
    assert set(load_file(tmp_path / "sae_weights.safetensors")) == {"W_enc", "b_enc", "W_dec", "b_dec"}
    torch.testing.assert_close(saved.W_dec.norm(dim=1), torch.ones(D_SAE))
    text = 2 * planted * 3
    with torch.no_grad():
        torch.testing.assert_close(saved(text), sae(text), atol=1e-4, rtol=1e-4)
        found = (planted @ saved.W_dec.T).max(dim=1).values
        error = (saved(text) - text).square().sum() / text.square().sum()
    assert (found > 0.9).float().mean() > 0.9
    assert float(error) < 0.1


def test_a_checkpoint_keeps_what_the_annealing_has_come_to(tmp_path: Path) -> None:
    register()
    sae, batch = make(), torch.randn(8, D_IN)
    for step in range(9):
        feed(sae, batch, step)
    sae.save_model(tmp_path)
    config = TrainingSAEConfig.from_dict(sae.cfg.to_dict())
    again = TrainingSAE.from_dict(config.to_dict())
    again.load_weights_from_checkpoint(tmp_path)
    assert isinstance(again, PAnnealingTrainingSAE)
    assert feed(again, batch, 9) == feed(sae, batch, 9)
    assert int(again.changes) > 1


def test_decoder_rows_stay_of_unit_length_and_their_gradient_does_not_lengthen_them() -> None:
    sae, batch = make(), torch.randn(8, D_IN)
    with torch.no_grad():
        sae.W_dec *= 3
    out = sae.training_forward_pass(TrainStepInput(batch, {"l1": 0.1}, None, 0, False))
    out.loss.backward()
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(D_SAE))
    assert sae.W_dec.grad is not None and sae.W_dec.grad.abs().max() > 1e-3
    assert float((sae.W_dec.grad * sae.W_dec.detach()).sum(1).abs().max()) < 1e-5


def test_registering_twice_does_no_harm() -> None:
    register()
    register()
    assert SAE_TRAINING_CLASS_REGISTRY["p-annealing"] == (PAnnealingTrainingSAE, PAnnealingTrainingSAEConfig)
