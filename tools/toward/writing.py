"""Texts under several arms of steering side by side: each from the same random numbers, with what it cost and what it moved.

A text depends on its arm, its prompt and its number alone, not on which other arms are written beside it. How far its
distributions lie from the unsteered ones is measured when it is written, by reading it twice: as it was steered, and as the
unsteered model reads it behind the plain prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from rich.progress import Progress
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.effects.intervention import Change, Intervention
from tools.effects.steering import (
    Generated,
    check_room,
    generate,
    prompt_rows,
    read_prompt,
    row_noise,
    rows_per_batch,
    split_rows,
)
from tools.effects.stock import show_tokens
from tools.records import Policy, PromptForm
from tools.toward.batches import join, watch
from tools.toward.written import Batch, Collected, Read, WrittenTexts

WRITING_SHARE = 0.7
"""Of the time that a batch takes; the rest reads it."""


class WritingArm(NamedTuple):
    """One way to write."""

    change: Change | None = None
    """Of one row; None: the model as it is."""
    ahead: str = ""
    """Said before each prompt. The text is still held against the plain prompt, which is what it is to continue."""


class _Settings(NamedTuple):
    new_tokens: int
    temperature: float
    top_k: int
    policy: Policy
    apart: Bool[Tensor, " d_sae"] | None


def write_texts(
    bench: Workbench,
    prompts: Sequence[str],
    arms: Mapping[str, WritingArm],
    *,
    samples: int,
    new_tokens: int,
    temperature: float,
    top_k: int,
    seed: int,
    policy: Policy = "all",
    form: PromptForm = "plain",
    apart: Bool[Tensor, " d_sae"] | None = None,
    progress: Progress | None = None,
) -> WrittenTexts:
    """Continue every prompt in every arm, so many times each.

    Args:
        bench: model and SAE.
        prompts: what is continued.
        arms: name -> what is done; a model left alone is one of them, if it is to be read beside the others.
        samples: texts of a prompt in each arm.
        new_tokens: length of each.
        temperature: divides the logits; 0 takes the likeliest token.
        top_k: samples among that many likeliest tokens.
        seed: of the random numbers, which texts of different arms share by prompt and sample.
        policy: which positions are changed.
        form: how prompts are put.
        apart: features of the arm's own SAE whose share in what is moved is told for each text.
        progress: where it is shown how far it is.

    Raises:
        StudyError: a prompt and its text do not fit the model's context, or cannot be put in that form.
    """
    settings = _Settings(new_tokens, temperature, top_k, policy, apart)
    check_room(bench, [arm.ahead + prompt for arm in arms.values() for prompt in prompts], new_tokens, form)
    written = Collected(bench, len(arms), len(prompts), samples, new_tokens)
    changes = [arm.change for arm in arms.values()]
    total = len(arms) * len(prompts) * samples
    task = progress.add_task("write        texts", total=total) if progress else None
    done = 0
    for place, prompt in enumerate(prompts):
        for batch in _cut_batches(bench, prompt, arms, samples, new_tokens, form):
            noise = np.stack([row_noise(f"{seed}|toward|{prompt}|{sample}", new_tokens) for sample in batch.sample])
            each = WRITING_SHARE * len(batch.arm) / new_tokens
            advance = partial(show_tokens, progress, task, float(done), each)
            _write_batch(bench, batch, place, changes, noise, settings, written, advance)
            done += len(batch.arm)
            if progress and task is not None:
                progress.update(task, completed=done)
    return written.gather(tuple(arms), tuple(prompts))


def _cut_batches(
    bench: Workbench, prompt: str, arms: Mapping[str, WritingArm], samples: int, new_tokens: int, form: PromptForm
) -> list[Batch]:
    """The texts of one prompt, those of arms that say the same together, in as few batches as memory allows."""
    plain = read_prompt(bench, prompt, form)
    alike: dict[str, list[int]] = {}
    for number, arm in enumerate(arms.values()):
        alike.setdefault(arm.ahead, []).append(number)
    batches: list[Batch] = []
    for ahead, numbers in alike.items():
        said = read_prompt(bench, ahead + prompt, form) if ahead else plain
        arm, sample = np.repeat(numbers, samples), np.tile(np.arange(samples), len(numbers))
        for rows in split_rows(len(arm), rows_per_batch(bench, 1 + len(said) + new_tokens)):
            batches.append(Batch(plain, said, arm[rows.numpy()], sample[rows.numpy()]))
    return batches


def _write_batch(
    bench: Workbench,
    batch: Batch,
    place: int,
    changes: Sequence[Change | None],
    noise: Float[np.ndarray, "rows new"],
    settings: _Settings,
    written: Collected,
    on_token: Callable[[int], object],
) -> None:
    numbers, counts = np.unique(batch.arm, return_counts=True)  # rows are in the order of arms
    change = join(bench, [changes[number] for number in numbers], torch.from_numpy(counts))
    watched, ledgers = watch(change, bench, settings.apart)
    if settings.policy == "published":  # it changes no position that a token is sampled from
        watched, ledgers = change, [[] for _ in ledgers]

    def after_token(tokens: int) -> None:
        for ledger in chain.from_iterable(ledgers):
            ledger.close(tokens)
        on_token(tokens)

    made = generate(
        bench,
        batch.said,
        watched,
        noise,
        temperature=settings.temperature,
        top_k=settings.top_k,
        policy=settings.policy,
        on_token=after_token,
    )
    read = _read_texts(bench, batch, made, change, settings.policy)
    written.take_in(bench, batch, place, made, read)
    for number, of_arm in zip(numbers.tolist(), ledgers, strict=True):
        if changes[number] is not None:
            written.positions[number, place] = made.counter.positions
        if of_arm:
            written.take_ledgers(number, place, batch.sample[batch.arm == number], of_arm)


def _read_texts(bench: Workbench, batch: Batch, made: Generated, change: Change, policy: Policy) -> Read:
    """What the unsteered model thinks of the texts, and how far the steered distributions lie from its own."""
    n, n_new = made.tokens.shape
    new = torch.from_numpy(made.tokens).to(bench.device)
    block = min(
        rows_per_batch(bench, 1 + len(batch.said) + n_new), max(1, bench.budget // (32 * n_new * bench.W_U.shape[1]))
    )
    perplexity, kl = torch.empty(n), torch.empty(n)
    for rows in torch.arange(n).split(block):
        plain = torch.cat([prompt_rows(bench, batch.plain, len(rows)), new[rows]], dim=1)
        said = torch.cat([prompt_rows(bench, batch.said, len(rows)), new[rows]], dim=1)
        below = bench.read_below(plain[:, :-1]) if batch.plain == batch.said else None
        edit = Intervention(change.take(rows), policy, 1 + len(batch.said))
        unsteered = _likely(bench, bench.final_residual(plain[:, :-1], None, below)[:, -n_new:])
        own = unsteered.gather(2, new[rows][..., None])[..., 0]
        steered = _likely(bench, bench.final_residual(said[:, :-1], edit, below)[:, -n_new:])
        kl[rows] = steered.neg_().add_(unsteered).mul_(unsteered.exp_()).sum(dim=-1).mean(dim=1).cpu()
        perplexity[rows] = (-own.mean(dim=1)).exp().cpu()
    return Read(perplexity.numpy(), kl.numpy())


def _likely(bench: Workbench, final: Float[Tensor, "rows new d_model"]) -> Float[Tensor, "rows new d_vocab"]:
    """Log-probabilities of the next token."""
    return torch.log_softmax(bench.unembed(final), dim=-1)
