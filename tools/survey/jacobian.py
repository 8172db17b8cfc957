"""The mean Jacobian of the layers behind the hook: how the last residual stream moves with the one at the hook.

A step at one position moves later ones too; those count, as they do when all positions are steered. One backward pass
for each dimension of the output gives that row of the Jacobians of all texts of a batch at once, so that what each text
adds to the mean is known for nothing. Rows of text are taken in batches until the mean is at rest; what is finished of a
batch can be stored and gone on with, and ends in the same numbers.

What one row changes says little of whether a mean is at rest: it falls as 1/n whatever the rows are. So the mean of every
other row is kept too, and it can be asked how far two means over different text agree in what they are made for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from rich.progress import Progress
from torch import Tensor

from tools.bench.workbench import Workbench

BATCH = 8
"""Rows of text that share a backward pass, and by which it is asked whether the mean is at rest."""


class Averaging(NamedTuple):
    """Over what the mean is taken, and of what."""

    skip: int = 1
    """Positions at the beginning of each row that count neither as input nor as output; BOS is the first."""
    omits_last: bool = False
    """The last position of a row, which predicts nothing, does not count either."""
    normed: bool = True
    """Behind the final norm, whose own Jacobian at each position then is a part of the mean; or before it."""
    tolerance: float | None = None
    """None of the last `BATCH` rows may move the mean by more than this share of its length; None: it is not asked."""
    agreement: float | None = None
    """So far at least the means of either half of the rows have to agree; None: it is not asked."""

    @property
    def stops(self) -> bool:
        """Whether there is a stop rule, and not a number of rows alone."""
        return self.tolerance is not None or self.agreement is not None

    def per_row(self, width: int) -> int:
        """How many positions of a row count; none of one that is too short."""
        return max(0, width - self.skip - self.omits_last)

    def counted(self, values: Float[Tensor, "rows positions d"]) -> Float[Tensor, "rows counted d"]:
        """The positions that count."""
        return values[:, self.skip : -1] if self.omits_last else values[:, self.skip :]


@dataclass
class Mean:
    """A mean on its way: what finished batches add up to, and the finished part of the one in hand."""

    total: Float[Tensor, "d_model d_model"] | None = None
    """Sum over positions, [output, input]."""
    positions: int = 0
    rows: int = 0
    curve: list[float] = field(default_factory=list[float])
    """By which share of its length each row after the first moved the mean."""
    agreements: list[float] = field(default_factory=list[float])
    """How far the means of either half of the rows agreed after each batch."""
    part: list[Float[Tensor, "summed d_model"]] = field(default_factory=list["Float[Tensor, 'summed d_model']"])
    """Of the batch in hand, one output dimension each: summed over all of it, then over each of its rows."""
    seconds: float = 0.0
    text: str = ""
    """sha256 of the rows that it was begun with."""
    half: Float[Tensor, "d_model d_model"] | None = None
    """Sum over every other row, from the first on."""

    @property
    def passes(self) -> int:
        """Backward passes behind it."""
        done = 0 if self.total is None else -(-self.rows // BATCH) * len(self.total)
        return done + len(self.part)

    def jacobian(self) -> Float[Tensor, "d_model d_model"]:
        """The mean over positions, [output, input]."""
        assert self.total is not None
        return self.total / self.positions

    def halves(self) -> tuple[Float[Tensor, "d_model d_model"], Float[Tensor, "d_model d_model"]]:
        """The means of every other row, and of those between; of two rows at least."""
        assert self.total is not None and self.half is not None
        first, per_row = (self.rows + 1) // 2, self.positions // self.rows
        return self.half / (first * per_row), (self.total - self.half) / ((self.rows - first) * per_row)

    def is_at_rest(self, averaging: Averaging) -> bool:
        """By every stop rule that there is; by the one of single rows never before two batches."""
        tolerance, agreement = averaging.tolerance, averaging.agreement
        steady = len(self.curve) >= 2 * BATCH - 1 and max(self.curve[-BATCH:]) <= (tolerance or 0.0)
        agreed = bool(self.agreements) and self.agreements[-1] >= (agreement or 0.0)
        return averaging.stops and (tolerance is None or steady) and (agreement is None or agreed)


def average_jacobian(
    bench: Workbench,
    tokens: Int64[Tensor, "rows positions"],
    averaging: Averaging = Averaging(),  # noqa: B008 (a frozen tuple)
    mean: Mean | None = None,
    after_pass: Callable[[Mean], None] | None = None,
    progress: Progress | None = None,
    agree: Callable[[Mean], float] | None = None,
) -> Mean:
    """Take the mean over rows of text until it is at rest, or over all of them.

    Args:
        bench: model and SAE.
        tokens: full rows, BOS first and no padding.
        averaging: over what, and of what.
        mean: to go on with.
        after_pass: called with the mean after every backward pass.
        progress: for the 256 to 4,096 backward passes of every eight rows.
        agree: how far the means of either half of the rows agree, from 0 to 1; asked after each batch.
    """
    mean = mean or Mean()
    width = bench.W_U.shape[0]
    most = -(-len(tokens) // BATCH) * width
    task = progress.add_task("survey       effect lens", total=most, completed=mean.passes) if progress else None

    def advance(now: Mean) -> None:
        if progress and task is not None:
            rest = f"halves of {now.rows} rows agree in {now.agreements[-1]:.0%}" if now.agreements else ""
            progress.update(task, completed=now.passes, status=rest)
        if after_pass:
            after_pass(now)

    for first in range(mean.rows, len(tokens), BATCH):
        if mean.is_at_rest(averaging):
            break
        _add_batch(bench, tokens[first : first + BATCH], averaging, mean, advance)
        if agree and mean.rows > 1:
            mean.agreements.append(agree(mean))
    if progress and task is not None:
        progress.update(task, total=mean.passes, status="")
    return mean


def _add_batch(
    bench: Workbench,
    tokens: Int64[Tensor, "rows positions"],
    averaging: Averaging,
    mean: Mean,
    after_pass: Callable[[Mean], None],
) -> None:
    """One more batch of texts, from the output dimension on at which it was left."""
    began = time.monotonic() - mean.seconds
    with torch.enable_grad(), bench.lock:
        start = bench.residuals(tokens).detach().requires_grad_(True)
        read = bench.normed_final_residual if averaging.normed else bench.last_residual
        outputs = averaging.counted(read(tokens, lambda _: start)).sum(dim=(0, 1))
        per_row = averaging.per_row(tokens.shape[1])
        for output in outputs[len(mean.part) :]:
            (gradient,) = torch.autograd.grad(output, start, retain_graph=True)
            counted = averaging.counted(gradient)
            mean.part.append(torch.cat([counted.sum(dim=(0, 1))[None], counted.sum(dim=1)]).cpu())
            mean.seconds = time.monotonic() - began
            after_pass(mean)
    everything, *each = torch.stack(mean.part, dim=1)  # [output, input], of all rows and of each
    mean.curve += _shifts(mean, each, per_row)
    every_other = (
        torch.stack(each[mean.rows % 2 :: 2]).sum(dim=0) if each[mean.rows % 2 :] else torch.zeros_like(everything)
    )
    mean.half = every_other if mean.half is None else mean.half + every_other
    mean.total = everything if mean.total is None else mean.total + everything
    mean.positions += len(each) * per_row
    mean.rows += len(each)
    mean.part.clear()


def _shifts(mean: Mean, each: list[Float[Tensor, "d_model d_model"]], per_row: int) -> Iterator[float]:
    """How far one more row at a time moves the mean, over the length of the mean that it makes; none for the first row."""
    total, positions = mean.total, mean.positions
    for row in each:
        grown = row if total is None else total + row
        if total is not None:
            now = grown / (positions + per_row)
            yield float((now - total / positions).norm() / now.norm().clamp_min(1e-30))
        total, positions = grown, positions + per_row
