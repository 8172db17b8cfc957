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
from jaxtyping import Bool, Float, Int64
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
from tools.toward.doubt import Ledger

WRITING_SHARE = 0.7
"""Of the time that a batch takes; the rest reads it."""


class WritingArm(NamedTuple):
    """One way to write."""

    change: Change | None = None
    """Of one row; None: the model as it is."""
    ahead: str = ""
    """Said before each prompt. The text is still held against the plain prompt, which is what it is to continue."""


class WrittenTexts(NamedTuple):
    """All texts. Arms, prompts and samples are in the order in which they were asked for."""

    arms: tuple[str, ...]
    prompts: tuple[str, ...]
    tokens: Int64[np.ndarray, "arms prompts samples new"]
    texts: np.ndarray
    """Strings [arms, prompts, samples]."""
    log_probs: Float[np.ndarray, "arms prompts samples new"]
    """Of each token as it was written, in nats."""
    perplexity: Float[np.ndarray, "arms prompts samples"]
    """Under the unsteered model, behind the plain prompt."""
    kl: Float[np.ndarray, "arms prompts samples"]
    """Nats a token by which the next-token distribution departs from the unsteered one (unsteered || steered), mean."""
    displaced: Float[np.ndarray, "arms prompts samples new"]
    """As `Rewritten.displaced`, mean over the places; NaN for arms that rewrite nothing."""
    moved: Float[np.ndarray, "arms prompts samples new"]
    """As `Rewritten.moved`, likewise."""
    masses: Float[np.ndarray, "arms d_sae"]
    """Share of each feature of the arm's own SAE in all that was moved there; zeros where nothing was."""
    apart: Float[np.ndarray, "arms prompts samples"]
    """Share in it of the features that were to be kept apart; NaN where none were, or nothing was moved."""
    positions: Int64[np.ndarray, " arms"]
    """How many positions of a row the hook changed, over all prompts: the proof that it acted."""


class _Settings(NamedTuple):
    new_tokens: int
    temperature: float
    top_k: int
    policy: Policy
    apart: Bool[Tensor, " d_sae"] | None


class _Batch(NamedTuple):
    """Rows that share what the model reads: some texts of some arms."""

    plain: Sequence[int]
    """The prompt, as token ids without BOS."""
    said: Sequence[int]
    """The same with what the arms say before it."""
    arm: Int64[np.ndarray, " rows"]
    sample: Int64[np.ndarray, " rows"]


class _Read(NamedTuple):
    perplexity: Float[np.ndarray, " rows"]
    kl: Float[np.ndarray, " rows"]


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
    written = _Written(bench, len(arms), len(prompts), samples, new_tokens)
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
) -> list[_Batch]:
    """The texts of one prompt, those of arms that say the same together, in as few batches as memory allows."""
    plain = read_prompt(bench, prompt, form)
    alike: dict[str, list[int]] = {}
    for number, arm in enumerate(arms.values()):
        alike.setdefault(arm.ahead, []).append(number)
    batches: list[_Batch] = []
    for ahead, numbers in alike.items():
        said = read_prompt(bench, ahead + prompt, form) if ahead else plain
        arm, sample = np.repeat(numbers, samples), np.tile(np.arange(samples), len(numbers))
        for rows in split_rows(len(arm), rows_per_batch(bench, 1 + len(said) + new_tokens)):
            batches.append(_Batch(plain, said, arm[rows.numpy()], sample[rows.numpy()]))
    return batches


def _write_batch(
    bench: Workbench,
    batch: _Batch,
    place: int,
    changes: Sequence[Change | None],
    noise: Float[np.ndarray, "rows new"],
    settings: _Settings,
    written: _Written,
    on_token: Callable[[int], object],
) -> None:
    numbers, counts = np.unique(batch.arm, return_counts=True)  # rows are in the order of arms
    change = join(bench, [changes[number] for number in numbers], torch.from_numpy(counts))
    watched, ledgers = watch(change, bench, settings.apart)

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


def _read_texts(bench: Workbench, batch: _Batch, made: Generated, change: Change, policy: Policy) -> _Read:
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
    return _Read(perplexity.numpy(), kl.numpy())


def _likely(bench: Workbench, final: Float[Tensor, "rows new d_model"]) -> Float[Tensor, "rows new d_vocab"]:
    """Log-probabilities of the next token."""
    return torch.log_softmax(bench.unembed(final), dim=-1)


class _Written:
    """What has been written and read so far, [arms, prompts, samples, ...]."""

    def __init__(self, bench: Workbench, n_arms: int, n_prompts: int, samples: int, new_tokens: int) -> None:
        shape = (n_arms, n_prompts, samples)
        self.tokens = np.zeros((*shape, new_tokens), dtype=np.int64)
        self.texts = np.empty(shape, dtype=object)
        self.log_probs = np.zeros((*shape, new_tokens), dtype=np.float32)
        self.perplexity, self.kl = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
        self.displaced = np.full((*shape, new_tokens), np.nan, dtype=np.float32)
        self.moved = np.full((*shape, new_tokens), np.nan, dtype=np.float32)
        self.apart = np.full(shape, np.nan, dtype=np.float32)
        self.hook_name, self.masses = bench.hook_name, np.zeros((n_arms, bench.d_sae))
        self.positions = np.zeros((n_arms, n_prompts), dtype=np.int64)

    def take_in(self, bench: Workbench, batch: _Batch, place: int, made: Generated, read: _Read) -> None:
        at = (batch.arm, place, batch.sample)
        self.tokens[at], self.log_probs[at] = made.tokens, made.log_probs
        self.texts[at] = [bench.decode(row) for row in made.tokens.tolist()]
        self.perplexity[at], self.kl[at] = read.perplexity, read.kl

    def take_ledgers(self, arm: int, place: int, sample: Int64[np.ndarray, " rows"], ledgers: Sequence[Ledger]) -> None:
        """What an arm's rewriting moved, at one place or several."""
        columns = [[torch.stack(part, dim=1).cpu() for part in (one.displaced, one.moved)] for one in ledgers]
        displaced, of_all = (torch.stack(parts).mean(dim=0).numpy() for parts in zip(*columns, strict=True))
        self.displaced[arm, place, sample], self.moved[arm, place, sample] = displaced, of_all
        for ledger in ledgers:
            if ledger.hook_name == self.hook_name:
                self.masses[arm] += ledger.masses.cpu().numpy()
            if ledger.apart is not None:
                own, moved = ledger.sums.cpu().unbind(dim=1)
                self.apart[arm, place, sample] = torch.where(moved > 0, own / moved, torch.nan).numpy()

    def gather(self, arms: tuple[str, ...], prompts: tuple[str, ...]) -> WrittenTexts:
        sums = self.masses.sum(axis=1, keepdims=True)
        return WrittenTexts(
            arms=arms,
            prompts=prompts,
            tokens=self.tokens,
            texts=self.texts,
            log_probs=self.log_probs,
            perplexity=self.perplexity,
            kl=self.kl,
            displaced=self.displaced,
            moved=self.moved,
            masses=self.masses / np.where(sums > 0, sums, 1),
            apart=self.apart,
            positions=self.positions.sum(axis=1),
        )
