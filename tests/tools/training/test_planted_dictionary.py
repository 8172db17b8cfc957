"""Planted directions in SAEs of every architecture that can take them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tools.bench.autoencoder import Autoencoder
from tools.errors import StudyError
from tools.training.planted_dictionary import append_planted
from tools.truth.planted import Planted, plant

D_IN, D_SAE, N = 12, 30, 400


@pytest.fixture(scope="module")
def residuals() -> Tensor:
    return torch.randn(N, D_IN, generator=torch.Generator().manual_seed(0)) + 3


@pytest.fixture(scope="module")
def planted(residuals: Tensor) -> Planted:
    rng = np.random.default_rng(0)
    concepts = {"one": residuals.numpy()[:, 0] > 4, "other": rng.random(N) < 0.2}
    return plant(residuals.numpy(), concepts, np.arange(N) // 40)


def save(folder: Path, architecture: str, **settings: Any) -> Any:
    from sae_lens import SAE

    torch.manual_seed(1)
    sae: Any = SAE.from_dict({"architecture": architecture, "d_in": D_IN, "d_sae": D_SAE} | settings)
    sae.load_state_dict({name: torch.randn_like(value) * 0.5 for name, value in sae.state_dict().items()})
    sae.cfg.metadata.hook_name = "blocks.2.hook_resid_pre"
    sae.save_model(str(folder))
    return sae


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("architecture", ["standard", "gated", "jumprelu"])
def test_features_stay_as_they_are_and_planted_ones_follow(
    tmp_path: Path, residuals: Tensor, planted: Planted, architecture: str, centred: bool
) -> None:
    from sae_lens import SAE

    before = save(tmp_path / "sae", architecture, apply_b_dec_to_input=centred)
    assert append_planted(tmp_path / "sae", planted, residuals, tmp_path / "out") == D_SAE
    after = SAE.load_from_disk(tmp_path / "out")
    assert (after.cfg.architecture(), after.cfg.metadata.hook_name) == (architecture, "blocks.2.hook_resid_pre")
    with torch.no_grad():
        found = after.encode(residuals)
        torch.testing.assert_close(found[:, :D_SAE], before.encode(residuals))
    expected = torch.from_numpy(planted.activations(residuals.double().numpy())).float()
    torch.testing.assert_close(found[:, D_SAE:], expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after.W_dec[D_SAE:].detach(), torch.from_numpy(planted.directions).float())
    read = Autoencoder(after).encode(residuals, torch.arange(D_SAE, D_SAE + 6))
    torch.testing.assert_close(read, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("carried", [False, True])
def test_features_of_a_topk_sae_fire_as_often_as_in_competition(
    tmp_path: Path, residuals: Tensor, planted: Planted, carried: bool
) -> None:
    from sae_lens import SAE

    before = save(tmp_path / "sae", "topk", k=5, rescale_acts_by_decoder_norm=carried, apply_b_dec_to_input=True)
    with torch.no_grad():
        competed = before.encode(residuals)
    append_planted(tmp_path / "sae", planted, residuals, tmp_path / "out")
    after = SAE.load_from_disk(tmp_path / "out")
    with torch.no_grad():
        found = after.encode(residuals)
    assert after.cfg.architecture() == "jumprelu"
    assert ((found[:, :D_SAE] > 0).sum(0) == (competed > 0).sum(0)).all()
    both = (found[:, :D_SAE] > 0) & (competed > 0)
    assert both.sum() > 0.6 * (competed > 0).sum()
    torch.testing.assert_close(found[:, :D_SAE][both], competed[both], atol=1e-4, rtol=1e-4)


def test_densities_of_planted_features_are_added_to_the_file_of_them(
    tmp_path: Path, residuals: Tensor, planted: Planted
) -> None:
    save(tmp_path / "sae", "standard")
    save_file({"sparsity": torch.full((D_SAE,), -3.0)}, tmp_path / "sae" / "sparsity.safetensors")
    append_planted(tmp_path / "sae", planted, residuals, tmp_path / "out")
    found = load_file(tmp_path / "out" / "sparsity.safetensors")["sparsity"]
    assert found[:D_SAE].tolist() == [-3.0] * D_SAE
    fired = (planted.activations(residuals.double().numpy()) > 0).mean(axis=0)
    assert found[D_SAE:].tolist() == pytest.approx(np.log10(fired).tolist())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"architecture": "matching_pursuit"}, "features of a matching_pursuit SAE are not read each alone"),
        ({"architecture": "standard", "normalize_activations": "layer_norm"}, "reads its input through layer_norm"),
        ({"architecture": "standard", "d_in": D_IN + 1}, "directions of 12 dimensions cannot be planted in"),
    ],
)
def test_an_sae_that_cannot_take_them_is_refused(
    tmp_path: Path, residuals: Tensor, planted: Planted, settings: dict[str, Any], said: str
) -> None:
    save(tmp_path / "sae", **settings)
    with pytest.raises(StudyError, match=said):
        append_planted(tmp_path / "sae", planted, residuals, tmp_path / "out")
    assert not (tmp_path / "out").exists()
