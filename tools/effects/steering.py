"""Text continued under an intervention, many rows in one batch, and how the unsteered model would have liked it.

Rows differ by their change and their random numbers, and by nothing else: what a row says does not depend on what else is in
the batch. The arms of a pair draw their samples from the same numbers, so that they differ by the intervention alone.
Rows that are changed alike share one pass over the prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.effects.intervention import Change, HookCounter, Intervention
from tools.errors import StudyError
from tools.maths import seed_of
from tools.records import Policy, PromptForm

FEWEST_ROWS, MOST_ROWS = 8, 384


class Generated(NamedTuple):
    """Continuations of one prompt."""

    tokens: Int64[np.ndarray, "rows new"]
    log_probs: Float[np.ndarray, "rows new"]
    """Of each new token, in nats, under the model as it was steered; before temperature and truncation."""
    log_mass: Float[np.ndarray, "rows ..."]
    """Mean over the new tokens of the log-probability (nats) of each row's reference tokens as a set."""
    counter: HookCounter
    below: Float[Tensor, "rows fed d_model"] | None = None
    """What the hook's block read at each new token but the last, where that was asked for."""


def row_noise(key: str, new_tokens: int) -> Float[np.ndarray, " new"]:
    """Uniform numbers of one row: a function of its key alone."""
    return np.random.default_rng(seed_of(key)).random(new_tokens, dtype=np.float32)


