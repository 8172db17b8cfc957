"""Activations and reconstructions are those of SAELens, in residual units, and a part of them is a part of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tools.architectures import AUTOENCODERS, D_MODEL, D_SAE, load_reference, save_sae
from tools.bench.autoencoder import Autoencoder, _column_encoders

SOME = torch.tensor([41, 0, 7, 7, 30])
NORMALISED = [
    *((name, kind) for name in AUTOENCODERS for kind in ("none", "layer_norm", "constant_norm_rescale")),
    ("temporal", "constant_scalar_rescale"),
]


@pytest.fixture(scope="module")
def residuals() -> torch.Tensor:
    """Rows of different lengths and means, as a residual stream has them; [rows, positions, d_model]."""
    generator = torch.Generator().manual_seed(2)
    drawn = torch.randn(4, 9, D_MODEL, generator=generator)
    return drawn * (1 + 9 * torch.rand(4, 9, 1, generator=generator)) + 0.5


def settings(kind: str) -> dict[str, Any]:
    scale = {"activation_normalization_factor": 0.3} if kind == "constant_scalar_rescale" else {}
    return {"normalize_activations": kind, **scale}


def load(folder: Path) -> Autoencoder:
    return Autoencoder(load_reference(folder))


@pytest.mark.parametrize(("architecture", "kind"), NORMALISED)
def test_reconstruction_is_that_of_the_library(
    architecture: str, kind: str, tmp_path: Path, residuals: torch.Tensor
) -> None:
    folder = save_sae(architecture, tmp_path, **settings(kind))
    theirs, ours = load_reference(folder), load(folder)
    activations = ours.encode(residuals)
    other = ours.encode(residuals[:2] * 3)  # nothing is kept from the last call
    with torch.no_grad():
        coded = theirs.encode(residuals)
        expected = theirs.decode(coded)
        assert torch.equal(activations != 0, coded != 0)
    assert 0 < float((activations != 0).float().mean()) < 0.7, "sparse, but not silent"
    for _ in range(2):
        torch.testing.assert_close(ours.decode(activations, residuals), expected, atol=1e-4, rtol=1e-4)
    assert other.shape == (2, 9, D_SAE)


@pytest.mark.parametrize(("architecture", "kind"), NORMALISED)
def test_activation_times_direction_is_what_one_feature_writes(
    architecture: str, kind: str, tmp_path: Path, residuals: torch.Tensor
) -> None:
    ours = load(save_sae(architecture, tmp_path, **settings(kind)))
    activations = ours.encode(residuals)
    feature = int((activations != 0).sum(dim=(0, 1)).argmax())
    without = activations.clone()
    without[..., feature] = 0
    written = ours.decode(activations, residuals) - ours.decode(without, residuals)
    torch.testing.assert_close(written, activations[..., [feature]] * ours.directions[feature], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.directions.norm(dim=1), torch.ones(D_SAE))


@pytest.mark.parametrize(("architecture", "kind"), NORMALISED)
def test_encoding_some_features_is_a_part_of_encoding_all(
    architecture: str, kind: str, tmp_path: Path, residuals: torch.Tensor
) -> None:
    ours = load(save_sae(architecture, tmp_path, **settings(kind)))
    everything = ours.encode(residuals)
    some = ours.encode(residuals, SOME)
    assert torch.equal(some != 0, everything[..., SOME] != 0)
    torch.testing.assert_close(some, everything[..., SOME], atol=1e-6, rtol=1e-5)


def test_only_independent_features_are_encoded_alone(tmp_path: Path) -> None:
    alone = {name for name in AUTOENCODERS if type(load(save_sae(name, tmp_path / name)).sae) in _column_encoders()}
    assert alone == {"standard", "gated", "jumprelu", "batchtopk", "matryoshka_batchtopk"}


def test_features_that_are_encoded_alone_cost_no_others(tmp_path: Path, residuals: torch.Tensor) -> None:
    ours = load(save_sae("jumprelu", tmp_path))
    expected = ours.encode(residuals)[..., SOME]
    with torch.no_grad():
        rest = [i for i in range(D_SAE) if i not in SOME.tolist()]
        ours.sae.W_enc[:, rest] = torch.nan
    torch.testing.assert_close(ours.encode(residuals, SOME), expected)


def test_subclass_of_an_independent_architecture_is_encoded_in_full(tmp_path: Path, residuals: torch.Tensor) -> None:
    """It may have an encoder of its own, which only a full encoding runs."""
    ours = load(save_sae("standard", tmp_path))

    class Doubled(type(ours.sae)):
        def encode(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().encode(x)

    expected = 2 * ours.encode(residuals)[..., SOME]
    ours.sae.__class__ = Doubled
    torch.testing.assert_close(ours.encode(residuals, SOME), expected)


def test_shape_of_the_batch_is_kept(tmp_path: Path, residuals: torch.Tensor) -> None:
    ours = load(save_sae("topk", tmp_path))
    assert ours.encode(residuals[0, 0]).shape == (D_SAE,)
    assert ours.encode(residuals[0], SOME).shape == (9, len(SOME))
    torch.testing.assert_close(ours.encode(residuals)[1, 2], ours.encode(residuals[1, 2]))


def test_temporal_features_read_the_positions_before_them(tmp_path: Path, residuals: torch.Tensor) -> None:
    ours = load(save_sae("temporal", tmp_path))
    whole = ours.encode(residuals)
    torch.testing.assert_close(ours.encode(residuals[:, :5]), whole[:, :5], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.encode(residuals[2]), whole[2], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(ours.encode(residuals[:, 5:]), whole[:, 5:], atol=1e-3)


@pytest.mark.parametrize("kind", ["layer_norm", "constant_norm_rescale"])
def test_reconstruction_under_normalisation_needs_the_input(kind: str, tmp_path: Path, residuals: torch.Tensor) -> None:
    ours = load(save_sae("standard", tmp_path, normalize_activations=kind))
    with pytest.raises(ValueError, match=f"reads its input through {kind}"):
        ours.decode(ours.encode(residuals))


@pytest.mark.parametrize("kind", ["layer_norm", "constant_norm_rescale"])
def test_normalised_sae_ignores_the_length_of_its_input(kind: str, tmp_path: Path, residuals: torch.Tensor) -> None:
    """So that what it writes, and with it an activation in residual units, is as long as its input."""
    ours = load(save_sae("standard", tmp_path, normalize_activations=kind))
    torch.testing.assert_close(ours.encode(7 * residuals), 7 * ours.encode(residuals), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", AUTOENCODERS)
def test_features_whose_decoder_row_is_0_write_nothing_and_spoil_nothing(
    kind: str, tmp_path: Path, residuals: torch.Tensor
) -> None:
    ours, whole = load(save_sae(kind, tmp_path / "a")), load(save_sae(kind, tmp_path / "b"))
    with torch.no_grad():
        ours.sae.W_dec[[0, 5]] = 0
    ours = Autoencoder(ours.sae)
    assert ours.empty.nonzero()[:, 0].tolist() == [0, 5] and not whole.empty.any()
    lengths = ours.directions.norm(dim=1)
    assert torch.equal(lengths == 0, ours.empty)
    torch.testing.assert_close(lengths[~ours.empty], torch.ones(len(lengths) - 2))
    found = ours.encode(residuals)
    assert found.isfinite().all() and not found[..., [0, 5]].any()
    made = ours.decode(found, residuals)
    assert made.isfinite().all()
    if kind != "temporal":  # which adds what earlier positions foretell
        torch.testing.assert_close(made, found @ ours.directions + ours.sae.b_dec, atol=1e-4, rtol=1e-4)


WITHOUT = ("matching_pursuit", "temporal")
READ = [(name, kind) for name, kind in NORMALISED if name not in WITHOUT]


@pytest.mark.parametrize(("architecture", "kind"), READ)
def test_activations_are_preactivations_where_the_feature_is_active(
    architecture: str, kind: str, tmp_path: Path, residuals: torch.Tensor
) -> None:
    ours = load(save_sae(architecture, tmp_path, **settings(kind)))
    before, after = ours.preactivations(residuals), ours.encode(residuals)
    active = after != 0
    torch.testing.assert_close(before[active], after[active], atol=1e-4, rtol=1e-4)
    if architecture == "standard":
        assert torch.equal(before > 0, active)


@pytest.mark.parametrize(("architecture", "kind"), [(n, k) for n, k in READ if n in ("topk", "abstopk")])
@pytest.mark.parametrize("rescale", [True, False])
def test_top_k_of_the_preactivations_is_what_a_top_k_sae_encodes(
    architecture: str, kind: str, rescale: bool, tmp_path: Path, residuals: torch.Tensor
) -> None:
    """By the SAE's own units: where activations carry no decoder norms, residual units would rank features otherwise."""
    ours = load(save_sae(architecture, tmp_path, rescale_acts_by_decoder_norm=rescale, **settings(kind)))
    assert ours.k == 6 and ours.signed == (architecture == "abstopk")
    rows = residuals.flatten(0, 1)
    own = ours.read_preactivations(rows).own
    chosen = (own.abs() if ours.signed else own).topk(ours.k).indices
    kept = torch.zeros_like(own).scatter(1, chosen, ours.preactivations(rows).gather(1, chosen))
    torch.testing.assert_close(kept if ours.signed else kept.relu(), ours.encode(rows), atol=1e-4, rtol=1e-4)


