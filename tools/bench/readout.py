"""How a model reads logits off its last residual stream, measured on the model itself.

Families write the same step differently: Gemma's norm multiplies by 1 + weight, OLMo's has no weight, Cohere, Granite and
others scale the logits, Gemma 2 bends them, OPT's smallest relatives have no norm at all. So nothing is taken from a name:
the norm is probed with vectors, the last step is fitted to the model's own logits, and what is left over is an error.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tools.errors import LoadError

PROBES = 64
_TINY = 1e-2
"""Length of the probes that tell the norm's epsilon, per dimension."""
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""Relative error up to which logits count as reproduced; rounding alone makes about a tenth of it."""
_SATURATED = 0.9
"""Share of a soft cap beyond which a logit says nothing about its argument."""


class FinalNorm(NamedTuple):
    """The final norm as a formula: `weight * (x - mean) / sqrt(mean square + eps)`, and a constant that is left out."""

    weight: Float[Tensor, " d_model"] | None
    """None: there is no final norm."""
    centred: bool
    """The mean over d_model is taken out first, as LayerNorm does and RMSNorm does not."""
    eps: float

    def scale_of(self, residual: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch"]:
        """What the norm divides a residual by."""
        if self.weight is None:
            return torch.ones(residual.shape[:-1], device=residual.device)
        if self.centred:
            residual = residual - residual.mean(dim=-1, keepdim=True)
        return residual.pow(2).mean(dim=-1).add(self.eps).sqrt()


class LastStep(NamedTuple):
    """What a model does with its unembedding's output: `cap * tanh(scale * output / cap)`, or `scale * output`."""

    scale: float
    cap: float | None

    def apply(self, output: Float[Tensor, "*batch d_vocab"]) -> Float[Tensor, "*batch d_vocab"]:
        """The model's logits."""
        scaled = output if self.scale == 1 else output * self.scale
        return scaled if self.cap is None else self.cap * torch.tanh(scaled / self.cap)

    def undo_cap(self, logits: Float[Tensor, "*batch d_vocab"]) -> Float[Tensor, "*batch d_vocab"]:
        """The model's logits before they were bent: linear in what the final norm gives."""
        if self.cap is None:
            return logits
        return self.cap * torch.atanh((logits / self.cap).clamp(-1 + 1e-7, 1 - 1e-7))


class Readout(NamedTuple):
    """Final norm and last step of one model; between them stands its unembedding."""

    norm: FinalNorm
    step: LastStep

    def head(self, W_U: Float[Tensor, "d_model d_vocab"]) -> Float[Tensor, "d_model d_vocab"]:
        """Logits per unit of what the final norm gives, before they are bent: the unembedding, scaled."""
        unembedding = W_U.detach().float()
        return unembedding if self.step.scale == 1 else unembedding * self.step.scale

    def process(self, W_U: Float[Tensor, "d_model d_vocab"]) -> Float[Tensor, "d_model d_vocab"]:
        """The unembedding a direction is projected on: the final norm's weight folded in, both means taken out.

        A norm that takes out the mean over d_model ignores it, and softmax the mean over the vocabulary; without both,
        one shared direction of the unembedding would lead every list. RMSNorm keeps its mean, so only the second is
        taken out there.
        """
        folded = self.head(W_U)
        if self.norm.weight is not None:
            folded = folded * self.norm.weight[:, None]
        if self.norm.centred:
            folded = folded - folded.mean(dim=0, keepdim=True)
        return folded - folded.mean(dim=1, keepdim=True)


def measure_readout(bridge: Any, tokens: Int64[Tensor, "rows positions"], n_tokens: int) -> Readout:
    """Measure it, and check it against the model's own logits.

    Args:
        bridge: the model.
        tokens: a few rows to compare logits on.
        n_tokens: the vocabulary without its padding.

    Raises:
        LoadError: the logits are not what a norm, an unembedding and a last step of any known form make of the residual
            stream, so that a projection would say nothing about them.
    """
    d_model = int(bridge.cfg.d_model)
    if bridge.W_U.shape[0] != d_model:
        raise LoadError(_unreadable(bridge, f"its unembedding reads {bridge.W_U.shape[0]} dimensions, not {d_model}"))
    return Readout(
        measure_norm(getattr(bridge, "ln_final", None), d_model, bridge.W_U), _fit_last_step(bridge, tokens, n_tokens)
    )