def rows_per_batch(bench: Workbench, positions: int, most_bytes: int | None = None) -> int:
    """How many rows of so many positions fit: few for a large vocabulary, a deep model or a long text.

    A row takes its logits three times over, its keys and values, those of one block once more, and a block's inside.
    """
    d_model, d_vocab = bench.W_U.shape
    kept = (int(bench.bridge.cfg.n_layers) + 1) * 2 * _kept_width(bench, d_model)
    per_position = 8 * d_model + kept
    most = bench.budget if most_bytes is None else most_bytes
    return min(MOST_ROWS, max(FEWEST_ROWS, most // (4 * (3 * d_vocab + positions * per_position))))


def _kept_width(bench: Workbench, d_model: int) -> int:
    """Of a position's keys, or its values, in one block, in numbers of four bytes."""
    cfg = bench.bridge.cfg
    heads = getattr(cfg, "n_key_value_heads", None)  # None where every head has keys of its own
    return (int(heads) * int(cfg.d_head) if heads else d_model) * bench.dtype.itemsize // 4


def split_rows(n_rows: int, limit: int) -> tuple[Int64[Tensor, " rows"], ...]:
    """Rows 0 to n in as few batches as the limit allows, all about as large: a small last one would be slow."""
    return torch.arange(n_rows).tensor_split(max(1, -(-n_rows // limit)))


def read_prompt(bench: Workbench, prompt: str, form: PromptForm = "plain") -> list[int]:
    """Token ids of a prompt, without BOS, up to where the model goes on.

    Raises:
        StudyError: it is to be put as what a user says, and the model's tokenizer has no template for that.
    """
    if form == "plain":
        return bench.tokenize(prompt)
    if not bench.tokenizer.chat_template:
        raise StudyError('steering.prompt_form is "chat", but the tokenizer of the model has no chat template')
    said = [{"role": "user", "content": prompt}]
    ids = bench.tokenize(bench.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True))
    return ids[1:] if ids[:1] == [bench.bos] else ids


def check_room(bench: Workbench, prompts: Sequence[str], new_tokens: int, form: PromptForm = "plain") -> None:
    """See that every prompt and its continuation fit into the model's context.

    Raises:
        StudyError: one does not, or a prompt cannot be put in the form that is asked for.
    """
    for prompt in prompts:
        n = 1 + len(read_prompt(bench, prompt, form))
        if n + new_tokens > bench.context_size:
            raise StudyError(
                f"steering.prompts: {prompt[:40]!r} takes {n} positions, which leaves {bench.context_size - n} of the "
                f"model's {bench.context_size} for steering.new_tokens = {new_tokens}"
            )


def generate(
    bench: Workbench,
    prompt: Sequence[int],
    change: Change,
    noise: Float[np.ndarray, "rows new"],
    *,
    temperature: float,
    top_k: int,
    policy: Policy = "all",
    reference: Int64[Tensor, "rows ... k"] | None = None,
    use_cache: bool = True,
    keep_below: bool = False,
    on_token: Callable[[int], object] | None = None,
) -> Generated:
    """Continue one prompt in every row, with that row's change made at the hook.

    Args:
        bench: model and SAE.
        prompt: token ids without BOS, the same for every row.
        change: what is done to each row; an addition of zeros leaves it unsteered.
        noise: uniform numbers, one a new token, that decide the samples.
        temperature: divides the logits; 0 takes the likeliest token.
        top_k: samples among that many likeliest tokens.
        policy: which positions are changed.
        reference: different token ids whose joint probability is followed: a list of them for each row, or several.
        use_cache: without it every step runs the whole text again; the same text, slower.
        keep_below: keep what `score_perplexity` need not compute again, if the hook sees it.
        on_token: told how many tokens every row has, one after the other.

    Returns:
        New tokens, their log-probabilities, that of the reference tokens, and the counter of one row.
    """
    n_rows, new_tokens = noise.shape
    tokens = prompt_rows(bench, prompt, n_rows)
    uniform = torch.from_numpy(noise).to(bench.device)
    followed = reference.to(bench.device) if reference is not None else None
    edit = Intervention(change, policy, None if use_cache else len(prompt) + 1)
    log_probs = torch.zeros(n_rows, new_tokens, device=bench.device)
    log_mass = torch.zeros(n_rows if followed is None else followed.shape[:-1], device=bench.device)
    cache: Any = None
    if keep_below and use_cache and bench.hook_reads_below and not edit.elsewhere:  # an earlier edit would be in it
        edit.seen = []
    for place in range(new_tokens):
        if not use_cache:
            logits = bench.step(tokens, None, edit).logits
        elif cache is None:
            logits, cache = _read_prompt(bench, tokens, edit)
        else:
            logits, cache = bench.step(tokens[:, -1:], cache, edit)
        chosen = sample(logits, uniform[:, place], temperature, top_k)
        likely = torch.log_softmax(logits, dim=-1)
        log_probs[:, place] = likely.gather(1, chosen[:, None])[:, 0]
        if followed is not None:
            log_mass += likely.gather(1, followed.flatten(1)).view(followed.shape).logsumexp(dim=-1)
        tokens = torch.cat([tokens, chosen[:, None]], dim=1)
        if on_token is not None:
            on_token(place + 1)
    new = tokens[:, 1 + len(prompt) :].cpu().numpy()
    mass = (log_mass / max(1, new_tokens)).cpu().numpy()
    below = torch.cat(edit.seen, dim=1).to(bench.dtype) if edit.seen else None
    return Generated(new, log_probs.cpu().numpy(), mass, edit.counter, below)


def _read_prompt(
    bench: Workbench, tokens: Int64[Tensor, "rows positions"], edit: Intervention
) -> tuple[Float[Tensor, "rows d_vocab"], Any]:
    """One pass over the prompt for each distinct change, handed to all rows that share it."""
    chosen, places = edit.distinct_rows()
    logits, cache = bench.step(tokens[chosen], None, edit.take(chosen))
    if len(chosen) < len(tokens):
        places = places.to(bench.device)
        cache.batch_select_indices(places)
        logits = logits[places]
    return logits, cache


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


def score_perplexity(
    bench: Workbench,
    prompt: Sequence[int],
    continuations: Int64[np.ndarray, "rows new"],
    below: Float[Tensor, "rows fed d_model"] | None = None,
) -> Float[np.ndarray, " rows"]:
    """Perplexity of each continuation of the prompt under the unsteered model; `below` as `generate` kept it.

    What lies below the hook is the same for a steered text as for an unsteered one that says the same.
    """
    n_new, d_vocab = continuations.shape[1], bench.W_U.shape[1]
    known = _whole_below(bench, prompt, below)
    tokens = torch.cat(
        [prompt_rows(bench, prompt, len(continuations)), torch.from_numpy(continuations).to(bench.device)], dim=1
    )
    block = min(rows_per_batch(bench, tokens.shape[1]), max(1, bench.budget // (24 * n_new * d_vocab)))
    parts: list[Tensor] = []
    for places in torch.arange(len(tokens)).split(block):
        rows, part = tokens[places], None if known is None else known[places]
        final = bench.final_residual(rows[:, :-1], None, part)[:, len(prompt) :]  # from the prompt's last token on
        logits = bench.unembed(final)  # [rows, new, d_vocab]
        likely = torch.log_softmax(logits, dim=-1).gather(2, rows[:, -n_new:, None])[..., 0]
        parts.append((-likely.mean(dim=1)).exp().cpu())
    return torch.cat(parts).numpy()


def _whole_below(
    bench: Workbench, prompt: Sequence[int], below: Float[Tensor, "rows fed d_model"] | None
) -> Float[Tensor, "rows positions d_model"] | None:
    opening = None if below is None else bench.read_below(prompt_rows(bench, prompt, 1))
    if below is None or opening is None:
        return None
    return torch.cat([opening.expand(len(below), -1, -1), below], dim=1)


def prompt_rows(bench: Workbench, prompt: Sequence[int], n: int) -> Int64[Tensor, "n positions"]:
    """The prompt behind BOS, in n rows."""
    return torch.tensor([[bench.bos, *prompt]], dtype=torch.int64, device=bench.device).repeat(n, 1)
