"""How a direction of the residual stream is read as tokens: directly, or by its mean effect.

All lenses are matrices [d_model, d_vocab], so that every feature can be projected exactly and at once.

- `direct`: the processed unembedding, as in the published study. It reads the direction as if no layer came after the
  hook.
- `effect`: the unembedding behind the mean Jacobian of the layers that do come after it. A row says how the logits change,
  to first order and on average over text, per unit step along the direction at all positions: the same intervention as
  steering makes. On a small model the difference is large. Rare words share a direction of the unembedding, which later
  layers and the final norm damp; read directly it leads the lists of dead features and of random directions alike.
- `jacobian`: the Jacobian lens as Anthropic published it in 2026, with its reference code `jlens`.

The effect lens is a Jacobian lens but for two things. The published one transports a *state*: it takes a residual to where
it would stand in the last layer, and applies the final norm to that. Ours reads a *step*: a direction has no norm of its own
to divide by, so the Jacobian of the norm at each position is a part of the mean. With the norm's scale held at one value
the two are the same matrix. And the published mean leaves out the first 16 positions of a text and its last, ours BOS
alone unless the study says more (`survey.lens_skip`). Both sum over later positions.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from tools.bench.workbench import Workbench


def make_lens(
    bench: Workbench, name: Literal["effect", "jacobian"], jacobian: Float[Tensor, "d_model d_model"]
) -> Float[Tensor, "d_model d_vocab"]:
    """The matrix that directions are projected on.

    Args:
        bench: model and SAE.
        name: whether the Jacobian ends behind the final norm, or before it; there the norm is held at one scale.
        jacobian: mean of the layers behind the hook, [output, input] (`tools.survey.jacobian`).
    """
    jacobian = jacobian.to(bench.W_U)
    if name == "jacobian":
        return jacobian.T @ bench.W_U
    read = jacobian.T @ bench.head()
    return bench.clear_unused(read - read.mean(dim=1, keepdim=True))