@torch.no_grad()
def measure_norm(norm: Any, d_model: int, like: Tensor) -> FinalNorm:
    """A norm's formula from what it makes of random vectors and of their opposites, which share its constant.

    Args:
        norm: the module; None if the model has none.
        d_model: what it reads.
        like: a tensor of the model's dtype and device.

    Raises:
        LoadError: it has another formula.
    """
    if norm is None:
        return FinalNorm(None, False, 0.0)
    generator = torch.Generator().manual_seed(0)
    probes = torch.randn(PROBES, d_model, generator=generator).to(like)

    def odd(x: Tensor) -> Tensor:
        return (norm(x[None])[0].float() - norm(-x[None])[0].float()) / 2

    shift = (odd(probes + 1) - odd(probes)).abs().mean()
    centred = bool(shift < 0.1 * odd(probes).abs().mean())
    read = probes.float()
    read = read - read.mean(dim=1, keepdim=True) if centred else read
    read = read / read.pow(2).mean(dim=1, keepdim=True).sqrt()
    made = odd(probes)
    weight = (made * read).sum(dim=0) / read.pow(2).sum(dim=0)
    weight = _exact(norm, weight, like.dtype)
    error = (made - weight * read).norm() / made.norm().clamp_min(1e-30)
    if not bool(error < TOLERANCE.get(like.dtype, 5e-2)):
        raise LoadError("the model's final norm is neither a LayerNorm nor an RMSNorm, so that no projection reads it")
    return FinalNorm(weight, centred, _measure_eps(odd, probes, weight, centred))


def _measure_eps(odd: Any, probes: Tensor, weight: Tensor, centred: bool) -> float:
    """From probes so short that epsilon is a large part of what they are divided by."""
    short = (probes * _TINY).float()
    read = short - short.mean(dim=1, keepdim=True) if centred else short
    gain = (odd(probes * _TINY) * weight * read).sum(dim=1) / (weight * read).pow(2).sum(dim=1)
    eps = gain.pow(-2) - read.pow(2).mean(dim=1)
    return max(0.0, float(eps.median()))


def _exact(norm: Any, measured: Tensor, dtype: torch.dtype) -> Tensor:
    """The stored weight, or one more than it, where that is what was measured: it has all of its digits."""
    stored = getattr(norm, "weight", None)
    stored = None if stored is None else stored.detach().float()
    candidates = [torch.ones_like(measured)] if stored is None else [stored, 1 + stored]
    for candidate in candidates:
        if bool((candidate - measured).norm() <= TOLERANCE.get(dtype, 5e-2) * measured.norm()):
            return candidate
    return measured


@torch.no_grad()
def _fit_last_step(bridge: Any, tokens: Tensor, n_tokens: int) -> LastStep:
    caught: list[Tensor] = []

    def keep(residual: Tensor, hook: Any) -> Tensor:
        caught.append(residual)
        return residual

    last = f"blocks.{int(bridge.cfg.n_layers) - 1}.hook_resid_post"
    with bridge.hooks(fwd_hooks=[(last, keep)]):
        logits = bridge(tokens, return_type="logits").float()[..., :n_tokens]
    if not caught:
        raise LoadError(_unreadable(bridge, "TransformerLens has no hook behind its last layer"))
    norm = getattr(bridge, "ln_final", None)
    normed = caught[0] if norm is None else norm(caught[0])
    output = bridge.unembed(normed).float()[..., :n_tokens]
    step = _fit(output, logits, _cap_of(bridge))
    centred = _centred(logits)
    size = centred.norm()
    if not bool(size > 0):
        raise LoadError("the model's logits are the same for every token: its weights are zero, or were never loaded")
    error = float((_centred(step.apply(output)) - centred).norm() / size)
    if not error < TOLERANCE.get(bridge.W_U.dtype, 5e-2):
        raise LoadError(_unreadable(bridge, f"what is left over is {error:.0%} of them"))
    return step


def _fit(output: Tensor, logits: Tensor, cap: float | None) -> LastStep:
    """Least squares; under a cap of the logits that it has hardly bent."""
    if cap is None:
        made, wanted = _centred(output), _centred(logits)
    else:
        straight = logits.abs() < _SATURATED * cap
        made, wanted = output[straight], LastStep(1, cap).undo_cap(logits)[straight]
    square = float((made * made).sum())
    scale = float((made * wanted).sum()) / square if square > 0 else 1.0
    return LastStep(1.0 if abs(scale - 1) < 1e-2 else scale, cap)


def _centred(logits: Tensor) -> Tensor:
    return logits - logits.mean(dim=-1, keepdim=True)


def _cap_of(bridge: Any) -> float | None:
    config = bridge.original_model.config
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    cap = getattr(config, "final_logit_softcapping", None) or getattr(config, "logits_soft_cap", None)
    return float(cap) if cap else None


def _unreadable(bridge: Any, why: str) -> str:
    kind = type(bridge.original_model).__name__
    return (
        f"the logits of this model ({kind}) are not what its final norm and unembedding make of its last residual "
        f"stream ({why}): it cannot be studied"
    )
