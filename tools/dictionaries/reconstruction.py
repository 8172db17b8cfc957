"""How well an SAE stands in for the residual stream: squared error, loss of the next token, sparsity.

BOS and attention sinks are left out of everything but the loss, and are never replaced: SAEs are seldom trained on
them, and their residuals are far longer than any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tools.bench.autoencoder import Autoencoder
from tools.bench.workbench import ResidualEdit, Workbench
from tools.display.progress import track
from tools.records import Record
from tools.study.corpus import TokenRows

TOKENS_PER_BATCH = 1024
"""The logits of more tokens fall out of the processor's cache."""


class Reconstruction(Record):
    """One SAE on one text; losses in nats a token."""

    n_tokens: int
    fvu: float
    """Fraction of variance unexplained: squared error over squared distance from the text's mean residual."""
    ce_clean: float
    ce_spliced: float
    """With the reconstruction in place of the residual."""
    ce_zeroed: float
    """With 0 in its place."""
    ce_mean: float
    """With the text's mean residual in its place."""
    l0: float
    """Mean number of active features a token."""
    dead_share: float
    """Features active at no token of the text."""

    @property
    def explained_variance(self) -> float:
        """1 - FVU; 0 is what the mean explains."""
        return 1 - self.fvu

    @property
    def ce_score(self) -> float:
        """Share of the loss from zeroing the residual that the reconstruction recovers."""
        return (self.ce_zeroed - self.ce_spliced) / (self.ce_zeroed - self.ce_clean)

    @property
    def ce_score_mean(self) -> float:
        """The same against the mean residual: a stricter score, for the mean needs no features."""
        return (self.ce_mean - self.ce_spliced) / (self.ce_mean - self.ce_clean)

    @property
    def alive_share(self) -> float:
        """Features active somewhere in the text."""
        return 1 - self.dead_share


class Measured(NamedTuple):
    """Figures of an SAE, and at how many tokens each of its features is active."""

    figures: Reconstruction
    counts: Int64[Tensor, " d_sae"]


class Rebuilt(NamedTuple):
    """Activations and what they write, at all positions but BOS."""

    activations: Float[Tensor, "rows text d_sae"]
    residuals: Float[Tensor, "rows text d_model"]


class _Bare(NamedTuple):
    """Running sums of a text without an SAE."""

    losses: Float[np.ndarray, " losses"]
    """With the residual as it is, with 0 and with the mean in its place."""
    variance: float
    n_predicted: int
    n_counted: int
    """Without attention sinks."""


class _Tally:
    """Running sums of one SAE over a text."""

    def __init__(self, autoencoder: Autoencoder, device: torch.device) -> None:
        self.autoencoder = autoencoder
        self.counts: Int64[Tensor, " d_sae"] = torch.zeros(
            len(autoencoder.directions), dtype=torch.int64, device=device
        )
        self.error = self.spliced = 0.0


