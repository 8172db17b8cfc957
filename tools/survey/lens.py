"""How a direction of the residual stream is read as tokens: directly, or by its mean effect.

Both lenses are matrices [d_model, d_vocab], so that every feature can be projected exactly and at once.

- `direct`: the processed unembedding, as in the published study. It reads the direction as if no layer came after the
  hook.
- `effect`: the unembedding behind the mean Jacobian of the layers that do come after it. A row says how the logits change,
  to first order and on average over text, per unit step along the direction at all positions: the same intervention as
  steering makes. On a small model the difference is large. Rare words share a direction of the unembedding, which later
  layers and the final norm damp; read directly it leads the lists of dead features and of random directions alike.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from rich.progress import Progress
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.study.definition import LensName


def make_lens(
    bench: Workbench, name: LensName, tokens: Int64[Tensor, "rows positions"], progress: Progress | None = None
) -> Float[Tensor, "d_model d_vocab"]:
    """The matrix that directions are projected on.

    Args:
        bench: model and SAE.
        name: `direct` or `effect`.
        tokens: text the Jacobian is averaged over, BOS first and no padding; not looked at by the direct lens.
        progress: for the 256 to 768 backward passes of the effect lens.
    """
    if name == "direct":
        return bench.W_U
    jacobian = mean_jacobian(bench, tokens, progress)  # [d_model, d_model]
    read = jacobian.T @ bench.head()
    return bench.clear_unused(read - read.mean(dim=1, keepdim=True))


def mean_jacobian(
    bench: Workbench, tokens: Int64[Tensor, "rows positions"], progress: Progress | None = None
) -> Float[Tensor, "d_model d_model"]:
    """Mean over positions of d(normed final residual)/d(residual at the hook), [output, input], BOS left out.

    A step at one position also changes later ones; those changes count, as they do when all positions are steered.
    """
    with torch.enable_grad(), bench.lock:
        start = bench.residuals(tokens).detach().requires_grad_(True)
        final = bench.normed_final_residual(tokens, lambda _: start)  # [rows, positions, d_model]
        outputs = final[:, 1:].sum(dim=(0, 1))
        task = progress.add_task("survey       effect lens", total=len(outputs)) if progress else None
        rows: list[Tensor] = []
        for output in outputs:
            (gradient,) = torch.autograd.grad(output, start, retain_graph=True)
            rows.append(gradient[:, 1:].sum(dim=(0, 1)))
            if progress and task is not None:
                progress.update(task, advance=1)
    return torch.stack(rows) / final[:, 1:, 0].numel()
