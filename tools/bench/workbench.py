"""One model with one sparse autoencoder on the bench, behind a small interface; `tools.bench.loading` puts them there.

What the other instruments rely on:

- `tokens` everywhere means ids [rows, positions] whose position 0 is BOS.
- the residual stream is read and written at `hook_name`, un-normalised; an arm with further SAEs has more `places`;
- `directions` are unit decoder rows (zeros for a row that is 0, whose feature is not `alive`), and activations are scaled
  to match (`tools.bench.autoencoder`), so that `activation * direction` is what the SAE writes, whatever norms it was
  trained with.
"""

from __future__ import annotations

import hashlib
import inspect
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tools.bench.arms import ArmHashes
from tools.bench.autoencoder import Autoencoder
from tools.bench.blocks import Passing, find_passing
from tools.bench.compute import BUDGET
from tools.bench.hooks import Hook, choose_hook, hook_of, read_hook
from tools.bench.places import Place, check_places, place_further
from tools.bench.positions import SINK_MULTIPLE, choose_row_width, without_sinks
from tools.bench.readout import measure_readout
from tools.bench.reference import Reference, probe_rows
from tools.bench.tokens import TokenReader, first_token
from tools.study.corpus import Corpus, TokenRows, cut_rows
from tools.study.definition import Arm, SplitName, Study

ResidualEdit = Callable[[Float[Tensor, "rows positions d_model"]], Float[Tensor, "rows positions d_model"]]
"""Receives the residual stream at the hook, in float32, and returns what the model goes on with.

One with a mapping `elsewhere` edits other places in the same pass: a hook's name and what is done there.
"""

_CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length")
_PROBE_ROWS, _PROBE_POSITIONS = 2, 12
_PLAIN_POSITIONS = 24
"""Of each of the plain texts that the usual length of the residual stream is read off."""


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
        reference: Reference | None = None,
        further: Sequence[Any] = (),
    ) -> None:
        """Without `alive`, every feature counts as active somewhere; a step's arrays may take `budget` bytes.

        Without `reference`, what the model said before the bridge was laid around it, the bench cannot prove itself.
        `further` are the SAEs of `arm.also`, in order.
        """
        self.bridge = bridge
        self.sae = sae
        self.arm = arm
        self.arm_name = arm_name
        self.hashes = hashes
        hook = choose_hook(arm.hook_name, hook_of({"metadata": vars(sae.cfg.metadata)}), arm.hook_overrides)
        self.hook_name, self.layer = hook.name, hook.layer
        self.source = ""
        """What the model's weights were read from, where that was no plain folder (`tools.bench.loading`)."""
        self.change = ""
        """What was done to them when they were loaded, where something was."""
        self.tokenizer = bridge.tokenizer
        weights: Tensor = next(bridge.original_model.parameters())
        self.device, self.dtype = weights.device, weights.dtype
        self.budget = budget
        self.reference = reference
        self.sink_multiple = SINK_MULTIPLE
        """Positions with a residual stream that many times as long as usual count as no text (`tools.bench.positions`)."""
        self._cache_argument = name_cache_argument(bridge.original_model)
        self.lock = threading.RLock()
        self.reader = TokenReader(self.tokenizer, int(bridge.W_U.shape[1]))
        self.bos = first_token(self.tokenizer, bridge.original_model.config, int(bridge.W_U.shape[1]))
        """Id at position 0 of every row."""
        self.n_tokens = self.reader.size
        """Size of the vocabulary, without the rows that a model's embedding is padded with: no logits are theirs."""
        self.readout = measure_readout(bridge, self._probe_rows(), self.n_tokens)
        self.W_U: Float[Tensor, "d_model n_tokens"] = self.clear_unused(
            self.readout.process(bridge.W_U[:, : self.n_tokens])
        )
        self.autoencoder = Autoencoder(sae)
        self.directions: Float[Tensor, "d_sae d_model"] = self.autoencoder.directions
        self.token_strings: list[str] = self.reader.strings()
        empty = self.autoencoder.empty.cpu()
        self.alive: Bool[Tensor, " d_sae"] = ~empty if alive is None else alive & ~empty
        """False for features known to be active nowhere, and for those that write nothing."""
        self.places: tuple[Place, ...] = (Place(self.autoencoder, hook), *place_further(arm, further))
        """The arm's SAE, and those it names beside it."""
        self._corpus: Corpus | None = None
        self._token_ids: dict[SplitName, list[Int64[np.ndarray, " n"]]] = {}
        _check_shapes(self)

    @property
    def d_sae(self) -> int:
        """Number of features."""
        return self.directions.shape[0]

    @property
    def context_size(self) -> int:
        """Most positions the model was made for.

        By its own configuration: the library's falls back to a default where it does not know the family's name for it.
        """
        config = self.bridge.original_model.config.get_text_config()
        named = [getattr(config, name, None) for name in _CONTEXT_NAMES]
        known = [size for size in named if isinstance(size, int) and size > 0]
        return min(known) if known else int(self.bridge.cfg.n_ctx)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the model's weights as they were loaded, whatever file they came from and what was done to them."""
        digest = hashlib.sha256()
        for name, weight in sorted(self.bridge.original_model.state_dict().items()):
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
            digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()

    @property
    def row_width(self) -> int:
        """Positions of a row of text, for everything that reads a corpus: what the SAE was trained on.

        What the model was made for, `context_size`, is asked where text is continued.
        """
        return choose_row_width(self.context_size, getattr(self.sae.cfg.metadata, "context_size", None))

    @cached_property
    def usual_norm(self) -> float:
        """Median length of the residual stream at the hook, BOS left out, in a few plain texts that no study chooses."""
        return self.measure_norm()

    def measure_norm(self, hook: Hook | None = None) -> float:
        """The same at any place."""
        width = min(_PLAIN_POSITIONS, self.context_size)
        rows = probe_rows(self.tokenizer, self.bos, self.n_tokens, width)
        return float(self.residuals(rows, hook)[:, 1:].norm(dim=-1).median())

    def is_text(
        self, residuals: Float[Tensor, "*batch d_model"], real: Bool[Tensor, "*batch"]
    ) -> Bool[Tensor, "*batch"]:
        """The real positions that are no attention sinks, by the residual stream at the hook."""
        return without_sinks(residuals, real, self.sink_multiple * self.usual_norm)

    def tokenize(self, text: str) -> list[int]:
        """Ids of a text, no BOS; special tokens that the model has no row for are left out."""
        return self.reader.encode(text)

    def take_up(self, corpus: Corpus) -> None:
        """Read from now on in this corpus when its study's text is asked for."""
        self._corpus, self._token_ids = corpus, {}

    def read_text(self, study: Study, split: SplitName, width: int) -> TokenRows:
        """A study's text in rows of at most `width` tokens; read and tokenised once while it is the same study's.

        Raises:
            StudyError, LoadError: as `Corpus.passages`.
        """
        if self._corpus is None or self._corpus.study is not study:
            self.take_up(Corpus(study))
        assert self._corpus is not None
        passages = self._corpus.passages(split)
        if split not in self._token_ids:
            self._token_ids[split] = [np.array(self.tokenize(passage.text), dtype=np.int64) for passage in passages]
        return cut_rows(self._token_ids[split], [passage.document for passage in passages], width, self.bos)

    def decode(self, ids: list[int]) -> str:
        """Text of ids, with the space that leads it; special tokens are left out."""
        return self.reader.text(ids)

    @torch.no_grad()
    def residuals(
        self, tokens: Int64[Tensor, "rows positions"], hook: Hook | None = None, edit: ResidualEdit | None = None
    ) -> Float[Tensor, "rows positions d_model"]:
        """The residual stream at the bench's hook or another; neither later layers nor the unembedding are run.

        With an edit, after that.
        """
        name, layer = hook or (self.hook_name, self.layer)
        if name.endswith("hook_resid_pre") and layer:
            with self._editing(edit):  # what a stopped pass returns is the input of the block it stops before
                return self.bridge(tokens.to(self.device), stop_at_layer=layer).detach().float()
        caught: list[Tensor] = []

        def keep(residual: Tensor, hook: Any) -> Tensor:
            caught.append(residual.detach())
            return residual

        with self._editing(edit), self.hooked((name, keep)):
            if layer + 1 < int(self.bridge.cfg.n_layers):
                self.bridge(tokens.to(self.device), return_type="logits", stop_at_layer=layer + 1)
            else:  # the library would go on to the logits
                self.bridge.original_model.base_model(input_ids=tokens.to(self.device), use_cache=False)
        return caught[0].float()

    @property
    def hook_reads_below(self) -> bool:
        """What is seen at the hook is what `read_below` gives: nothing of the hook's block comes before it."""
        return self.hook_name.endswith("hook_resid_pre")

    @torch.no_grad()
    def read_below(self, tokens: Int64[Tensor, "rows positions"]) -> Float[Tensor, "rows positions d_model"] | None:
        """What the hook's block reads, whatever is done at the hook; None where there is nothing to be saved by it.

        It can be handed to `next_logits` and `final_residual` in place of the blocks before, and is in the model's dtype.
        """
        if not self.layer or self._passing is None:
            return None
        with self.lock:
            return self.bridge(tokens.to(self.device), stop_at_layer=self.layer).detach()

    @torch.no_grad()
    def final_residual(
        self,
        tokens: Int64[Tensor, "rows positions"],
        edit: ResidualEdit | None = None,
        below: Float[Tensor, "rows positions d_model"] | None = None,
    ) -> Float[Tensor, "rows positions d_model"]:
        """The residual stream that the final norm reads, edited at the hook when asked; `below` as `read_below` gives it."""
        with self._resuming(below, edit):
            return self.last_residual(tokens, edit)

    def last_residual(
        self, tokens: Int64[Tensor, "rows positions"], edit: ResidualEdit | None, at: str = ""
    ) -> Float[Tensor, "rows positions d_model"]:
        """The same, differentiable in what the edit returns; at another hook than the last, if one is named."""
        caught: list[Tensor] = []

        def keep(residual: Tensor, hook: Any) -> Tensor:
            caught.append(residual)
            return residual

        hook_name = at or f"blocks.{int(self.bridge.cfg.n_layers) - 1}.hook_resid_post"
        with self._editing(edit), self.hooked((hook_name, keep)):
            self.bridge.original_model.base_model(input_ids=tokens.to(self.device), use_cache=False)
        return caught[0].float()

    def normed_final_residual(
        self, tokens: Int64[Tensor, "rows positions"], edit: ResidualEdit
    ) -> Float[Tensor, "rows positions d_model"]:
        """What the unembedding reads; differentiable in what the edit returns."""
        with self._editing(edit):
            model = self.bridge.original_model.base_model
            return model(input_ids=tokens.to(self.device), use_cache=False).last_hidden_state.float()

    @torch.no_grad()
    def unembed(self, residual: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_vocab"]:
        """Logits of final residuals: the final norm and the unembedding, at the positions one cares about."""
        normed = residual[None].to(self.dtype)
        if self.readout.norm.weight is not None:
            normed = self.bridge.ln_final(normed)
        return self.readout.step.apply(self.bridge.unembed(normed)[0, ..., : self.n_tokens].float())

    def head(self) -> Float[Tensor, "d_model n_tokens"]:
        """Logits per unit of what `normed_final_residual` gives, made anew at every call; see `Readout.head`."""
        return self.readout.head(self.bridge.W_U[:, : self.n_tokens])

    def clear_unused(self, columns: Float[Tensor, "rows n_tokens"]) -> Float[Tensor, "rows n_tokens"]:
        """The same with 0 at ids that stand for no token, so that none of them ever leads a list."""
        if len(self.reader.ids) < self.n_tokens:
            columns[:, [i for i in range(self.n_tokens) if i not in self.reader.ids]] = 0
        return columns

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
            return self.bridge(tokens.to(self.device), return_type="logits")[..., : self.n_tokens].float()

    @torch.no_grad()
    def step(self, tokens: Int64[Tensor, "rows positions"], cache: Any, edit: ResidualEdit | None) -> Decoded:
        """Continue from a key-value cache (None: from the start); the edit sees only the positions given here."""
        with self._editing(edit):
            given = {self._cache_argument: cache}
            output = self.bridge.original_model(tokens.to(self.device), use_cache=True, logits_to_keep=1, **given)
        return Decoded(output.logits[:, -1, : self.n_tokens].float(), output[self._cache_argument])

    @torch.no_grad()
    def next_logits(
        self,
        tokens: Int64[Tensor, "rows positions"],
        edit: ResidualEdit | None,
        below: Float[Tensor, "rows positions d_model"] | None = None,
    ) -> Float[Tensor, "rows d_vocab"]:
        """Logits of the next token; `below` as `read_below` gives it."""
        with self._resuming(below, edit), self._editing(edit):
            output = self.bridge.original_model(tokens.to(self.device), use_cache=False, logits_to_keep=1)
        return output.logits[:, -1, : self.n_tokens].float()

    @cached_property
    def _passing(self) -> Passing | None:
        with self.lock:
            return find_passing(self.bridge, self._probe_rows()[:1])

    @contextmanager
    def _resuming(
        self, below: Float[Tensor, "rows positions d_model"] | None, edit: ResidualEdit | None
    ) -> Generator[None]:
        """The blocks before the hook's are passed over, where what they would hand on is known."""
        is_earlier = any(read_hook(name).layer < self.layer for name in _elsewhere(edit))
        if below is None or is_earlier or self._passing is None:
            yield
            return
        with self.lock, self._passing.over(self.bridge.blocks[: self.layer], below):
            yield

    def _probe_rows(self) -> Int64[Tensor, "rows positions"]:
        """A few rows of random tokens that the model itself is tried on."""
        generator = torch.Generator().manual_seed(0)
        ids = torch.tensor(sorted(self.reader.ids))
        width = min(_PROBE_POSITIONS, self.context_size)
        drawn = ids[torch.randint(len(ids), (_PROBE_ROWS, width), generator=generator)]
        drawn[:, 0] = self.bos
        return drawn.to(self.device)

    @contextmanager
    def _editing(self, edit: ResidualEdit | None) -> Generator[None]:
        elsewhere = _elsewhere(edit)
        for name in elsewhere:
            if name == self.hook_name or name not in self._points:
                raise ValueError(f"{name} is no other hook of the model than {self.hook_name}")
        edits = {self.hook_name: edit, **elsewhere} if edit else {}
        with self.hooked(*((name, _at_hook(one)) for name, one in edits.items())):
            yield

    @contextmanager
    def hooked(self, *hooks: tuple[str, Callable[..., Tensor]]) -> Generator[None]:
        """Functions of residual and hook are called at hooks of the model while this lasts.

        The library's own `bridge.hooks` lists every hook under each of its names at every call, which takes longer than the
        pass of a small model.
        """
        with self.lock:
            added = [(self._points[name], function) for name, function in hooks]
            level = self.bridge.context_level = self.bridge.context_level + 1
            try:
                for point, function in added:
                    point.add_hook(function, level=level)
                yield
            finally:
                for point, _ in added:
                    point.remove_hooks(level=level)
                self.bridge.context_level = level - 1

    @cached_property
    def _points(self) -> Mapping[str, Any]:
        """The library's hooks by name, other names included."""
        return self.bridge.hook_dict


def _at_hook(edit: ResidualEdit) -> Callable[[Tensor, Any], Tensor]:
    return lambda residual, hook: edit(residual.float()).to(residual.dtype)


def _elsewhere(edit: ResidualEdit | None) -> Mapping[str, ResidualEdit]:
    return getattr(edit, "elsewhere", {})


def name_cache_argument(model: Any) -> str:
    """What a model's `forward` calls its key-value cache: transformers renamed it with 5.24."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def _check_shapes(bench: Workbench) -> None:
    _ = bench.row_width  # refused before anything is read
    check_places(bench.places, bench.bridge, bench.W_U.shape[0], bench.arm_name)
