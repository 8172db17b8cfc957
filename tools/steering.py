"""Text continued with a direction added to the residual stream, beside its controls, many directions in one batch.

Every row of a batch carries its own vector. The four arms of a pair (unsteered, steered, random direction of equal norm,
direction subtracted) draw their samples from the same random numbers, so that they differ by the intervention alone.
A row's numbers depend on its seed, never on what else is in the batch.

The published study's hook (`policy="published"`) adds to all positions but the last, and to nothing when the input is
one token long: under the study's key-value cache no generated token is ever steered. The policy means just that, with our cache and
without, and is kept to be compared with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tools.workbench import Workbench

Policy = Literal["all", "prompt", "generated", "published"]
ROWS_PER_BATCH = 384
SEARCH_STEPS = 8
"""Halvings of the strength interval; the last one changes the strength by less than 2 %."""


class HookCounter(NamedTuple):
    """How often an intervention ran, and what it changed, for one row."""

    calls: int
    positions: int


class Intervention:
    """Adds one vector a row to the residual stream, by a policy on positions, and counts what it did."""

    def __init__(self, vectors: Float[Tensor, "rows d_model"], policy: Policy) -> None:
        self.vectors = vectors
        self.policy: Policy = policy
        self.calls = 0
        self.positions = 0
        self._prompt_done = False
        self._prompt_positions: int | None = None

    def __call__(self, residual: Float[Tensor, "rows positions d_model"]) -> Float[Tensor, "rows positions d_model"]:
        """The residual stream with the vectors added where the policy says."""
        first, last = self._span(residual.shape[1])
        self._prompt_done = True
        self.calls += 1
        self.positions += max(0, last - first)
        if last <= first:
            return residual
        edited = residual.clone()
        edited[:, first:last] += self.vectors[:, None, :].to(residual.dtype)
        return edited

    def over_whole_text(self, prompt_positions: int) -> Intervention:
        """The same intervention for a pass over prompt and continuation together, as there is without a cache."""
        whole = Intervention(self.vectors, self.policy)
        whole._prompt_positions = prompt_positions
        return whole

    def _span(self, n_positions: int) -> tuple[int, int]:
        """Positions changed in this call: [first, last)."""
        if self.policy == "all":
            return 0, n_positions
        if self.policy in ("prompt", "generated"):
            prompt_end = self._prompt_positions or (0 if self._prompt_done else n_positions)
            return (0, prompt_end) if self.policy == "prompt" else (prompt_end, n_positions)
        prompt_end = self._prompt_positions or n_positions
        return (0, prompt_end - 1) if prompt_end > 1 else (0, 0)

    @property
    def counter(self) -> HookCounter:
        """The proof that it acted."""
        return HookCounter(self.calls, self.positions)


class Generated(NamedTuple):
    """Continuations of one prompt."""

    tokens: Int64[np.ndarray, "rows new"]
    log_mass: Float[np.ndarray, "rows lists"]
    """Mean over the new tokens of the log-probability (nats) of each reference list as a set."""
    counter: HookCounter


class Strengths(NamedTuple):
    """Chosen strengths and the effect they were chosen for."""

    norms: Float[Tensor, " n"]
    kl: Float[Tensor, " n"]


def row_noise(key: str, new_tokens: int) -> Float[np.ndarray, " new"]:
    """Uniform numbers of one row: a function of its key alone."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).random(new_tokens, dtype=np.float32)


