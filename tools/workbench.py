"""One model with one sparse autoencoder on the bench, loaded strictly, behind a small interface.

This room and `tools/training` are the only ones that know TransformerLens and SAELens. What the others rely on:

- `tokens` everywhere means ids [rows, positions] whose position 0 is BOS.
- the residual stream is read and written at `hook_name`, un-normalised;
- `directions` are unit decoder rows, and activations are scaled by the decoder norms to match, so that
  `activation * direction` is what the SAE writes, whatever norms it was trained with.
"""

from __future__ import annotations

import hashlib
import math
import socket
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tools.errors import LoadError, StudyError
from tools.records import Record
from tools.studies import Arm, Study

ResidualEdit = Callable[[Float[Tensor, "rows positions d_model"]], Float[Tensor, "rows positions d_model"]]
"""Receives the residual stream at the hook and returns what the model goes on with."""

PROBE_SECONDS = 1.0
SPARSITY_FILE = "sparsity.safetensors"
"""log10 of each feature's density, as SAELens writes it."""
DEAD_LOG_DENSITY = -9.0


class ArmHashes(Record):
    """Identity of what was loaded: sha256 of the weight files, or the hub's name where there is no file."""

    model: str
    sae: str


class Decoded(NamedTuple):
    """One forward pass that keeps its key-value cache."""

    logits: Float[Tensor, "rows d_vocab"]
    """At the last position."""
    cache: Any


