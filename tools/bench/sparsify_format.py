"""SAEs as EleutherAI's sparsify saves them: `cfg.json` beside `sae.safetensors`, in a folder named after its place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.bench.folders import SaeFolder
from tools.errors import LoadError

if TYPE_CHECKING:  # a folder is checked before torch is imported
    from torch import Tensor


def place_of(folder: Path) -> str | None:
    """The module whose output the SAE reads, which is what its folder is called: `layers.12`; None for another name."""
    name = folder.resolve().name
    return name if name.startswith(("layers.", "h.", "embed")) else None


def convert(config: dict[str, Any], found: SaeFolder) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """SAELens' configuration and weights of the same SAE.

    Its input is taken relative to `b_dec`, and its decoder has a row per feature: what SAELens' own converter makes of
    either is another SAE, or none.

    Raises:
        LoadError: it is not an SAE that keeps its k largest activations.
    """
    if config.get("transcode") or config.get("skip_connection"):
        raise LoadError(
            f"{found.path} is a transcoder: it writes elsewhere than it reads, and only autoencoders can be studied"
        )
    kind = config.get("activation", "topk")
    if kind != "topk" or config.get("signed"):
        raise LoadError(
            f"SAE {found.path} chooses its features by {kind}{' of either sign' * bool(config.get('signed'))}"
        )
    from safetensors.torch import load_file

    weights = load_file(found.weights)
    encoder = weights["encoder.weight"]  # [d_sae, d_in]
    d_sae, d_in = encoder.shape
    decoder = weights["W_dec"] if "W_dec" in weights else weights["decoder.weight"].T
    parts = {
        "W_enc": encoder.T.contiguous(),
        "b_enc": weights.get("encoder.bias", encoder.new_zeros(d_sae)),
        "W_dec": decoder.contiguous(),
        "b_dec": weights["b_dec"] if "b_dec" in weights else weights["decoder.bias"],
    }
    made: dict[str, Any] = {
        "architecture": "topk",
        "d_in": d_in,
        "d_sae": d_sae,
        "k": int(config["k"]),
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "rescale_acts_by_decoder_norm": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": "6.0.0", "hook_name": place_of(found.path)},
    }
    return made, parts