def generate(
    bench: Workbench,
    prompt: Sequence[int],
    vectors: Float[Tensor, "rows d_model"],
    noise: Float[np.ndarray, "rows new"],
    *,
    temperature: float,
    top_k: int,
    policy: Policy = "all",
    reference: Float[Tensor, "lists d_vocab"] | None = None,
    use_cache: bool = True,
) -> Generated:
    """Continue one prompt in every row, with that row's vector added at the hook.

    Args:
        bench: model and SAE.
        prompt: token ids without BOS, the same for every row.
        vectors: what is added; a row of zeros is an unsteered row.
        noise: uniform numbers, one a new token, that decide the samples.
        temperature: divides the logits; 0 takes the likeliest token.
        top_k: samples among that many likeliest tokens.
        policy: which positions the vectors are added to.
        reference: 0/1 rows over the vocabulary whose probability is followed.
        use_cache: without it every step runs the whole text again; the same text, slower.

    Returns:
        New tokens, the mean log-probability of each reference list, and the counter of one row.
    """
    n_rows, new_tokens = noise.shape
    tokens = torch.tensor([[bench.bos, *prompt]] * n_rows, dtype=torch.int64)
    edit = Intervention(vectors, policy)
    if not use_cache:
        edit = edit.over_whole_text(len(prompt) + 1)
    lists = reference if reference is not None else torch.zeros(0, bench.W_U.shape[1])
    log_mass = torch.zeros(n_rows, len(lists))
    cache = None
    for place in range(new_tokens):
        if use_cache:
            logits, cache = bench.step(tokens if cache is None else tokens[:, -1:], cache, edit)
        else:
            logits = bench.step(tokens, None, edit).logits
        if len(lists):
            log_mass += (torch.softmax(logits, dim=-1) @ lists.T).clamp_min(1e-12).log()
        chosen = sample(logits, torch.from_numpy(noise[:, place]), temperature, top_k)
        tokens = torch.cat([tokens, chosen[:, None]], dim=1)
    return Generated(tokens[:, 1 + len(prompt) :].numpy(), (log_mass / max(1, new_tokens)).numpy(), edit.counter)


def sample(
    logits: Float[Tensor, "rows d_vocab"], uniform: Float[Tensor, " rows"], temperature: float, top_k: int
) -> Int64[Tensor, " rows"]:
    """One token a row by inverting the cumulative distribution of its `top_k` likeliest tokens at `uniform`."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    best = logits.topk(min(top_k, logits.shape[-1]), dim=-1)
    cumulative = torch.softmax(best.values / temperature, dim=-1).cumsum(dim=-1)
    place = torch.searchsorted(cumulative, uniform[:, None].contiguous()).clamp_max(best.indices.shape[1] - 1)
    return best.indices.gather(1, place)[:, 0]


def choose_strengths(
    bench: Workbench,
    prompts: Sequence[Sequence[int]],
    directions: Float[Tensor, "n d_model"],
    *,
    target_kl: float,
    max_norm: float,
) -> Strengths:
    """For each direction the length at which it moves the next-token distribution by `target_kl` nats on average.

    The mean over the prompts of KL(unsteered || steered) at the last position grows with the length, near enough to
    halve an interval on it (output-centric evaluation, arXiv 2501.08319, does so with whole numbers). A direction that
    does not reach the target within `max_norm` is given `max_norm`.
    """
    plain = [torch.log_softmax(bench.step(_rows(bench, prompt, 1), None, None).logits, -1) for prompt in prompts]
    low = torch.zeros(len(directions))
    high = torch.full((len(directions),), float(max_norm))
    at_most = _mean_kl(bench, prompts, plain, directions * high[:, None])
    for _ in range(SEARCH_STEPS):
        middle = (low + high) / 2
        above = _mean_kl(bench, prompts, plain, directions * middle[:, None]) > target_kl
        high, low = torch.where(above, middle, high), torch.where(above, low, middle)
    norms = torch.where(at_most <= target_kl, torch.full_like(high, float(max_norm)), high)
    return Strengths(norms, _mean_kl(bench, prompts, plain, directions * norms[:, None]))


def _mean_kl(
    bench: Workbench, prompts: Sequence[Sequence[int]], plain: Sequence[Tensor], vectors: Float[Tensor, "n d_model"]
) -> Float[Tensor, " n"]:
    total = torch.zeros(len(vectors))
    for prompt, before in zip(prompts, plain, strict=True):
        for start in range(0, len(vectors), ROWS_PER_BATCH):
            block = vectors[start : start + ROWS_PER_BATCH]
            logits = bench.step(_rows(bench, prompt, len(block)), None, Intervention(block, "all")).logits
            after = torch.log_softmax(logits, -1)
            total[start : start + ROWS_PER_BATCH] += (before.exp() * (before - after)).sum(-1)
    return total / len(prompts)


def _rows(bench: Workbench, prompt: Sequence[int], n: int) -> Int64[Tensor, "n positions"]:
    return torch.tensor([[bench.bos, *prompt]] * n, dtype=torch.int64)
