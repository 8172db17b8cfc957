"""A sparse autoencoder as the instruments use it: in units of the residual stream, for all of its features or for some.

Whatever norms it was trained with and however it normalises its input, `activation * direction` is what it writes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tools.bench.preactivations import Preactivations, readers, top_k_classes

NORMALISATIONS = ("none", "layer_norm", "constant_norm_rescale", "constant_scalar_rescale")
"""Run-time normalisations of SAELens that are reproduced here."""
_LAYER_NORM_EPS = 1e-5
SHORTEST = 1e-8
"""Length of a decoder row below which it is taken for 0: nothing can be said of where it points."""

ColumnEncoder = Callable[[Any, Float[Tensor, "rows d_model"], Int64[Tensor, " n"]], Float[Tensor, "rows n"]]


class Normalised(NamedTuple):
    """Input as the SAE reads it, and the way back: what it writes is its output times `scale` plus `shift`."""

    rows: Float[Tensor, "*batch d_model"]
    scale: Float[Tensor, "*batch 1"] | None
    """None: it is written as it is."""
    shift: Float[Tensor, "*batch 1"] | None


class Autoencoder:
    """An SAE of SAELens. Without state of its own between calls, unlike the library's run-time normalisation."""

    def __init__(self, sae: Any) -> None:
        """Takes the SAE over: its run-time normalisation is done here from now on."""
        from sae_lens import TemporalSAE

        self.sae = sae
        self.normalisation = str(sae.cfg.normalize_activations)
        sae.run_time_activation_norm_fn_in = sae.run_time_activation_norm_fn_out = _leave
        trained_with = sae.cfg.metadata.model_from_pretrained_kwargs or {}
        self.centred = bool(trained_with.get("center_writing_weights"))
        self.reads_context = isinstance(sae, TemporalSAE)
        norms = sae.W_dec.detach().float().norm(dim=1)
        carried = bool(getattr(sae.cfg, "rescale_acts_by_decoder_norm", False))
        self.written_norms: Float[Tensor, " d_sae"] = torch.ones_like(norms) if carried else norms
        """What a unit activation of the library's writes; 1 where its activations carry the decoder norms already."""
        self.empty: Bool[Tensor, " d_sae"] = ~((norms >= SHORTEST) & norms.isfinite())
        """Features whose decoder row is 0, as training leaves some: they write nothing, and have no direction."""
        self.directions: Float[Tensor, "d_sae d_model"] = (
            sae.W_dec.detach().float() / norms.clamp_min(SHORTEST)[:, None]
        )
        """Unit decoder rows; zeros where there is none."""
        self.directions[self.empty] = 0
        self._divides_by_norms = carried and bool(self.empty.any())
        self.k: int | None = int(sae.cfg.k) if type(sae) in top_k_classes() else None
        """How many features compete their way into each reconstruction; None where nothing bounds them."""
        self.signed = self.k is not None and type(sae) is top_k_classes()[-1]
        """Features write either way, and are ranked by how much."""
        self._reader = readers().get(type(sae))
        self._ranking_norms = norms if carried else None

    @torch.no_grad()
    def encode(
        self, residuals: Float[Tensor, "*batch d_model"], features: Int64[Tensor, " n"] | None = None
    ) -> Float[Tensor, "*batch n"]:
        """Feature activations in residual units; of all features or of those listed.

        An SAE trained on a model with centred writing weights never saw the residual stream's mean over d_model, which
        is all that such processing changes there; it is taken out for it. Where features depend on each other or on
        earlier positions all of them are encoded, and the last batch axis has to be the position for the latter.
        An SAE whose features write both ways has negative activations too.
        """
        read = self._normalise(self._centre(residuals.to(self.sae.W_dec.dtype)))
        norms = self.written_norms if features is None else self.written_norms[features]
        activations = self._encode_rows(read.rows, features).float() * norms
        return activations if read.scale is None else activations * read.scale

    @torch.no_grad()
    def decode(
        self,
        activations: Float[Tensor, "*batch d_sae"],
        residuals: Float[Tensor, "*batch d_model"] | None = None,
    ) -> Float[Tensor, "*batch d_model"]:
        """The reconstruction from activations as `encode` gives them.

        Args:
            activations: of all features.
            residuals: what was encoded; only an SAE that normalises its input needs it.

        Raises:
            ValueError: it does, and there is none.
        """
        if self.normalisation != "none" and residuals is None:
            raise ValueError(f"an SAE that reads its input through {self.normalisation} is decoded with that input")
        dtype = self.sae.W_dec.dtype
        coded = activations / self.written_norms.clamp_min(SHORTEST)
        _, scale, shift = (
            self._normalise(residuals.to(dtype)) if residuals is not None else Normalised(coded, None, None)
        )
        written = self._write((coded if scale is None else coded / scale).to(dtype))
        written = written if scale is None else written * scale
        return (written if shift is None else written + shift).float()

    @property
    def has_preactivations(self) -> bool:
        """Whether each feature is read by a number of its own, before and whatever the others do."""
        return self._reader is not None

    @torch.no_grad()
    def preactivations(self, residuals: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_sae"]:
        """What the activation function reads, in residual units: negative too, where a feature is far from active.

        Raises:
            TypeError: the SAE has none (`has_preactivations`).
        """
        read = self.read_preactivations(residuals.reshape(-1, residuals.shape[-1]))
        found = read.own * self.written_norms
        found = found if read.scale is None else found * read.scale
        return found.reshape(*residuals.shape[:-1], found.shape[-1])

    def read_preactivations(self, rows: Float[Tensor, "n d_model"]) -> Preactivations:
        """The same in the SAE's own units, which its activation function chooses by.

        Raises:
            TypeError: the SAE has none.
        """
        if self._reader is None:
            raise TypeError(f"a {type(self.sae).__name__} has no pre-activations")
        read = self._normalise(self._centre(rows.to(self.sae.W_dec.dtype)))
        own = self._reader(self.sae, self.sae.process_sae_in(read.rows)).float()
        return Preactivations(own if self._ranking_norms is None else own.mul_(self._ranking_norms), read.scale)

    def write_some(
        self, features: Int64[Tensor, "n m"], activations: Float[Tensor, "n m"]
    ) -> Float[Tensor, "n d_model"]:
        """What some features write at such activations, in residual units; no bias."""
        return torch.nn.functional.embedding_bag(
            features, self.directions, per_sample_weights=activations.to(self.directions), mode="sum"
        )

    @torch.no_grad()
    def bias(self, rows: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_model"]:
        """The reconstruction of these rows if no feature were active."""
        _, scale, shift = self._normalise(rows.to(self.sae.W_dec.dtype))
        written = self.sae.b_dec.expand_as(rows) if scale is None else self.sae.b_dec * scale
        return (written if shift is None else written + shift).float()

    def _write(self, coded: Float[Tensor, "*batch d_sae"]) -> Float[Tensor, "*batch d_model"]:
        """The SAE's own output. Where activations carry decoder norms the library divides by those, of empty rows too."""
        if self._divides_by_norms:
            return coded @ self.directions.to(coded.dtype) + self.sae.b_dec
        return self.sae.decode(coded)

    def _centre(self, rows: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        return rows - rows.mean(dim=-1, keepdim=True) if self.centred else rows

    def _normalise(self, rows: Float[Tensor, "*batch d_model"]) -> Normalised:
        """As SAELens does at run time (`SAE._setup_activation_normalization`), without keeping the scale on the SAE."""
        if self.normalisation == "layer_norm":
            mean = rows.mean(dim=-1, keepdim=True)
            deviation = (rows - mean).std(dim=-1, keepdim=True)
            return Normalised((rows - mean) / (deviation + _LAYER_NORM_EPS), deviation, mean)
        if self.normalisation == "constant_norm_rescale":
            scale = rows.norm(dim=-1, keepdim=True) / rows.shape[-1] ** 0.5
            return Normalised(rows / scale, scale, None)
        if self.normalisation == "constant_scalar_rescale":
            factor = float(self.sae.cfg.activation_normalization_factor)
            return Normalised(rows * factor, torch.full_like(rows[..., :1], 1 / factor), None)
        return Normalised(rows, None, None)

    def _encode_rows(
        self, rows: Float[Tensor, "*batch d_model"], features: Int64[Tensor, " n"] | None
    ) -> Float[Tensor, "*batch n"]:
        by_column = _column_encoders().get(type(self.sae)) if features is not None else None
        if by_column is not None and features is not None:
            coded = by_column(self.sae, self.sae.process_sae_in(rows.reshape(-1, rows.shape[-1])), features)
        else:
            length = rows.shape[-2] if self.reads_context and rows.ndim > 1 else 1
            shape = (-1, length, rows.shape[-1]) if self.reads_context else (-1, rows.shape[-1])
            coded = self.sae.encode(rows.reshape(shape))
            coded = coded if features is None else coded[..., features]
        return coded.reshape(*rows.shape[:-1], coded.shape[-1])


@cache
def _column_encoders() -> dict[type, ColumnEncoder]:
    """Architectures whose features are independent of each other, with what computes a few of them alone.

    By exact class: a subclass may change how features are encoded. Every other architecture is encoded in full: in
    top-k ones (topk, abstopk) and in matching pursuit features compete, and a temporal one reads earlier positions.
    BatchTopK and Matryoshka SAEs are saved as JumpReLU ones.
    """
    from sae_lens import GatedSAE, JumpReLUSAE, StandardSAE

    return {StandardSAE: _encode_standard, GatedSAE: _encode_gated, JumpReLUSAE: _encode_jumprelu}


def _encode_standard(
    sae: Any, rows: Float[Tensor, "rows d_model"], features: Int64[Tensor, " n"]
) -> Float[Tensor, "rows n"]:
    return sae.activation_fn(rows @ sae.W_enc[:, features] + sae.b_enc[features])


def _encode_gated(
    sae: Any, rows: Float[Tensor, "rows d_model"], features: Int64[Tensor, " n"]
) -> Float[Tensor, "rows n"]:
    weights = sae.W_enc[:, features]
    is_open = rows @ weights + sae.b_gate[features] > 0
    return sae.activation_fn(rows @ (weights * sae.r_mag[features].exp()) + sae.b_mag[features]) * is_open


def _encode_jumprelu(
    sae: Any, rows: Float[Tensor, "rows d_model"], features: Int64[Tensor, " n"]
) -> Float[Tensor, "rows n"]:
    before = rows @ sae.W_enc[:, features] + sae.b_enc[features]
    return sae.activation_fn(before) * (before > sae.threshold[features])


def _leave(rows: Tensor) -> Tensor:
    return rows
