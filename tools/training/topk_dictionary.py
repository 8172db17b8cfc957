"""A TopK sparse autoencoder as it is trained, one batch a step (Gao et al. 2024, arXiv 2406.04093).

Matrix products are computed in bfloat16 where the processor or the recipe asks for it; weights, the optimiser's state and
the sparse decoder are float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from tools.training.activation_stream import Scale
from tools.training.recipe import SaeRecipe


class TopKDictionary(nn.Module):
    """Encoder and decoder, in units in which activations have a mean norm of sqrt(d_in)."""

    def __init__(self, recipe: SaeRecipe, scale: Scale, seed: int) -> None:
        """Rows of the decoder start at random and of unit length, the encoder as its transpose, the bias at the mean."""
        super().__init__()
        self.recipe, self.seed = recipe, seed
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randn(recipe.d_sae, len(scale.mean), generator=generator)
        rows /= rows.norm(dim=1, keepdim=True)
        self.W_enc = nn.Parameter(rows.T.contiguous())
        self.b_enc = nn.Parameter(torch.zeros(recipe.d_sae))
        self.W_dec = nn.Parameter(rows)
        self.b_dec = nn.Parameter(scale.mean * scale.factor)
        self.register_buffer("quiet", torch.zeros(recipe.d_sae, dtype=torch.int64))
        self.quiet: Int64[Tensor, " d_sae"]
        """Tokens since each feature was last active."""
        self.optimizer = torch.optim.Adam(self.parameters(), lr=recipe.lr, fused=True)

    @property
    def dead(self) -> Bool[Tensor, " d_sae"]:
        """Features that have not been active for as many tokens as the recipe's window spans."""
        return self.quiet >= self.recipe.dead_feature_window * self.recipe.train_batch_size_tokens

    def step(self, batch: Float[Tensor, "batch d_in"], rate: float) -> float:
        """One optimisation step on scaled activations; returns the share of their variance that was explained."""
        precise = self.recipe.precision == "float32"
        with torch.autocast(batch.device.type, torch.bfloat16, enabled=not precise):
            pre = (batch - self.b_dec) @ self.W_enc + self.b_enc
        values, chosen = pre.float().topk(self.recipe.k, dim=1, sorted=False)
        residual = batch - self.b_dec - decode(values.relu(), chosen, self.W_dec)
        variance = (batch - batch.mean(0)).square().sum(1).mean()
        loss = residual.square().sum(1).mean() / variance
        explained = 1 - float(loss.detach())
        dead = self.dead.nonzero()[:, 0]
        if len(dead):
            loss = loss + self.recipe.aux_coefficient * self._revive(pre, residual.detach(), dead)
        loss.backward()
        self._optimise(rate)
        active = torch.zeros_like(self.quiet, dtype=torch.bool)
        active[chosen[values > 0]] = True
        self.quiet += len(batch)
        self.quiet[active] = 0
        return explained

    def _revive(
        self, pre: Float[Tensor, "batch d_sae"], residual: Float[Tensor, "batch d_in"], dead: Int64[Tensor, " dead"]
    ) -> Float[Tensor, ""]:
        """Auxiliary loss: the dead features that come nearest to being active explain what the others left."""
        values, among = pre[:, dead].float().topk(min(len(dead), residual.shape[1] // 2), dim=1, sorted=False)
        left = residual - decode(values.relu(), dead[among], self.W_dec)
        return left.square().sum(1).mean() / residual.square().sum(1).mean().clamp_min(1e-12)

    def _optimise(self, rate: float) -> None:
        with torch.no_grad():  # what would only change a row's length is no news about its direction
            gradient = self.W_dec.grad
            assert gradient is not None
            gradient -= (gradient * self.W_dec).sum(1, keepdim=True) * self.W_dec
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.W_dec /= self.W_dec.norm(dim=1, keepdim=True)

    def state(self) -> dict[str, Tensor]:
        """All that a training goes on from, by name."""
        moments = {
            f"adam.{number}.{name}": value
            for number, slot in self.optimizer.state_dict()["state"].items()
            for name, value in slot.items()
        }
        return {**{f"sae.{name}": value for name, value in self.state_dict().items()}, **moments}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up what `state` gave."""
        self.load_state_dict({name[4:]: value for name, value in state.items() if name.startswith("sae.")})
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            if name.startswith("adam."):
                _, number, key = name.split(".")
                slots.setdefault(int(number), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": slots})

    def save(self, folder: Path, scale: Scale, tokens: int) -> None:
        """Write an inference SAE in SAELens' form, the scale folded in: it reads and writes the residual stream itself."""
        from sae_lens import TopKSAE, TopKSAEConfig

        config = TopKSAEConfig(
            d_in=self.W_enc.shape[0],
            d_sae=self.recipe.d_sae,
            k=self.recipe.k,
            apply_b_dec_to_input=True,
            rescale_acts_by_decoder_norm=False,
            normalize_activations="none",
        )
        config.metadata.hook_name = self.recipe.hook_name
        config.metadata.context_size = self.recipe.context_size
        config.metadata.prepend_bos = True
        config.metadata.training = {"seed": self.seed, "tokens": tokens, "sink_multiple": self.recipe.sink_multiple}
        sae: Any = TopKSAE(config)
        # With unit decoder rows, activations carry the size: W_enc stays, and both biases shrink by the factor.
        folded = {
            "W_enc": self.W_enc,
            "W_dec": self.W_dec,
            "b_enc": self.b_enc / scale.factor,
            "b_dec": self.b_dec / scale.factor,
        }
        sae.load_state_dict({name: value.detach().cpu() for name, value in folded.items()})
        sae.save_model(str(folder))


def decode(
    values: Float[Tensor, "batch k"], chosen: Int64[Tensor, "batch k"], rows: Float[Tensor, "d_sae d_in"]
) -> Float[Tensor, "batch d_in"]:
    """Sums of the chosen rows weighted by the values, without the zeros of all other features."""
    return nn.functional.embedding_bag(chosen, rows, per_sample_weights=values, mode="sum")
