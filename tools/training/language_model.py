"""A GPT-2-shaped language model: from scratch, or further from given weights.

Hidden matrices are optimised with Muon (orthogonalised momentum), which on a small token budget learns about twice as
much a token as AdamW; embeddings, norms and biases with AdamW.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, Integer
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, PreTrainedModel, PreTrainedTokenizerFast

from tools.display.console import LineConsole
from tools.display.progress import Bars
from tools.errors import LoadError, StudyError
from tools.training.corpora import bos_id, iterate_batches, load_rows
from tools.training.recipe import LanguageModelRecipe, ModelRecipe, Precision

Chances = Callable[[Int64[np.ndarray, "rows positions"]], Float32[np.ndarray, "rows positions vocabulary"]]
"""How likely each token is to come next after each position of rows."""
HELDOUT_ROWS, FINAL_ROWS = 256, 512
"""Rows that losses are measured on along the way, and at the end: the model card's are `measure`'s."""


def build_model(recipe: ModelRecipe, tokenizer: PreTrainedTokenizerFast, seed: int) -> PreTrainedModel:
    """Fresh weights of the recipe's shape.

    Raises:
        StudyError: the shape is none that a model can have.
    """
    if recipe.d_model % recipe.n_head:
        raise StudyError(f"training.model: d_model {recipe.d_model} cannot be split over {recipe.n_head} heads")
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=recipe.context_size,
        n_embd=recipe.d_model,
        n_layer=recipe.n_layer,
        n_head=recipe.n_head,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=bos_id(tokenizer),
        eos_token_id=bos_id(tokenizer),
    )
    # Plain attention compiles into two matrix products; the fused CPU kernel's backward pass is slower at this size.
    model = GPT2LMHeadModel(config)
    model.set_attn_implementation("eager")
    return model


def read_model(source: str) -> PreTrainedModel:
    """Given weights, in single precision whatever they are stored in, without dropout.

    Raises:
        LoadError: they do not load, or not all of them belong to the model: what is missing would be random.
    """
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise LoadError(f"model {source} does not load: {' '.join(str(error).split())[:300]}") from error
    model, info = loaded
    unfit = sorted(str(key) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for key in info[kind])
    if unfit:
        raise LoadError(f"model {source} does not load strictly: {', '.join(unfit)[:300]}")
    return model.eval()


def build_optimizers(model: PreTrainedModel, recipe: LanguageModelRecipe) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices and AdamW for the rest, or AdamW for all."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and ".h." in name]
    chosen = {id(p) for p in matrices} if recipe.optimizer == "muon" else set[int]()
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in chosen]
    adamw = torch.optim.AdamW(
        [
            {"params": [p for p in rest if p.ndim == 2], "weight_decay": recipe.weight_decay},
            {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=recipe.embedding_lr,
        betas=(0.9, 0.95),
    )
    if recipe.optimizer == "adamw":
        return [adamw]
    muon = torch.optim.Muon(
        matrices, lr=recipe.matrix_lr, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    return [muon, adamw]


def rate_factor(step: int, steps: int, recipe: LanguageModelRecipe) -> float:
    """Warm-up, plateau, linear decay to zero over the last `decay_share`."""
    warm = max(1, int(recipe.warmup_share * steps))
    decay = max(1, int(recipe.decay_share * steps))
    return min(1.0, (step + 1) / warm, (steps - step) / decay)


def mean_loss(
    model: PreTrainedModel,
    rows: Integer[np.ndarray, "rows context_size"],
    precision: Precision = "bfloat16",
    batch: int = 16,
) -> float:
    """Next-token cross-entropy in nats over rows [rows, context_size], BOS never predicted."""
    total, count = 0.0, 0
    with torch.no_grad(), _autocast(model.device, precision):
        for start in range(0, len(rows), batch):
            tokens = torch.from_numpy(rows[start : start + batch].astype(np.int64)).to(model.device)
            total += float(_loss(model, tokens)) * tokens.shape[0]
            count += tokens.shape[0]
    return total / count


def _loss(
    model: nn.Module,
    tokens: Int64[Tensor, "batch context_size"],
    chances: Float[Tensor, "batch context_size vocabulary"] | None = None,
) -> Float[Tensor, ""]:
    """Against the tokens that came, or against how likely each was to come: the mean of the first over what is drawn."""
    logits = model(input_ids=tokens, use_cache=False).logits[:, :-1].flatten(0, 1).float()
    target = tokens[:, 1:].flatten() if chances is None else chances[:, :-1].flatten(0, 1)
    return nn.functional.cross_entropy(logits, target)


def _autocast(device: torch.device, precision: Precision) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def train_language_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    recipe: LanguageModelRecipe,
    *,
    data: Path,
    work: Path,
    cache: Path,
    context_size: int,
    device: str = "cpu",
    compile_model: bool = True,
    save: bool = True,
) -> dict[str, float]:
    """Train on a study's corpora, as `train_on_rows` does.

    Returns:
        Held-out loss in nats for each held-out corpus.

    Raises:
        StudyError: a corpus is not there or too short, its rows are longer than the model reads, or it is to be trained on
            chances, which nobody knows of a corpus.
    """
    if recipe.targets == "chances":
        raise StudyError('training: targets = "chances" are known of a world only, not of a corpus: use "tokens"')
    longest = int(model.config.max_position_embeddings)
    if context_size > longest:
        raise StudyError(f"training.model.context_size {context_size} is more than the model reads: {longest} tokens")
    rows = np.concatenate(
        [load_rows(data, c, tokenizer, cache, context_size, recipe.rows_per_batch) for c in recipe.corpora]
    )
    heldout = {c: load_rows(data, c, tokenizer, cache, context_size) for c in recipe.heldout}
    return train_on_rows(model, tokenizer, recipe, rows, heldout, work, device, compile_model, save)


def train_on_rows(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    recipe: LanguageModelRecipe,
    rows: Integer[np.ndarray, "rows context_size"],
    heldout: Mapping[str, Integer[np.ndarray, "heldout context_size"]],
    work: Path,
    device: str = "cpu",
    compile_model: bool = True,
    save: bool = True,
    chances: Chances | None = None,
) -> dict[str, float]:
    """Train to the recipe's token budget, resuming from `work/checkpoint.pt`, and save weights into `work/model`.

    Only parameters that ask for a gradient are trained; without `save` the caller keeps what it wants of the model.
    `chances`, where who made the rows knows them, are what the model is trained to say instead of the tokens that came: the
    loss is the same on average, without the noise of the draw.

    Returns:
        Loss in nats on each of `heldout`.
    """
    context_size = rows.shape[1]
    work.mkdir(parents=True, exist_ok=True)
    model.to(torch.device(device))  # pyright: ignore[reportArgumentType]
    micro_batches = max(1, recipe.tokens_per_step // (recipe.rows_per_batch * context_size))
    steps = math.ceil(recipe.tokens / (micro_batches * recipe.rows_per_batch * context_size))
    optimizers = build_optimizers(model, recipe)
    step = _resume(work / "checkpoint.pt", model, optimizers)
    batches = iterate_batches(rows, recipe.rows_per_batch, recipe.seed, skip=step * micro_batches)
    # Loss and model are compiled together: the softmax over the vocabulary then never exists in float32 as a whole.
    loss_of = torch.compile(partial(_loss, model), dynamic=False) if compile_model else partial(_loss, model)
    autocast = _autocast(model.device, recipe.precision)
    with Bars(LineConsole()) as progress, (work / "log.tsv").open("a", encoding="utf-8") as log:
        task = progress.add_task("train        steps", total=steps, completed=step)
        began, first = time.monotonic(), step
        while step < steps:
            drawn = [next(batches) for _ in range(micro_batches)]
            parts = [_place(tokens, chances, model.device) for tokens in drawn]
            loss = _step(loss_of, parts, autocast, optimizers, rate_factor(step, steps, recipe))
            step += 1
            rate = (step - first) * micro_batches * recipe.rows_per_batch * context_size / (time.monotonic() - began)
            progress.update(task, completed=step, status=f"loss {loss:.3f}, {rate:,.0f} tokens/s")
            if step % 10 == 0:
                log.write(f"{step}\t{loss:.4f}\t{rate:.0f}\n")
                log.flush()
            if step % recipe.checkpoint_every == 0 or step == steps:
                losses = {c: mean_loss(model, r[:HELDOUT_ROWS], recipe.precision) for c, r in heldout.items()}
                log.write(f"{step}\theldout\t{losses}\n")
                log.flush()
                learnt = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
                state = {"step": step, "model": learnt, "optimizers": [o.state_dict() for o in optimizers]}
                torch.save(state, work / "checkpoint.new")
                (work / "checkpoint.new").replace(work / "checkpoint.pt")
    if save:
        model.save_pretrained(work / "model")
        tokenizer.save_pretrained(work / "model")
    return {c: mean_loss(model, r[:FINAL_ROWS], recipe.precision) for c, r in heldout.items()}


def _place(tokens: Tensor, chances: Chances | None, device: torch.device) -> tuple[Tensor, ...]:
    """What a loss is of: the tokens, and what may come after each if that is known."""
    known = () if chances is None else (torch.from_numpy(chances(tokens.numpy())),)
    return tuple(part.to(device) for part in (tokens, *known))


def _step(
    loss_of: Callable[..., Tensor],
    parts: Sequence[tuple[Tensor, ...]],
    autocast: torch.autocast,
    optimizers: list[torch.optim.Optimizer],
    factor: float,
) -> float:
    total = 0.0
    for part in parts:
        with autocast:
            loss = loss_of(*part)
        (loss / len(parts)).backward()
        total += loss.item() / len(parts)
    parameters = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    nn.utils.clip_grad_norm_(parameters, 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group.setdefault("full_lr", group["lr"])
            group["lr"] = group["full_lr"] * factor
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return total


def _resume(checkpoint: Path, model: PreTrainedModel, optimizers: list[torch.optim.Optimizer]) -> int:
    if not checkpoint.is_file():
        return 0
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    learnt = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if lacking := sorted(learnt - state["model"].keys()):
        raise StudyError(f"{checkpoint} belongs to another training: it lacks {lacking[0]}; delete it to begin anew")
    model.load_state_dict(state["model"], strict=False)  # tied and frozen weights are not among them
    for optimizer, stored in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(stored)
    return int(state["step"])
