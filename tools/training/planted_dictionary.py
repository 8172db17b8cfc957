"""An SAE with planted directions appended, saved as an ordinary one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from safetensors.torch import load_file, save_file
from torch import Tensor

from tools.bench.loading import SPARSITY_FILE
from tools.errors import StudyError
from tools.truth.planted import Planted

_COLUMNS = 256
_TOKENS = 1024


def append_planted(folder: Path, planted: Planted, residuals: Float[Tensor, "n d_in"], out: Path) -> int:
    """Save an SAE that has one more feature for each planted direction, after its own and in their order.

    A planted feature is active by as much as its reading exceeds its threshold, and writes its direction.
    In standard, gated and JumpReLU SAEs the others stay as they are. In a TopK SAE features compete, and a planted one would
    change which others are active: it becomes a JumpReLU SAE, whose features have thresholds that make each fire at as many
    of the residuals as before.

    Args:
        folder: of an SAE that SAELens saved.
        planted: directions in the residual stream that the SAE reads.
        residuals: as the SAE reads them, on which densities are measured.
        out: folder to make.

    Returns:
        The number of the first planted feature.

    Raises:
        StudyError: the SAE is of another architecture, normalises its input, or reads another stream.
    """
    from sae_lens import SAE

    sae: Any = SAE.load_from_disk(folder)
    _check(sae, planted, folder)
    competes = sae.cfg.architecture() == "topk"
    own: dict[str, Tensor] = _bound_features(sae, residuals) if competes else dict(sae.state_dict())
    combined = _append(own, planted, bool(sae.cfg.apply_b_dec_to_input))
    d_sae = len(combined["W_dec"])
    kind = {"architecture": "jumprelu"} if competes else {}
    new: Any = SAE.from_dict({**sae.cfg.to_dict(), **kind, "d_sae": d_sae})
    new.load_state_dict(combined)
    new.save_model(str(out))
    _append_density(folder / SPARSITY_FILE, out / SPARSITY_FILE, planted, residuals)
    return d_sae - len(planted.names)


def _check(sae: Any, planted: Planted, folder: Path) -> None:
    architecture, d_in = sae.cfg.architecture(), planted.directions.shape[1]
    if architecture not in ("standard", "gated", "jumprelu", "topk"):
        raise StudyError(
            f"nothing can be planted in {folder}: features of a {architecture} SAE are not read each alone"
        )
    if sae.cfg.normalize_activations != "none":
        raise StudyError(
            f"nothing can be planted in {folder}: it reads its input through {sae.cfg.normalize_activations}"
        )
    if sae.cfg.d_in != d_in:
        raise StudyError(f"directions of {d_in} dimensions cannot be planted in {folder}, which reads {sae.cfg.d_in}")


def _append(own: dict[str, Tensor], planted: Planted, reads_centred: bool) -> dict[str, Tensor]:
    """Weights of both, by the names that SAELens gives them; JumpReLU thresholds of the planted are 0, biases carry theirs."""
    rows, readers = (torch.from_numpy(of).to(own["W_dec"]) for of in (planted.directions, planted.readers))
    bias = -torch.from_numpy(planted.thresholds).to(own["W_dec"])
    if reads_centred:
        bias = bias + readers @ own["b_dec"]
    zeros = torch.zeros_like(bias)
    more = {"W_dec": rows, "b_enc": bias, "b_gate": bias, "b_mag": bias, "r_mag": zeros, "threshold": zeros}
    combined = {name: torch.cat([value, more[name].to(value)]) for name, value in own.items() if name in more}
    return {**own, **combined, "W_enc": torch.cat([own["W_enc"], readers.T], dim=1).contiguous()}


@torch.no_grad()
def _bound_features(sae: Any, residuals: Float[Tensor, "n d_in"]) -> dict[str, Tensor]:
    """A TopK SAE's weights with a threshold for each feature, above which it fires as often as it did in competition."""
    if sae.cfg.rescale_acts_by_decoder_norm:
        sae.fold_W_dec_norm()  # rows of unit length: activations carried theirs, and are the same
    residuals = residuals.to(sae.W_enc)
    fired: Int64[Tensor, " d_sae"] = torch.zeros(sae.cfg.d_sae, dtype=torch.int64)
    for batch in residuals.split(_TOKENS):
        activations = sae.encode(batch)
        activations = activations.to_dense() if activations.is_sparse else activations
        fired += (activations > 0).sum(0)
    read = residuals - sae.b_dec if sae.cfg.apply_b_dec_to_input else residuals
    thresholds: list[Tensor] = []
    for columns in torch.arange(sae.cfg.d_sae).split(_COLUMNS):
        ordered = (read @ sae.W_enc[:, columns] + sae.b_enc[columns]).sort(dim=0, descending=True).values
        at = fired[columns].clamp_max(len(residuals) - 1)
        thresholds.append(ordered.gather(0, at[None])[0].clamp_min(0))
    return {**sae.state_dict(), "threshold": torch.cat(thresholds)}


def _append_density(old: Path, new: Path, planted: Planted, residuals: Float[Tensor, "n d_in"]) -> None:
    """The file of densities, where the SAE has one; without it all features count as alive."""
    if not old.is_file():
        return
    density = torch.from_numpy((planted.activations(residuals.double().numpy()) > 0).mean(axis=0))
    known = load_file(old)["sparsity"]
    save_file({"sparsity": torch.cat([known, density.clamp_min(1e-10).log10().to(known)])}, new)
