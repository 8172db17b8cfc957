"""Whether an SAE belongs to the model and the hook it is run with, and whether two arms are two models.

Any SAE that reads as many dimensions as the residual stream has runs without complaint. What tells is how well it
reconstructs: nothing at all where it does not belong, and at a neighbouring layer well enough to look right, but less
well than at its own.

Measured on study `pocket`, whose SAEs were trained at layer 3, three training seeds for the base arm and two for the
fine-tuned one; explained variance, on 789 tokens:

    at layer                 0        1        2        3        4
    own model          below 0     0.52     0.70     0.81     0.67
    the other arm's    below 0     0.50     0.67     0.78     0.64

Random encoders, random decoders and decoders in another order explain less than nothing at any layer. So a wrong layer
shows against the other layers, and an SAE of the other arm only against the arm's own (`check_arms`): its figure alone
is that of a good SAE.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tools.bench.positions import without_sinks
from tools.bench.workbench import Workbench
from tools.dictionaries.reconstruction import batches, explained_variance, spread_rows
from tools.errors import LoadError
from tools.proof.outcome import Probe
from tools.records import Record
from tools.study.corpus import TokenRows
from tools.study.definition import SplitName, Study

PROBE_ROWS, PROBE_WIDTH = 8, 128
LOWEST_EXPLAINED = 0.25
"""The least that is taken for a reconstruction at all; where SAEs do not belong most explain less than nothing."""
MARGIN = 0.05
"""By so much another layer may be explained better by chance."""
LEAST_ADVANTAGE = 0.005
"""`ArmsProbe.advantage` of `pocket`: 0.075 with either arm's own SAEs, whatever their seeds; -0.075 with exchanged ones;
at most 0.001 from 0 with two of one arm."""
SAME_MODEL_NATS = 1e-3
"""A copy of `pocket`'s base model in bfloat16 differs by 0.00004, the fine-tuned model by 0.5."""


class _Stream(NamedTuple):
    """The residual stream at the hook, BOS left out, and which of it is text."""

    body: Float[Tensor, "rows text d_model"]
    text: Bool[Tensor, "rows text"]

    @classmethod
    def read(cls, bench: Workbench, rows: TokenRows) -> _Stream:
        residuals = bench.residuals(torch.from_numpy(rows.tokens))
        return cls(residuals[:, 1:], bench.is_text(residuals, torch.from_numpy(rows.real))[:, 1:])


class ArmsProbe(Record):
    """Two arms on a short text: two models, and either's variance as explained by its own and by the other's SAE."""

    n_tokens: int
    divergence: float
    """Mean KL divergence of the next-token distributions in nats, right from left."""
    left_own: float
    left_by_right: float
    """The left model's residual stream under the right arm's SAE."""
    right_own: float
    right_by_left: float
    least_advantage: float

    @property
    def advantage(self) -> float:
        """How much better the SAEs explain their own models, both differences added up.

        Neither that one SAE is the better one nor that one model is the easier to explain changes it. 0 if both SAEs
        were trained on one model, below 0 if they are exchanged.
        """
        return (self.left_own - self.left_by_right) + (self.right_own - self.right_by_left)


def probe_rows(bench: Workbench, study: Study, split: SplitName = "train", most: int = PROBE_ROWS) -> TokenRows:
    """A short text from the study's corpus, spread over it.

    Raises:
        StudyError, LoadError: as `Corpus.passages`.
    """
    return spread_rows(bench.read_text(study, split, min(bench.row_width, PROBE_WIDTH)), most)


def probe_reconstruction(bench: Workbench, rows: TokenRows) -> Probe:
    """How much of the variance the SAE explains, at the hook it is put at and at every other place.

    Raises:
        LoadError: somewhere that is no number, so that nothing could be said by it.
    """
    tokens, real = torch.from_numpy(rows.tokens), torch.from_numpy(rows.real)
    places = _residual_hooks(bench)
    streams = _read_stream(bench, tokens, [name for name in places if name != bench.hook_name])
    explained = {
        name: explained_variance(bench.autoencoder, stream[:, 1:], without_sinks(stream, real)[:, 1:])
        for name, stream in streams.items()
    }
    own = _Stream.read(bench, rows)
    explained[bench.hook_name] = explained_variance(bench.autoencoder, *own)
    for name, share in explained.items():
        if not math.isfinite(share):
            raise LoadError(
                f"the SAE of arm {bench.arm_name} explains a share of the variance at {name} that is no number"
            )
    return Probe(
        hook_name=bench.hook_name,
        n_tokens=int(own.text.sum()),
        explained_variance=explained.pop(bench.hook_name),
        elsewhere=explained,
        lowest=LOWEST_EXPLAINED,
        margin=MARGIN,
        without_direction=int(bench.autoencoder.empty.sum()),
        usual_norm=bench.usual_norm,
        sink_multiple=bench.sink_multiple,
        sinks=int(rows.real.sum()) - int(own.text.sum()),
    )


