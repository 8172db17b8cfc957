"""Weights put on the bench, strictly: nothing missing, nothing left over, nothing that would be read wrongly.

With `tools.training`, and `tools.bench.autoencoder` for its classes, the only room that knows TransformerLens and SAELens.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from tools.bench.arms import ArmHashes, check_arm_files, find_folder, is_at_hand, locate
from tools.bench.autoencoder import NORMALISATIONS
from tools.bench.checkpoint import Change, Checkpoint, read_checkpoint
from tools.bench.compute import Compute, Precision, choose_device
from tools.bench.folders import SaeFolder, find_sae, read_sae_config
from tools.bench.hooks import hook_of
from tools.bench.reference import Reference, read_reference
from tools.bench.sparsify_format import convert
from tools.bench.text_part import without_processors
from tools.bench.weights import check_tensors
from tools.bench.workbench import Workbench
from tools.border.hub import locate_sae, offline_mode
from tools.errors import LoadError
from tools.study.definition import Study

SPARSITY_FILE = "sparsity.safetensors"
"""log10 of each feature's density, as SAELens writes it."""
DEAD_LOG_DENSITY = -9.0
MOST_DRIFT = 0.05
"""Relative difference of logits that another order of summing may make, in bfloat16 and over many layers."""


def load_arm(
    study: Study,
    arm_name: str,
    compute: Compute = Compute(),  # noqa: B008 (a frozen tuple)
    hashes: ArmHashes | None = None,
) -> Workbench:
    """Put an arm of a study on the bench.

    Args:
        study: that names the arm.
        arm_name: one of its arms.
        compute: where, how precisely and in how much memory.
        hashes: of its files, where they were checked just now.

    Raises:
        StudyError: there is no such arm, or one of its folders is missing.
        LoadError: weights are corrupt, incomplete, of the wrong shape, of a kind that the instruments cannot read or
            unreachable, or two arms are the same model, or the device is not there.
    """
    arm = study.arm(arm_name)
    where = choose_device(compute.device)
    hashes = hashes or check_arm_files(study, arm_name)
    with offline_mode(is_at_hand(study, arm_name)):
        change = Change(find_folder(study, arm.adapter) if arm.adapter else None, arm.random_weights)
        loaded = load_model(str(locate(study, arm.model)), where, compute.precision, change)
        sae, alive = _load_sae(locate(study, arm.sae), where)
        further = [_load_sae(locate(study, one.sae), where)[0] for one in arm.also]
    bench = Workbench(loaded.bridge, sae, arm, arm_name, hashes, alive, compute.budget, loaded.reference, further)
    bench.source, bench.change = loaded.source, loaded.change
    bench.sink_multiple = study.observation.sink_multiple
    return bench


def _silence_libraries() -> None:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


class Bridged(NamedTuple):
    """A model behind TransformerLens' bridge."""

    bridge: Any
    source: str
    change: str
    """As `Checkpoint`."""
    reference: Reference
    """What the model said before the bridge was laid around it."""


def load_model(name: str, device: str, precision: Precision, change: Change = Change()) -> Bridged:  # noqa: B008
    """Put a model alone on the bench, as `read_checkpoint` reads it.

    Raises:
        LoadError: it does not load strictly, or TransformerLens does not read it rightly.
    """
    _silence_libraries()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside transformer_lens, none of them about our call
        try:
            loaded = read_checkpoint(name, device, precision, change)
        except LoadError:
            raise
        except Exception as error:  # the tokenizers library raises bare ones, and every format its own
            raise LoadError(f"model {name} does not load: {_one_line(error)}") from error
        reference = read_reference(loaded.model, loaded.tokenizer)
        bridge = _bridge(name, loaded, reference, device)
    bridge.eval()
    _hand_cache_on(bridge)
    return Bridged(bridge, loaded.source, loaded.change, reference)


def _bridge(name: str, loaded: Checkpoint, reference: Reference, device: str) -> Any:
    """The model behind TransformerLens' hooks, computing what it computed without them.

    Raises:
        LoadError: its architecture is not read, or not rightly.
    """
    from transformer_lens.model_bridge import TransformerBridge

    model: Any = loaded.model
    kind = f"model {name} ({type(model).__name__})"
    try:
        with without_processors():
            bridge = TransformerBridge.boot_transformers(
                name, hf_model=model, tokenizer=loaded.tokenizer, device=device, dtype=model.dtype
            )
        drift = _drift(bridge.original_model, reference)
    except Exception as error:  # an adapter that does not fit the model fails wherever it first meets what it lacks
        raise LoadError(
            f"{kind} is of an architecture that TransformerLens does not read, or not in "
            f"{str(model.dtype).removeprefix('torch.')}: {_one_line(error)[:120]}"
        ) from error
    if not drift < MOST_DRIFT:
        raise LoadError(
            f"{kind} computes other logits on the bench than alone (they differ by {drift:.1%}): "
            "TransformerLens does not read its architecture rightly, so that it cannot be studied"
        )
    return bridge


def _hand_cache_on(bridge: Any) -> None:
    """Let the bridge's attention find the key-value cache under the name that the model hands it on by.

    From 5.24 on transformers passes it as `cache`; TransformerLens 3.9 looks for the older names only, finds nothing,
    and goes on without a cache: each step of a generation would see one token.
    """

    def by_either_name(update: Callable[..., Any], *keys_values: Tensor, **arguments: Any) -> Any:
        if arguments.get("past_key_values") is None:
            arguments["past_key_values"] = arguments.get("cache")
        return update(*keys_values, **arguments)

    for component in bridge.original_model.modules():
        update = getattr(component, "_update_kv_cache", None)
        if update is not None:
            component._update_kv_cache = partial(by_either_name, update)


@torch.no_grad()
def _drift(model: Any, reference: Reference) -> float:
    """Relative difference: the bridge computes attention and norms of some families anew, and not always rightly."""
    found = model.eval()(reference.tokens.to(model.device), use_cache=False).logits.float().cpu()
    return float((found - reference.logits).norm() / reference.logits.norm().clamp_min(1e-30))


def _load_sae(source: Path | str, device: str) -> tuple[Any, Bool[Tensor, " d_sae"]]:
    """An SAE from a folder or, by name, from the hub, and which of its features are known to be active somewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sae_lens import SAE

        try:
            if isinstance(source, Path):
                sae, log_density = _read_sae(find_sae(source), device)
            else:
                found = locate_sae(source)
                sae, _, log_density = SAE.from_pretrained_with_cfg_and_sparsity(
                    found.release, found.sae_id, device=device
                )
        except LoadError:
            raise
        except Exception as error:  # the library checks little of what a file says, and fails wherever that is used
            raise LoadError(f"SAE {source} does not load: {_explain(error)}") from error
    _check_kind(sae, str(source))
    check_tensors(sae.named_parameters(), f"SAE {source}")
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


def _read_sae(found: SaeFolder, device: str) -> tuple[Any, Tensor | None]:
    from sae_lens import SAE
    from sae_lens.loading.pretrained_sae_loaders import sae_lens_disk_loader

    config = read_sae_config(found)
    if found.form == "sparsify":
        made, parts = convert(config, found)
        sae: Any = SAE.load_from_disk(
            found.path, device=device, dtype="float32", converter=lambda *_, **__: (made, parts)
        )
    else:
        sae = SAE.load_from_disk(found.path, device=device, dtype="float32", converter=sae_lens_disk_loader)
        sae.cfg.metadata.hook_name = hook_of(config)  # versions before 6 wrote it elsewhere
    return sae, _read_sparsity(found.path / SPARSITY_FILE)


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
