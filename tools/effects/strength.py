"""How strong an intervention has to be to have a given effect on the next token.

The effect is the KL divergence of the steered from the unsteered next-token distribution, mean over prompts. It grows with
the strength nearly as a power of it, so that a secant on the two logarithms finds a target within a few steps, for a target
near zero as well as for one near the limit (output-centric evaluation, arXiv 2501.08319, halves an interval of whole numbers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from rich.progress import Progress, TaskID
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.effects.intervention import Change, Intervention
from tools.effects.steering import prompt_rows, rows_per_batch

TOLERANCE = 0.01
"""Share of the target by which the effect may differ from it, where nothing else is asked for."""
MOST_STEPS = 16
MOST_MOVED = 10
"""Tokens listed on either side."""
LEAST_SLOPE, GREATEST_SLOPE = 0.25, 4.0
"""Of log KL over log strength; 2 for small strengths, less where the effect saturates."""

MakeChange = Callable[[Int64[Tensor, " rows"], Float[Tensor, " rows"]], Change]
"""The change that some of n directions make at given strengths."""


class TokenMoves(NamedTuple):
    """The next tokens whose log-probability n changes raise and lower most, in nats, mean over the prompts."""

    raised_ids: Int64[Tensor, "n k"]
    raised: Float[Tensor, "n k"]
    lowered_ids: Int64[Tensor, "n k"]
    lowered: Float[Tensor, "n k"]


class Strengths(NamedTuple):
    """Chosen strengths and what they do."""

    norms: Float[Tensor, " n"]
    kl: Float[Tensor, " n"]
    """Nats."""
    moves: TokenMoves

    def take(self, places: Int64[Tensor, " taken"]) -> Strengths:
        """Those of some directions, in that order."""
        return Strengths(self.norms[places], self.kl[places], TokenMoves(*(part[places] for part in self.moves)))


def choose_strengths(
    bench: Workbench,
    prompts: Sequence[Sequence[int]],
    make_change: MakeChange,
    n: int,
    *,
    target_kl: float,
    max_norm: float,
    first_norm: float | None = None,
    tolerance: float = TOLERANCE,
    progress: Progress | None = None,
) -> Strengths:
    """For each of n directions the strength at which it moves the next-token distribution by `target_kl` nats.

    A direction that does not reach the target at `max_norm` is given `max_norm`.

    Args:
        bench: model and SAE.
        prompts: whose next tokens are moved.
        make_change: what is done to them.
        n: number of directions.
        target_kl: nats, mean over the prompts.
        max_norm: the longest vector.
        first_norm: the first that is tried; the longest without it.
        tolerance: share of the target by which it may be missed.
        progress: where it is shown how far it is.
    """
    before = _read_prompts(bench, prompts)
    task = progress.add_task("observe      strengths", total=2 * n) if progress else None  # found, then described

    def measure(which: Int64[Tensor, " rows"], norms: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        return torch.cat([kl for kl, _ in _effects(bench, prompts, before, make_change, which, norms)])

    norms = torch.full((n,), float(first_norm or max_norm))
    kl = measure(torch.arange(n), norms)
    above = kl > target_kl
    low, high = torch.where(above, 0.0, norms), torch.where(above, norms, torch.inf)
    last, last_kl = norms.clone(), kl.clone()
    slope = torch.full((n,), 2.0)
    going = torch.nonzero((_distance(kl, target_kl) > tolerance) & (low < max_norm))[:, 0]
    for _ in range(MOST_STEPS):
        if progress and task is not None:
            progress.update(task, completed=n - len(going))
        if not len(going):
            break
        guess = _next_guess(last[going], last_kl[going], slope[going], low[going], high[going], target_kl)
        guess = guess.clamp_max(max_norm)
        found = measure(going, guess)
        slope[going] = _slope(last[going], last_kl[going], guess, found)
        above = found > target_kl
        high[going], low[going] = torch.where(above, guess, high[going]), torch.where(above, low[going], guess)
        last[going], last_kl[going] = guess, found
        nearer = _distance(found, target_kl) < _distance(kl[going], target_kl)
        norms[going], kl[going] = torch.where(nearer, guess, norms[going]), torch.where(nearer, found, kl[going])
        going = going[(_distance(kl[going], target_kl) > tolerance) & (low[going] < max_norm)]
    return _describe(bench, prompts, before, make_change, norms, progress, task)


def measure_strengths(
    bench: Workbench,
    prompts: Sequence[Sequence[int]],
    make_change: MakeChange,
    norms: Float[Tensor, " n"],
    progress: Progress | None = None,
) -> Strengths:
    """What the changes do at strengths that were chosen otherwise."""
    task = progress.add_task("observe      strengths", total=len(norms)) if progress else None
    return _describe(bench, prompts, _read_prompts(bench, prompts), make_change, norms, progress, task)


def _describe(
    bench: Workbench,
    prompts: Sequence[Sequence[int]],
    before: Sequence[Before],
    make_change: MakeChange,
    norms: Float[Tensor, " n"],
    progress: Progress | None,
    task: TaskID | None,
) -> Strengths:
    kls: list[Tensor] = []
    moves: list[TokenMoves] = []
    for kl, change in _effects(bench, prompts, before, make_change, torch.arange(len(norms)), norms):
        raised, lowered = (change.topk(min(MOST_MOVED, change.shape[1]), largest=up) for up in (True, False))
        kls.append(kl)
        moves.append(TokenMoves(raised.indices, raised.values, lowered.indices, lowered.values))
        if progress and task is not None:
            progress.update(task, advance=len(kl))
    return Strengths(norms, torch.cat(kls), TokenMoves(*(torch.cat(parts) for parts in zip(*moves, strict=True))))


def measure_changes(
    bench: Workbench, prompts: Sequence[Sequence[int]], make_change: MakeChange, norms: Float[Tensor, " n"]
) -> Iterator[Float[Tensor, "block d_vocab"]]:
    """What the changes do to the log-probability of every next token, in nats, mean over the prompts, block by block."""
    for _, change in _effects(
        bench, prompts, _read_prompts(bench, prompts), make_change, torch.arange(len(norms)), norms
    ):
        yield change


def _next_guess(
    at: Float[Tensor, " rows"],
    kl: Float[Tensor, " rows"],
    slope: Float[Tensor, " rows"],
    low: Float[Tensor, " rows"],
    high: Float[Tensor, " rows"],
    target: float,
) -> Float[Tensor, " rows"]:
    """A step along the power law through the last point; the middle of the interval where that leaves it."""
    guess = at * (target / kl.clamp_min(1e-12)) ** (1 / slope)
    middle = torch.where(low > 0, (low * high).sqrt(), high / 2)  # infinite where no strength was too much so far
    return torch.where((guess > low) & (guess < high), guess, middle)


def _slope(
    one: Float[Tensor, " rows"],
    one_kl: Float[Tensor, " rows"],
    other: Float[Tensor, " rows"],
    other_kl: Float[Tensor, " rows"],
) -> Float[Tensor, " rows"]:
    rise = other_kl.clamp_min(1e-12).log() - one_kl.clamp_min(1e-12).log()
    slope = rise / (other / one).log()
    return torch.nan_to_num(slope, nan=2.0).clamp(LEAST_SLOPE, GREATEST_SLOPE)


def _distance(kl: Float[Tensor, " rows"], target: float) -> Float[Tensor, " rows"]:
    return (kl / target - 1).abs()


class Before(NamedTuple):
    """A prompt, unsteered."""

    likely: Float[Tensor, "1 d_vocab"]
    """Log-probability of each next token."""
    below: Float[Tensor, "1 positions d_model"] | None
    """What the block of the hook reads, which no change at the hook touches."""


def _read_prompts(bench: Workbench, prompts: Sequence[Sequence[int]]) -> list[Before]:
    rows = [prompt_rows(bench, prompt, 1) for prompt in prompts]
    return [Before(torch.log_softmax(bench.step(row, None, None).logits, -1), bench.read_below(row)) for row in rows]


def _effects(
    bench: Workbench,
    prompts: Sequence[Sequence[int]],
    before: Sequence[Before],
    make_change: MakeChange,
    which: Int64[Tensor, " rows"],
    norms: Float[Tensor, " rows"],
) -> Iterator[tuple[Float[Tensor, " block"], Float[Tensor, "block d_vocab"]]]:
    """Mean over the prompts of the KL divergence and of the change in log-probability, a block of rows at a time."""
    for part in torch.arange(len(which)).split(rows_per_batch(bench, 1 + max(map(len, prompts)))):
        kl, change = torch.zeros(len(part)), torch.zeros(len(part), bench.W_U.shape[1])
        for prompt, plain in zip(prompts, before, strict=True):
            edit = Intervention(make_change(which[part], norms[part]))
            below = None if plain.below is None else plain.below.expand(len(part), -1, -1)
            rows = prompt_rows(bench, prompt, len(part))
            after = torch.log_softmax(bench.next_logits(rows, edit, below), -1)
            difference = after - plain.likely
            kl -= (plain.likely.exp() * difference).sum(-1).cpu() / len(prompts)
            change += difference.cpu() / len(prompts)
        yield kl, change