class Workbench:
    """A model and its SAE. Thread-safe for whole calls: hooks are state on a shared module, so a lock guards it."""

    def __init__(
        self, bridge: Any, sae: Any, arm: Arm, arm_name: str, hashes: ArmHashes, sae_folder: Path | None = None
    ) -> None:
        self.bridge = bridge
        self.sae = sae
        self.arm = arm
        self.arm_name = arm_name
        self.hashes = hashes
        self.hook_name = arm.hook_name or str(sae.cfg.metadata.hook_name)
        self.layer = _layer_of(self.hook_name)
        self.tokenizer = bridge.tokenizer
        self.device: torch.device = next(bridge.original_model.parameters()).device
        self.lock = threading.RLock()
        self.W_U = process_unembedding(bridge)
        trained_with = sae.cfg.metadata.model_from_pretrained_kwargs or {}
        self.centred = bool(trained_with.get("center_writing_weights"))
        norms = sae.W_dec.detach().float().norm(dim=1)
        self.decoder_norms: Float[Tensor, " d_sae"] = norms
        self.directions: Float[Tensor, "d_sae d_model"] = sae.W_dec.detach().float() / norms.clamp_min(1e-8)[:, None]
        self.token_strings: list[str] = [self.tokenizer.decode([i]) for i in range(self.W_U.shape[1])]
        self.alive = _read_alive(sae, sae_folder)
        _check_shapes(self)

    @property
    def d_sae(self) -> int:
        """Number of features."""
        return self.directions.shape[0]

    @property
    def bos(self) -> int:
        """Id at position 0 of every row."""
        bos = self.tokenizer.bos_token_id
        return int(self.tokenizer.eos_token_id if bos is None else bos)

    @property
    def context_size(self) -> int:
        """Most positions the model was made for."""
        return int(self.bridge.cfg.n_ctx)

    def tokenize(self, text: str) -> list[int]:
        """Ids of a text, no BOS."""
        return self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def decode(self, ids: list[int]) -> str:
        """Text of ids; special tokens are left out."""
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    @torch.no_grad()
    def residuals(self, tokens: Int64[Tensor, "rows positions"]) -> Float[Tensor, "rows positions d_model"]:
        """The residual stream at the hook; later layers are not run where the library allows it."""
        return self._read(self.hook_name, tokens, self.layer + 1)

    @torch.no_grad()
    def final_residual(
        self, tokens: Int64[Tensor, "rows positions"], edit: ResidualEdit | None = None
    ) -> Float[Tensor, "rows positions d_model"]:
        """The residual stream that the final norm reads, edited at the hook when asked."""
        caught: list[Tensor] = []

        def keep(residual: Tensor, hook: Any) -> Tensor:
            caught.append(residual)
            return residual

        last = f"blocks.{int(self.bridge.cfg.n_layers) - 1}.hook_resid_post"
        with self._editing(edit), self.bridge.hooks(fwd_hooks=[(last, keep)]):
            self.bridge.original_model.base_model(input_ids=tokens.to(self.device), use_cache=False)
        return caught[0].float()

    def normed_final_residual(
        self, tokens: Int64[Tensor, "rows positions"], edit: ResidualEdit
    ) -> Float[Tensor, "rows positions d_model"]:
        """What the unembedding reads; differentiable in what the edit returns, unlike everything else here."""
        with self._editing(edit):
            model = self.bridge.original_model.base_model
            return model(input_ids=tokens.to(self.device), use_cache=False).last_hidden_state

    @torch.no_grad()
    def unembed(self, residual: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_vocab"]:
        """Logits of final residuals: the final norm and the unembedding, at the positions one cares about."""
        return self.bridge.unembed(self.bridge.ln_final(residual[None]))[0].float()

    @torch.no_grad()
    def encode(
        self, residuals: Float[Tensor, "*batch d_model"], features: Int64[Tensor, " n"] | None = None
    ) -> Float[Tensor, "*batch n"]:
        """Feature activations, scaled by the decoder norms; of all features or of those listed.

        An SAE trained on a model with centred writing weights never saw the residual stream's mean over d_model, which
        is all that such processing changes there; it is taken out for it.
        """
        flat = residuals.reshape(-1, residuals.shape[-1]).to(self.sae.W_dec.dtype)
        if self.centred:
            flat = flat - flat.mean(dim=-1, keepdim=True)
        activations = self.sae.encode(flat).float() * self.decoder_norms
        if features is not None:
            activations = activations[:, features]
        return activations.reshape(*residuals.shape[:-1], activations.shape[-1])

    @torch.no_grad()
    def decode_activations(self, activations: Float[Tensor, "*batch d_sae"]) -> Float[Tensor, "*batch d_model"]:
        """The SAE's reconstruction from activations scaled as `encode` scales them."""
        return self.sae.decode((activations / self.decoder_norms.clamp_min(1e-8)).to(self.sae.W_dec.dtype)).float()

    @torch.no_grad()
    def logits(
        self, tokens: Int64[Tensor, "rows positions"], edit: ResidualEdit | None = None
    ) -> Float[Tensor, "rows positions d_vocab"]:
        """Logits of a whole forward pass, with the residual stream edited at the hook when asked."""
        with self._editing(edit):
            return self.bridge(tokens.to(self.device), return_type="logits").float()

    @torch.no_grad()
    def step(self, tokens: Int64[Tensor, "rows positions"], cache: Any, edit: ResidualEdit | None) -> Decoded:
        """Continue from a key-value cache (None: from the start); the edit sees only the positions given here."""
        with self._editing(edit):
            output = self.bridge.original_model(
                tokens.to(self.device), past_key_values=cache, use_cache=True, logits_to_keep=1
            )
        return Decoded(output.logits[:, -1].float(), output.past_key_values)

    def _read(
        self, hook_name: str, tokens: Int64[Tensor, "rows positions"], stop_at_layer: int | None
    ) -> Float[Tensor, "rows positions d_model"]:
        caught: list[Tensor] = []

        def keep(residual: Tensor, hook: Any) -> Tensor:
            caught.append(residual.detach())
            return residual

        with self.lock, self.bridge.hooks(fwd_hooks=[(hook_name, keep)]):
            self.bridge(tokens.to(self.device), return_type="logits", stop_at_layer=stop_at_layer)
        return caught[0].float()

    @contextmanager
    def _editing(self, edit: ResidualEdit | None) -> Generator[None]:
        def apply(residual: Tensor, hook: Any) -> Tensor:
            return residual if edit is None else edit(residual)

        with self.lock, self.bridge.hooks(fwd_hooks=[(self.hook_name, apply)] if edit else []):
            yield


def process_unembedding(bridge: Any) -> Float[Tensor, "d_model d_vocab"]:
    """The unembedding a direction is projected on: final LayerNorm weight folded in, both means taken out.

    LayerNorm ignores the mean over d_model, and softmax the mean over the vocabulary; without both, one shared
    direction of the unembedding would lead every list. RMSNorm keeps its mean, so only the second is taken out there.
    """
    processed = bridge.W_U.detach().float()
    weight = getattr(bridge.ln_final, "weight", None)
    if weight is not None:
        processed = processed * weight.detach().float()[:, None]
    if "RMS" not in str(bridge.cfg.normalization_type):
        processed = processed - processed.mean(dim=0, keepdim=True)
    return processed - processed.mean(dim=1, keepdim=True)


def load_arm(study: Study, arm_name: str, device: str = "cpu") -> Workbench:
    """Put an arm of a study on the bench.

    Raises:
        StudyError: there is no such arm, or one of its folders is missing.
        LoadError: weights are corrupt, incomplete, of the wrong shape or unreachable, or two arms are the same model.
    """
    arm = study.arm(arm_name)
    hashes = check_arm_files(study, arm_name)
    _silence_libraries()
    bridge = _load_model(_local_or_name(study, arm.model), device)
    sae = _load_sae(_local_or_name(study, arm.sae), device)
    sae_folder = Path(_local_or_name(study, arm.sae))
    return Workbench(bridge, sae, arm, arm_name, hashes, sae_folder if sae_folder.is_dir() else None)


def check_arm_files(study: Study, arm_name: str) -> ArmHashes:
    """Everything about an arm that can be found wrong without a heavy import: files, their headers, the hub's reach.

    Raises:
        StudyError, LoadError: as `load_arm`.
    """
    arm = study.arm(arm_name)
    hashes = ArmHashes(model=_identify(study, arm.model), sae=_identify(study, arm.sae))
    for other_name, other in study.arms.items():
        local = not _is_hub_name(study, other.model)
        if other_name != arm_name and local and _identify(study, other.model) == hashes.model:
            raise LoadError(f"arms {arm_name} and {other_name} of study {study.name} are the same model weights")
    return hashes


def _identify(study: Study, name: str) -> str:
    """sha256 over the weight files of a local folder, or `hub:NAME` after a probe of the hub."""
    if _is_hub_name(study, name):
        _require_hub(study, name)
        return f"hub:{name}"
    folder = study.asset(name)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise LoadError(
            f"{folder} holds no .safetensors weights: restore them (git checkout) or train them (python -m tools.training)"
        )
    digest = hashlib.sha256()
    for file in files:
        _check_safetensors(file)
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _check_safetensors(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as opened:
            opened.keys()
    except (SafetensorError, OSError) as error:
        raise LoadError(f"{file} is corrupt ({error}): restore it (git checkout) or train it anew") from error


def _is_hub_name(study: Study, name: str) -> bool:
    is_folder = name.startswith(".") or (study.folder / name).exists() or Path(name).exists()
    return study.hub and not is_folder


def _local_or_name(study: Study, name: str) -> str:
    folder = study.folder / name
    return str(folder) if folder.exists() else name


def _require_hub(study: Study, name: str) -> None:
    """One short probe; left alone, the hub libraries retry for 25 s before they say that there is no network."""
    from huggingface_hub import constants, try_to_load_from_cache  # light, unlike the libraries that use them

    try:
        cached = try_to_load_from_cache(name.split("/")[0] if name.count("/") > 1 else name, "config.json")
    except ValueError:
        cached = None
    if isinstance(cached, str):
        return
    endpoint = urlparse(constants.ENDPOINT)
    try:
        port = endpoint.port or (443 if endpoint.scheme == "https" else 80)
        socket.create_connection((endpoint.hostname or "", port), timeout=PROBE_SECONDS).close()
    except OSError as error:
        raise LoadError(
            f"study {study.name} needs {name!r} from the Hugging Face hub, which cannot be reached ({error}); "
            "connect once to download it, or use --study pocket, which needs no network"
        ) from error


def _silence_libraries() -> None:
    import os

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def _load_model(name: str, device: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside transformer_lens, none of them about our call
        from transformer_lens.model_bridge import TransformerBridge
        from transformers import AutoModelForCausalLM, AutoTokenizer

        try:
            loaded: Any = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32, output_loading_info=True)
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
        bridge = TransformerBridge.boot_transformers(
            name, hf_model=model, tokenizer=tokenizer, device=device, dtype=torch.float32
        )
    bridge.eval()
    return bridge


def _load_sae(name: str, device: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sae_lens import SAE

        try:
            if Path(name).exists():
                sae = SAE.load_from_disk(name, device=device, dtype="float32")
            else:
                release, _, sae_id = name.partition("/")
                sae = SAE.from_pretrained(release, sae_id, device=device)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise LoadError(f"SAE {name} does not load: {_one_line(error)}") from error
    if sae.cfg.normalize_activations == "expected_average_only_in":
        raise LoadError(
            f"SAE {name} expects inputs scaled by an average norm that its weights do not carry; "
            "fold the factor in and save it again (SAELens: fold_activation_norm_scaling_factor)"
        )
    if getattr(sae.cfg, "rescale_acts_by_decoder_norm", False):
        sae.fold_W_dec_norm()  # its activations carry the decoder norms already: with unit rows both readings agree
    sae.eval()
    return sae


def _read_alive(sae: Any, folder: Path | None) -> Bool[Tensor, " d_sae"]:
    """Features known to be active somewhere, by the sparsity file that SAELens keeps beside an SAE; all without one."""
    from safetensors.torch import load_file

    file = folder / SPARSITY_FILE if folder else None
    if file is None or not file.is_file():
        return torch.ones(sae.W_dec.shape[0], dtype=torch.bool)
    log_density = load_file(file).get("sparsity")
    if log_density is None or log_density.shape != sae.W_dec.shape[:1]:
        raise LoadError(f"{file} does not hold a tensor 'sparsity' with one value a feature: delete it or make it anew")
    return log_density > DEAD_LOG_DENSITY


def _check_shapes(bench: Workbench) -> None:
    if bench.hook_name not in bench.bridge.hook_dict:  # the library would ignore it without a word
        raise StudyError(
            f"the model has no hook {bench.hook_name}: its layers are 0 to {bench.bridge.cfg.n_layers - 1}"
        )
    d_model = bench.W_U.shape[0]
    if bench.directions.shape[1] != d_model:
        raise LoadError(
            f"the SAE reads {bench.directions.shape[1]} dimensions but the model's residual stream has {d_model}"
        )
    trained_at = bench.sae.cfg.metadata.hook_name
    if trained_at and trained_at != bench.hook_name:
        raise LoadError(f"the SAE was trained at {trained_at}, but the arm names {bench.hook_name}")
    if not bool(torch.isfinite(bench.directions).all()) or not math.isfinite(float(bench.W_U.sum())):
        raise LoadError("weights hold values that are not finite numbers")


def _layer_of(hook_name: str) -> int:
    parts = hook_name.split(".")
    if len(parts) < 3 or parts[0] != "blocks" or not parts[1].isdigit():
        raise StudyError(f"hook name {hook_name!r} is not of the form blocks.N.hook_resid_pre")
    return int(parts[1])


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:300]
