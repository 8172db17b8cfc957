"""Weights put on the bench, strictly: nothing missing, nothing left over, nothing that would be read wrongly.

With `tools.training`, and `tools.autoencoder` for its classes, the only room that knows TransformerLens and SAELens.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from tools.arms import check_arm_files, is_at_hand, locate
from tools.autoencoder import NORMALISATIONS
from tools.compute import Compute, Precision, choose_device, choose_dtype, count_parameters, device_memory
from tools.errors import LoadError
from tools.hub import locate_sae, offline_mode
from tools.studies import Study
from tools.text_part import without_processors
from tools.workbench import Workbench

SPARSITY_FILE = "sparsity.safetensors"
"""log10 of each feature's density, as SAELens writes it."""
DEAD_LOG_DENSITY = -9.0
SAE_ERRORS = (OSError, ValueError, KeyError, RuntimeError, AssertionError)


def load_arm(study: Study, arm_name: str, compute: Compute = Compute()) -> Workbench:  # noqa: B008 (a frozen tuple)
    """Put an arm of a study on the bench.

    Args:
        study: that names the arm.
        arm_name: one of its arms.
        compute: where, how precisely and in how much memory.

    Raises:
        StudyError: there is no such arm, or one of its folders is missing.
        LoadError: weights are corrupt, incomplete, of the wrong shape, of a kind that the instruments cannot read or
            unreachable, or two arms are the same model, or the device is not there.
    """
    arm = study.arm(arm_name)
    where = choose_device(compute.device)
    hashes = check_arm_files(study, arm_name)
    _silence_libraries()
    with offline_mode(is_at_hand(study, arm_name)):
        bridge = _load_model(str(locate(study, arm.model)), where, compute.precision)
        sae, alive = _load_sae(locate(study, arm.sae), where)
    return Workbench(bridge, sae, arm, arm_name, hashes, alive, compute.budget)


def _silence_libraries() -> None:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def _load_model(name: str, device: str, precision: Precision) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside transformer_lens, none of them about our call
        from transformer_lens.model_bridge import TransformerBridge
        from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

        try:
            n_parameters = count_parameters(AutoConfig.from_pretrained(name)) if precision == "auto" else 0
            dtype = choose_dtype(precision, n_parameters, device_memory(device))
            loaded: Any = AutoModelForCausalLM.from_pretrained(name, dtype=dtype, output_loading_info=True)
            model, info = loaded
            tokenizer = AutoTokenizer.from_pretrained(name)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise LoadError(f"model {name} does not load: {_one_line(error)}") from error
        unfit = {
            key: sorted(map(str, info[key]))
            for key in ("missing_keys", "unexpected_keys", "mismatched_keys")
            if info[key]
        }
        if unfit:
            raise LoadError(f"model {name} does not load strictly: {_one_line(unfit)}")
        with without_processors():
            bridge = TransformerBridge.boot_transformers(
                name, hf_model=model, tokenizer=tokenizer, device=device, dtype=dtype
            )
    bridge.eval()
    return bridge


def _load_sae(source: Path | str, device: str) -> tuple[Any, Bool[Tensor, " d_sae"]]:
    """An SAE from a folder or, by name, from the hub, and which of its features are known to be active somewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sae_lens import SAE

        try:
            if isinstance(source, Path):
                sae = SAE.load_from_disk(source, device=device, dtype="float32")
                log_density = _read_sparsity(source / SPARSITY_FILE)
            else:
                found = locate_sae(source)
                sae, _, log_density = SAE.from_pretrained_with_cfg_and_sparsity(
                    found.release, found.sae_id, device=device
                )
        except SAE_ERRORS as error:
            raise LoadError(f"SAE {source} does not load: {_explain(error)}") from error
    _check_kind(sae, str(source))
    sae.eval()
    d_sae = sae.W_dec.shape[0]
    if log_density is None:
        return sae, torch.ones(d_sae, dtype=torch.bool)
    if log_density.shape != (d_sae,):
        raise LoadError(
            f"SAE {source}: its {SPARSITY_FILE} does not hold a tensor 'sparsity' with one value a feature: "
            "delete it or make it anew"
        )
    return sae, log_density.cpu() > DEAD_LOG_DENSITY


def _check_kind(sae: Any, name: str) -> None:
    """Refuse what would load without complaint and be read wrongly.

    Raises:
        LoadError: the SAE is a transcoder, reads attention heads, or reads its input through a map it does not carry.
    """
    if getattr(sae.cfg, "d_out", None) is not None:
        raise LoadError(
            f"{name} is a transcoder: it writes elsewhere than it reads, and only autoencoders can be studied"
        )
    if sae.cfg.reshape_activations != "none":
        raise LoadError(f"SAE {name} reads attention heads ({sae.cfg.reshape_activations}), not the residual stream")
    if sae.cfg.normalize_activations == "expected_average_only_in":
        raise LoadError(
            f"SAE {name} expects inputs scaled by an average norm that its weights do not carry; "
            "fold the factor in and save it again (SAELens: fold_activation_norm_scaling_factor)"
        )
    if sae.cfg.normalize_activations not in NORMALISATIONS:
        raise LoadError(
            f"SAE {name} expects inputs under {sae.cfg.normalize_activations}, which its weights do not carry; "
            "fold it in and save it again (SAELens: fold_activation_whitening)"
        )


def _read_sparsity(file: Path) -> Tensor | None:
    """The tensor, an empty one if the file holds something else, or None without a file."""
    from safetensors.torch import load_file

    return load_file(file).get("sparsity", torch.empty(0)) if file.is_file() else None


def _explain(error: Exception) -> str:
    """What is wrong with a saved SAE, where the library's text alone would not tell."""
    if isinstance(error, KeyError) and error.args[0] in ("batchtopk", "matryoshka_batchtopk"):
        return f"it is a {error.args[0]} training checkpoint; save it for use (SAELens: save_inference_model)"
    return _one_line(error)


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:300]