def measure_reconstruction(
    bench: Workbench,
    rows: TokenRows,
    autoencoder: Autoencoder | None = None,
    description: str = "",
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> Measured:
    """Run an SAE on a model's residual stream and put its reconstruction in its place.

    Args:
        bench: the model, and the hook.
        rows: the text.
        autoencoder: any that reads as many dimensions; without it the model's own.
        description: for a progress bar; none without it.
        tokens_per_batch: most tokens at a time, but for a single row.
    """
    (measured,) = measure_side_by_side(bench, rows, [autoencoder or bench.autoencoder], description, tokens_per_batch)
    return measured


def measure_side_by_side(
    bench: Workbench,
    rows: TokenRows,
    autoencoders: Sequence[Autoencoder],
    description: str = "",
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> list[Measured]:
    """The same for several SAEs, which share the passes of the model without one."""
    mean = mean_residual(bench, rows)
    tallies = [_Tally(autoencoder, bench.device) for autoencoder in autoencoders]
    bare = _Bare(np.zeros(3), 0.0, int(rows.real.sum()), 0)
    parts = list(batches(rows, tokens_per_batch))
    for tokens, real in track(parts, description, len(parts)) if description else parts:
        residuals = bench.residuals(tokens)
        text, body = bench.is_text(residuals, real)[:, 1:], residuals[:, 1:]
        put = partial(_replace, residuals, real[:, 1:].to(text.device) & ~text)
        edits = [None, *(put(each) for each in (torch.zeros_like(body), mean.to(body).expand_as(body)))]
        bare = bare._replace(
            losses=bare.losses + [next_token_loss(bench, tokens, real, edit) for edit in edits],
            variance=bare.variance + float((body[text].double() - mean).pow(2).sum()),
            n_counted=bare.n_counted + int(text.sum()),
        )
        for tally in tallies:
            activations, rebuilt = rebuild(tally.autoencoder, body)
            tally.counts += (activations[text] != 0).sum(dim=0)
            tally.error += float((body - rebuilt)[text].double().pow(2).sum())
            tally.spliced += next_token_loss(bench, tokens, real, put(rebuilt))
    return [_describe(tally, bare) for tally in tallies]


def _describe(tally: _Tally, bare: _Bare) -> Measured:
    clean, zeroed, averaged = (bare.losses / bare.n_predicted).tolist()
    figures = Reconstruction(
        n_tokens=bare.n_counted,
        fvu=tally.error / bare.variance,
        ce_clean=clean,
        ce_spliced=tally.spliced / bare.n_predicted,
        ce_zeroed=zeroed,
        ce_mean=averaged,
        l0=float(tally.counts.sum()) / bare.n_counted,
        dead_share=float((tally.counts == 0).double().mean()),
    )
    return Measured(figures, tally.counts.cpu())


def rebuild(autoencoder: Autoencoder, body: Float[Tensor, "rows text d_model"]) -> Rebuilt:
    """An SAE run on the residual stream."""
    activations = autoencoder.encode(body)
    return Rebuilt(activations, autoencoder.decode(activations, body))


def explained_variance(
    autoencoder: Autoencoder, body: Float[Tensor, "rows text d_model"], text: Bool[Tensor, "rows text"]
) -> float:
    """1 - FVU over the text given, whatever residual stream that is."""
    residuals = body[text].double()
    error = residuals - rebuild(autoencoder, body).residuals[text]
    return 1 - float(error.pow(2).sum() / (residuals - residuals.mean(dim=0)).pow(2).sum())


def mean_residual(bench: Workbench, rows: TokenRows) -> Float[Tensor, " d_model"]:
    """Over the text, in double precision."""
    summed = torch.zeros(bench.W_U.shape[0], dtype=torch.float64, device=bench.device)
    counted = 0
    for tokens, real in batches(rows):
        residuals = bench.residuals(tokens)
        text = bench.is_text(residuals, real)
        summed += residuals[text].double().sum(dim=0)
        counted += int(text.sum())
    return summed / counted


def next_token_loss(
    bench: Workbench,
    tokens: Int64[Tensor, "rows positions"],
    counted: Bool[Tensor, "rows positions"],
    edit: ResidualEdit | None = None,
) -> float:
    """Cross entropy in nats, summed over the tokens that count; position 0, which nothing predicts, never does."""
    logits = bench.logits(tokens, edit)[:, :-1].flatten(0, 1)
    targets = tokens[:, 1:].masked_fill(~counted[:, 1:], -100).flatten().to(logits.device)
    return float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum", ignore_index=-100))


def batches(
    rows: TokenRows, most_tokens: int = TOKENS_PER_BATCH
) -> Iterator[tuple[Int64[Tensor, "batch width"], Bool[Tensor, "batch width"]]]:
    """The rows, with True at text, in parts that fit a cache."""
    size = max(1, most_tokens // rows.tokens.shape[1])
    for start in range(0, len(rows.tokens), size):
        part = slice(start, start + size)
        yield torch.from_numpy(rows.tokens[part]), torch.from_numpy(rows.real[part])


def spread_rows(rows: TokenRows, most: int) -> TokenRows:
    """At most so many rows, spread evenly over the text."""
    kept = np.unique(np.linspace(0, len(rows.tokens) - 1, most).round().astype(int))
    return TokenRows(rows.tokens[kept], rows.real[kept], tuple(rows.documents[row] for row in kept))


def _replace(
    residuals: Float[Tensor, "rows positions d_model"], sinks: Bool[Tensor, "rows text"], body: Tensor
) -> ResidualEdit:
    """Everything but BOS and sinks replaced; padding too, which no real token sees."""
    replaced = torch.cat([residuals[:, :1], torch.where(sinks[..., None], residuals[:, 1:], body)], dim=1)
    return lambda residual: replaced.to(residual.dtype)
