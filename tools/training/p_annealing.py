"""SAEs trained by p-annealing (Karvonen et al. 2024, arXiv 2408.00113), as an architecture of SAELens' registry.

The loss is the mean of the squared norm of the error plus `lambda_s * sum(relu(f) ** p_s)`. The power p starts at 1, where
the penalty is L1, and goes down in equal steps toward L0, which counts active features without shrinking them. With each
step lambda is multiplied by the mean penalty under the old power over that under the new one, on the last few batches: at
the moment of a change the loss stays what it was. The paper writes the norm of the error and not its square; the code that
its authors maintain squares it, and so does every other architecture of SAELens, beside which this one is compared.

What is saved for use is an ordinary standard SAE with decoder rows of unit length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from sae_lens import StandardSAEConfig, StandardTrainingSAE, StandardTrainingSAEConfig, register_sae_training_class
from sae_lens.registry import SAE_TRAINING_CLASS_REGISTRY
from sae_lens.saes.sae import TrainStepInput, TrainStepOutput
from torch import Tensor
from typing_extensions import override

ARCHITECTURE = "p-annealing"
CHORD_BELOW = 1e-3
"""Activations under this are charged along the chord from 0, in units in which the input has a norm of sqrt(d_in). The slope of
f ** p has no bound near 0: one activation of 1e-30 would fill the whole gradient, which SAELens clips to norm 1."""


@dataclass
class PAnnealingTrainingSAEConfig(StandardTrainingSAEConfig):
    """Settings beside those of a standard SAE, whose `l1_coefficient` is lambda while p is `p_start`."""

    decoder_init_norm: float | None = 1.0
    p_start: float = 1.0
    p_end: float = 0.2
    n_changes: int = 10
    """Equal steps from `p_start` to `p_end`."""
    anneal_start: int = 10_000
    """Training step of the first change."""
    anneal_end: int = 30_000
    """Training step at which one more change would follow: each power, the last one too, holds equally long."""
    queue_batches: int = 10
    """Batches that a change of lambda is measured on."""

    @override
    @classmethod
    def architecture(cls) -> str:
        return ARCHITECTURE

    @override
    def get_inference_config_class(self) -> type[StandardSAEConfig]:
        return StandardSAEConfig

    @override
    def __post_init__(self) -> None:
        """Raises ValueError for settings under which there is nothing to anneal."""
        super().__post_init__()
        if not 0 < self.p_end <= self.p_start <= 1:
            raise ValueError(
                f"p goes down from p_start {self.p_start} to p_end {self.p_end}: 0 < p_end <= p_start <= 1"
            )
        if self.n_changes < 1 or self.queue_batches < 1 or self.anneal_start < 0:
            raise ValueError("n_changes and queue_batches are at least 1, anneal_start is not negative")
        if self.anneal_end - self.anneal_start < self.n_changes:
            raise ValueError(
                f"{self.n_changes} changes of p do not fit between training steps {self.anneal_start} and {self.anneal_end}"
            )
        if self.lp_norm != 1:
            raise ValueError("lp_norm is no setting here: p_start and p_end are")

    def changes_by(self, step: int) -> int:
        """How often p has changed when a training step begins."""
        since, span = step - self.anneal_start, self.anneal_end - self.anneal_start
        return 0 if since < 0 else min(self.n_changes, since * self.n_changes // span + 1)

    def p_after(self, changes: int) -> float:
        """The power after so many changes, of which there are `n_changes`."""
        share = min(changes, self.n_changes) / self.n_changes
        return self.p_start + share * (self.p_end - self.p_start)


class PAnnealingTrainingSAE(StandardTrainingSAE):
    """A standard SAE under a penalty whose power goes down; its decoder rows stay of unit length.

    What the annealing has come to is kept with the weights, so that a training of SAELens' goes on from its checkpoint.
    """

    cfg: PAnnealingTrainingSAEConfig  # pyright: ignore[reportIncompatibleVariableOverride]
    changes: Int64[Tensor, ""]
    factor: Float[Tensor, ""]
    """What lambda has been multiplied by."""
    queue: Float[Tensor, "batches 2"]
    """Penalties of the last batches under the power of now, and under the next one."""

    @override
    def initialize_weights(self) -> None:
        super().initialize_weights()
        self.register_buffer("changes", torch.zeros((), dtype=torch.int64, device=self.device))
        self.register_buffer("factor", torch.ones((), device=self.device))
        self.register_buffer("queue", torch.zeros(self.cfg.queue_batches, 2, device=self.device))
        self.W_dec.register_hook(self._project)

    def _project(self, gradient: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "d_sae d_in"]:
        """The gradient without what would only change the rows' lengths."""
        rows = self.W_dec.detach()
        return gradient - (gradient * rows).sum(1, keepdim=True) * rows

    @override
    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        with torch.no_grad():
            self.W_dec.div_(self.get_W_dec_norm()[:, None])
        return super().training_forward_pass(step_input)

    @override
    def calculate_aux_loss(
        self,
        step_input: TrainStepInput,
        feature_acts: Tensor,
        hidden_pre: Tensor,
        sae_out: Tensor,
    ) -> dict[str, Tensor]:
        self._follow(step_input.n_training_steps, feature_acts.detach())
        penalty = sum_powers(feature_acts, self.cfg.p_after(int(self.changes))).mean()
        return {"lp_loss": step_input.coefficients["l1"] * self.factor * penalty}

    def _follow(self, step: int, activations: Float[Tensor, "batch d_sae"]) -> None:
        """Measure the penalty under both powers shortly before a change; at its step, change the power and lambda with it."""
        done = int(self.changes)
        if self.cfg.changes_by(step + self.cfg.queue_batches - 1) == done:
            return  # what the next change is measured on is still to come
        both = [sum_powers(activations, self.cfg.p_after(done + more)).mean() for more in (0, 1)]
        self.queue = torch.cat([self.queue[1:], torch.stack(both).to(self.queue)[None]])
        if self.cfg.changes_by(step) == done:
            return
        now, then = self.queue.sum(0)
        if then > 0:  # else no feature is active, and nothing is charged under either
            self.factor = self.factor * (now / then)
        self.changes = self.changes + 1
        self.queue = torch.zeros_like(self.queue)

    @override
    def process_state_dict_for_saving_inference(self, state_dict: dict[str, Any]) -> None:
        """Leave the annealing's own state out, and fold the decoder's lengths into the encoder: the SAE computes the same."""
        super().process_state_dict_for_saving_inference(state_dict)
        for name in ("changes", "factor", "queue"):
            del state_dict[name]
        norms = self.get_W_dec_norm()
        state_dict["W_dec"] = (state_dict["W_dec"] / norms[:, None]).contiguous()
        state_dict["W_enc"] = (state_dict["W_enc"] * norms).contiguous()
        state_dict["b_enc"] = state_dict["b_enc"] * norms


def sum_powers(activations: Float[Tensor, "batch d_sae"], p: float) -> Float[Tensor, " batch"]:
    """`sum(relu(f) ** p)` over features, along the chord below `CHORD_BELOW`; its gradient at 0 is 0."""
    active = torch.relu(activations)
    powers = active.clamp_min(CHORD_BELOW) ** p
    return torch.where(active < CHORD_BELOW, active * CHORD_BELOW ** (p - 1), powers).sum(-1)


def register() -> None:
    """Make the architecture known to SAELens, once."""
    if ARCHITECTURE not in SAE_TRAINING_CLASS_REGISTRY:
        register_sae_training_class(ARCHITECTURE, PAnnealingTrainingSAE, PAnnealingTrainingSAEConfig)
