"""One model with one sparse autoencoder on the bench, behind a small interface; `tools.loading` puts them there.

What the other instruments rely on:

- `tokens` everywhere means ids [rows, positions] whose position 0 is BOS.
- the residual stream is read and written at `hook_name`, un-normalised;
- `directions` are unit decoder rows, and activations are scaled to match (`tools.autoencoder`), so that
  `activation * direction` is what the SAE writes, whatever norms it was trained with.
"""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tools.arms import ArmHashes
from tools.autoencoder import Autoencoder
from tools.compute import BUDGET
from tools.errors import LoadError, StudyError
from tools.source import SourceLogits
from tools.studies import Arm

ResidualEdit = Callable[[Float[Tensor, "rows positions d_model"]], Float[Tensor, "rows positions d_model"]]
"""Receives the residual stream at the hook, in float32, and returns what the model goes on with."""


class Decoded(NamedTuple):
    """One forward pass that keeps its key-value cache."""

    logits: Float[Tensor, "rows d_vocab"]
    """At the last position."""
    cache: Any


class Workbench:
    """A model and its SAE. Thread-safe for whole calls: hooks are state on a shared module, so a lock guards it."""

    def __init__(
        self,
        bridge: Any,
        sae: Any,
        arm: Arm,
        arm_name: str,
        hashes: ArmHashes,
        alive: Bool[Tensor, " d_sae"] | None = None,
        budget: int = BUDGET,
        source: SourceLogits | None = None,
    ) -> None:
        """Without `alive`, every feature counts as active somewhere; a step's arrays may take `budget` bytes.

        Without `source`, what the model said before the bridge was laid around it, the bench cannot prove itself.
        """
        self.bridge = bridge
        self.sae = sae
        self.arm = arm
        self.arm_name = arm_name
        self.hashes = hashes
        self.hook_name = arm.hook_name or str(sae.cfg.metadata.hook_name)
        self.layer = _layer_of(self.hook_name)
        self.tokenizer = bridge.tokenizer
        weights: Tensor = next(bridge.original_model.parameters())
        self.device, self.dtype = weights.device, weights.dtype
        self.budget = budget
        self.source = source
        self._cache_argument = name_cache_argument(bridge.original_model)
        self.lock = threading.RLock()
        self.W_U = process_unembedding(bridge)
        self.autoencoder = Autoencoder(sae)
        self.directions: Float[Tensor, "d_sae d_model"] = self.autoencoder.directions
        self.token_strings: list[str] = [self.tokenizer.decode([i]) for i in range(self.W_U.shape[1])]
        self.alive: Bool[Tensor, " d_sae"] = torch.ones(self.d_sae, dtype=torch.bool) if alive is None else alive
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
        """The residual stream at the hook; neither later layers nor the unembedding are run."""
        if self.hook_name.endswith("hook_resid_pre") and self.layer:
            with self.lock:  # what a stopped pass returns is the input of the block it stops before
                return self.bridge(tokens.to(self.device), stop_at_layer=self.layer).detach().float()
        caught: list[Tensor] = []

        def keep(residual: Tensor, hook: Any) -> Tensor:
            caught.append(residual.detach())
            return residual

        with self.lock, self.bridge.hooks(fwd_hooks=[(self.hook_name, keep)]):
            if self.layer + 1 < int(self.bridge.cfg.n_layers):
                self.bridge(tokens.to(self.device), return_type="logits", stop_at_layer=self.layer + 1)
            else:  # the library would go on to the logits
                self.bridge.original_model.base_model(input_ids=tokens.to(self.device), use_cache=False)
        return caught[0].float()

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
            return model(input_ids=tokens.to(self.device), use_cache=False).last_hidden_state.float()

    @torch.no_grad()
    def unembed(self, residual: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_vocab"]:
        """Logits of final residuals: the final norm and the unembedding, at the positions one cares about."""
        return self.bridge.unembed(self.bridge.ln_final(residual[None].to(self.dtype)))[0].float()

    def encode(
        self, residuals: Float[Tensor, "*batch d_model"], features: Int64[Tensor, " n"] | None = None
    ) -> Float[Tensor, "*batch n"]:
        """Feature activations in residual units, of all features or of those listed (`Autoencoder.encode`)."""
        return self.autoencoder.encode(residuals, features)

    def decode_activations(
        self, activations: Float[Tensor, "*batch d_sae"], residuals: Float[Tensor, "*batch d_model"] | None = None
    ) -> Float[Tensor, "*batch d_model"]:
        """The SAE's reconstruction from activations as `encode` gives them (`Autoencoder.decode`)."""
        return self.autoencoder.decode(activations, residuals)

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
            given = {self._cache_argument: cache}
            output = self.bridge.original_model(tokens.to(self.device), use_cache=True, logits_to_keep=1, **given)
        return Decoded(output.logits[:, -1].float(), output.past_key_values)

    @contextmanager
    def _editing(self, edit: ResidualEdit | None) -> Generator[None]:
        def apply(residual: Tensor, hook: Any) -> Tensor:
            return residual if edit is None else edit(residual.float()).to(residual.dtype)

        with self.lock, self.bridge.hooks(fwd_hooks=[(self.hook_name, apply)] if edit else []):
            yield


def name_cache_argument(model: Any) -> str:
    """What a model's `forward` calls its key-value cache: transformers renamed it with 5.24."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


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