def check_reconstruction(bench: Workbench, rows: TokenRows) -> Probe:
    """Find out whether the SAE belongs at the hook it is put at (`Probe.doubt`).

    Raises:
        LoadError: it does not.
    """
    probe = probe_reconstruction(bench, rows)
    if probe.doubt is not None:
        raise LoadError(f"the SAE of arm {bench.arm_name} {probe.doubt}")
    return probe


def check_arms(left: Workbench, right: Workbench, rows: TokenRows) -> ArmsProbe:
    """Find out whether two arms are two models, each with its own SAE rather than with the other's.

    Raises:
        LoadError: they predict the same, are read with one SAE or at two hooks, differ in vocabulary or width, or the
            SAEs explain the other arm's model no worse than their own.
    """
    names = f"arms {left.arm_name} and {right.arm_name}"
    if left.hook_name != right.hook_name:
        raise LoadError(f"{names} are read at {left.hook_name} and {right.hook_name}: study both at one hook")
    if left.W_U.shape != right.W_U.shape or left.directions.shape[1] != right.directions.shape[1]:
        raise LoadError(f"{names} differ in vocabulary or width, so neither model can be read with the other's SAE")
    divergence = model_divergence(left, right, rows)
    if divergence < SAME_MODEL_NATS:
        raise LoadError(
            f"{names} are the same model ({divergence:.1g} nats a token between their predictions): "
            "the fine-tuned weights were not loaded; give the folder that holds them"
        )
    if left.directions.shape == right.directions.shape and torch.equal(left.directions, right.directions):
        raise LoadError(f"{names} are read with the same SAE: give each the SAE trained on its own model")
    on_left, on_right = (_Stream.read(bench, rows) for bench in (left, right))
    probe = ArmsProbe(
        n_tokens=int(rows.real.sum()),
        divergence=divergence,
        left_own=explained_variance(left.autoencoder, *on_left),
        left_by_right=explained_variance(right.autoencoder, *on_left),
        right_own=explained_variance(right.autoencoder, *on_right),
        right_by_left=explained_variance(left.autoencoder, *on_right),
        least_advantage=LEAST_ADVANTAGE,
    )
    if not math.isfinite(probe.advantage + probe.divergence):
        raise LoadError(f"{names} are compared by figures that are no numbers: {probe.model_dump()}")
    if probe.advantage < LEAST_ADVANTAGE:
        raise LoadError(
            f"the SAEs of {names} explain the other arm's model no worse than their own "
            f"({probe.left_by_right:.1%} and {probe.right_by_left:.1%} of the variance against {probe.left_own:.1%} and "
            f"{probe.right_own:.1%}): they are exchanged, both were trained on one model, or the models hardly differ"
        )
    return probe


@torch.no_grad()
def model_divergence(left: Workbench, right: Workbench, rows: TokenRows) -> float:
    """Mean KL divergence of the next-token distributions over a text, in nats; 0 for two copies of the same weights.

    Unlike the hash of a file it sees through another file format or precision.
    """
    total = 0.0
    for tokens, real in batches(rows):
        counted = real[:, 1:].to(left.device)
        log_left, log_right = (
            bench.logits(tokens)[:, :-1].to(left.device)[counted].log_softmax(dim=-1) for bench in (left, right)
        )
        total += float(torch.nn.functional.kl_div(log_right, log_left, reduction="sum", log_target=True))
    return total / int(rows.real.sum())


def _residual_hooks(bench: Workbench) -> list[str]:
    n_layers = int(bench.bridge.cfg.n_layers)
    return [*(f"blocks.{layer}.hook_resid_pre" for layer in range(n_layers)), f"blocks.{n_layers - 1}.hook_resid_post"]


def _read_stream(
    bench: Workbench, tokens: Int64[Tensor, "rows positions"], hook_names: list[str]
) -> dict[str, Float[Tensor, "rows positions d_model"]]:
    """The residual stream at several places, in one pass."""
    found: dict[str, Tensor] = {}

    def keep(residual: Tensor, hook: Any, name: str) -> Tensor:
        found[name] = residual.detach().float()
        return residual

    with bench.hooked(*((name, partial(keep, name=name)) for name in hook_names)):
        bench.final_residual(tokens)
    return found