def test_a_shut_gate_is_a_negative_preactivation(tmp_path: Path, residuals: torch.Tensor) -> None:
    ours = load(save_sae("gated", tmp_path))
    with torch.no_grad():
        ours.sae.b_mag.fill_(50)  # every magnitude is positive
    shut = ours.encode(residuals) == 0
    assert 0.05 < float(shut.float().mean()) < 0.95
    assert torch.equal(ours.preactivations(residuals) <= 0, shut)


@pytest.mark.parametrize("architecture", AUTOENCODERS)
def test_architectures_without_one_number_a_feature_have_no_preactivations(
    architecture: str, tmp_path: Path, residuals: torch.Tensor
) -> None:
    ours = load(save_sae(architecture, tmp_path))
    assert ours.has_preactivations == (architecture not in WITHOUT)
    if architecture in WITHOUT:
        with pytest.raises(TypeError, match="SAE has no pre-activations"):
            ours.preactivations(residuals)


@pytest.mark.parametrize(("architecture", "kind"), READ)
def test_what_some_features_write_and_the_bias_are_the_reconstruction(
    architecture: str, kind: str, tmp_path: Path, residuals: torch.Tensor
) -> None:
    ours = load(save_sae(architecture, tmp_path, **settings(kind)))
    rows = residuals.flatten(0, 1)
    activations = ours.encode(rows)
    everything = torch.arange(D_SAE).expand(len(rows), -1)
    made = ours.write_some(everything, activations) + ours.bias(rows)
    torch.testing.assert_close(made, ours.decode(activations, rows), atol=1e-4, rtol=1e-4)
