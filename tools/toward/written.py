"""What comes of writing: texts by arm, prompt and sample, with what was measured of each, gathered batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64

from tools.bench.workbench import Workbench
from tools.effects.steering import Generated
from tools.toward.doubt import Ledger


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
    """As `Rewritten.displaced`, mean over the places; NaN for arms that rewrite nothing, and under the policy `published`."""
    moved: Float[np.ndarray, "arms prompts samples new"]
    """As `Rewritten.moved`, likewise."""
    masses: Float[np.ndarray, "arms d_sae"]
    """Share of each feature of the arm's own SAE in all that was moved there; zeros where nothing was."""
    apart: Float[np.ndarray, "arms prompts samples"]
    """Share in it of the features that were to be kept apart; NaN where none were, or nothing was moved."""
    positions: Int64[np.ndarray, " arms"]
    """How many positions of a row the hook changed, over all prompts: the proof that it acted."""


class Batch(NamedTuple):
    """Rows that share what the model reads: some texts of some arms."""

    plain: Sequence[int]
    """The prompt, as token ids without BOS."""
    said: Sequence[int]
    """The same with what the arms say before it."""
    arm: Int64[np.ndarray, " rows"]
    sample: Int64[np.ndarray, " rows"]


class Read(NamedTuple):
    """What reading a batch again said, as `WrittenTexts` has it."""

    perplexity: Float[np.ndarray, " rows"]
    kl: Float[np.ndarray, " rows"]


class Collected:
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

    def take_in(self, bench: Workbench, batch: Batch, place: int, made: Generated, read: Read) -> None:
        """A batch of one prompt, and what reading it again said."""
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
        """Everything, under the names of arms and prompts."""
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
