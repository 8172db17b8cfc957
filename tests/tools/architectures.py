"""A small sparse autoencoder of every architecture that SAELens registers, with weights that make features fire."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import sae_lens
    from sae_lens.saes.sae import SAEMetadata

HOOK = "blocks.1.hook_resid_pre"
D_MODEL, D_SAE, K = 32, 48, 6
TRANSCODERS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
"""They read one place and write another, so that no direction of theirs is a feature of one residual stream."""
CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "standard": ("StandardSAE", {}),
    "gated": ("GatedSAE", {}),
    "jumprelu": ("JumpReLUSAE", {}),
    "topk": ("TopKSAE", {"k": K, "rescale_acts_by_decoder_norm": True}),
    "abstopk": ("AbsTopKSAE", {"k": K}),
    "matching_pursuit": ("MatchingPursuitSAE", {"max_iterations": K}),
    "temporal": (
        "TemporalSAE",
        {"n_heads": 2, "bottleneck_factor": 4, "kval_topk": K, "tied_weights": False},
    ),
    "batchtopk": ("BatchTopKTrainingSAE", {"k": K}),
    "matryoshka_batchtopk": ("MatryoshkaBatchTopKTrainingSAE", {"k": K, "matryoshka_widths": [16, D_SAE]}),
    "transcoder": ("Transcoder", {"d_out": D_MODEL, "apply_b_dec_to_input": False}),
    "skip_transcoder": ("SkipTranscoder", {"d_out": D_MODEL, "apply_b_dec_to_input": False}),
    "jumprelu_transcoder": ("JumpReLUTranscoder", {"d_out": D_MODEL, "apply_b_dec_to_input": False}),
    "jumprelu_skip_transcoder": ("JumpReLUSkipTranscoder", {"d_out": D_MODEL, "apply_b_dec_to_input": False}),
}
AUTOENCODERS = tuple(name for name in CLASSES if name not in TRANSCODERS)


def build_sae(architecture: str, hook_name: str = HOOK, **settings: Any) -> Any:
    """One SAE with decoder rows of different norms, except in matching pursuit, which needs unit rows."""
    name, own = CLASSES[architecture]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        configure = getattr(sae_lens, f"{name}Config")
        both = {"d_in": D_MODEL, "d_sae": D_SAE, "metadata": SAEMetadata(hook_name=hook_name), **own, **settings}
        torch.manual_seed(0)
        sae = getattr(sae_lens, name)(configure(**both))
    generator = torch.Generator().manual_seed(1)
    d_in, d_sae = both["d_in"], both["d_sae"]
    rows = torch.randn(d_sae, d_in, generator=generator) / d_in**0.5
    written = rows / rows.norm(dim=1, keepdim=True) if architecture == "matching_pursuit" else rows * 1.7
    values = {
        "W_enc": rows.T,
        "W_dec": written
        * (1 if architecture == "matching_pursuit" else 0.5 + torch.rand(d_sae, 1, generator=generator)),
        "b_dec": 0.1 * torch.randn(d_in, generator=generator),
        "b_enc": -0.3 * torch.rand(d_sae, generator=generator),
        "b_gate": -0.5 * torch.rand(d_sae, generator=generator),
        "b_mag": 0.2 * torch.randn(d_sae, generator=generator),
        "r_mag": 0.2 * torch.randn(d_sae, generator=generator),
        "threshold": 0.3 + torch.rand(d_sae, generator=generator),
    }
    with torch.no_grad():
        for key, parameter in sae.named_parameters():
            if key in values:
                parameter.copy_(values[key])
        if hasattr(sae, "topk_threshold"):
            sae.topk_threshold.fill_(0.6)
    return sae


def save_sae(architecture: str, folder: Path, **settings: Any) -> Path:
    """Save one as SAELens saves it for use: BatchTopK and Matryoshka SAEs become JumpReLU ones."""
    sae = build_sae(architecture, **settings)
    save = getattr(sae, "save_inference_model", sae.save_model)
    save(str(folder))
    return folder


def load_reference(folder: Path) -> Any:
    """What SAELens itself makes of a saved SAE."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sae_lens.SAE.load_from_disk(str(folder), device="cpu", dtype="float32").eval()
