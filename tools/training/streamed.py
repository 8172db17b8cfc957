"""Several SAEs trained side by side on one stream of activations, which a stopped training takes up bit for bit.

The forward pass is what costs most on a processor, and it is the same for every SAE of an arm: seeds share it.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from safetensors.torch import load_file, save_file
from torch import Tensor

from tools.display.console import LineConsole
from tools.display.progress import Bars
from tools.errors import StudyError
from tools.training.activation_stream import Block, Scale, measure_scale, read_block, split_batches
from tools.training.recipe import SaeRecipe
from tools.training.topk_dictionary import TopKDictionary
from tools.whole_files import replacing

CHECKPOINT, CURVE = "checkpoint.safetensors", "curve.tsv"
_UNBOUNDED = float("inf")
_NOT_READ = {"l0_coefficient", "p_end", "p_changes", "anneal_start_share"}
"""Of other architectures, and younger than some checkpoints."""


class Seed(NamedTuple):
    """One SAE to train."""

    number: int
    """Of the first weights and of the order in which activations are seen."""
    folder: Path
    """To make."""


def train_side_by_side(
    forward: Callable[[Tensor], Tensor],
    recipe: SaeRecipe,
    rows: Int64[np.ndarray, "rows positions"],
    seeds: Sequence[Seed],
    work: Path,
    device: str = "cpu",
    stop_after: int | None = None,
) -> list[float] | None:
    """Train one SAE for each seed on the same rows and save them; goes on from `work/checkpoint.safetensors`.

    Args:
        forward: token ids [rows, positions] to the residual stream at the recipe's hook.
        recipe: of the SAEs.
        rows: token ids, each row opened by BOS.
        seeds: the SAEs.
        work: folder for the checkpoint and the curve, `curve.tsv`: tokens, dead features of the first SAE, sinks left out,
            and for each SAE the share of variance explained in that block.
        device: as `tools.bench.compute.choose_device` returns it.
        stop_after: blocks after which to stop as if killed, for tests.

    Returns:
        Explained variance of each SAE over the last block; None where nothing was left to train.

    Raises:
        StudyError: the checkpoint belongs to another training.
    """
    work.mkdir(parents=True, exist_ok=True)
    per_block = recipe.store_batch_size_prompts * recipe.n_batches_in_buffer
    in_block = per_block * (recipe.context_size - 1)
    n_blocks = max(1, round(recipe.training_tokens / in_block))
    told = recipe.model_dump(mode="json", exclude=_NOT_READ)
    plan = {"recipe": told, "seeds": [seed.number for seed in seeds], "blocks": n_blocks}
    training = _Training(forward, recipe, rows[: n_blocks * per_block], per_block, device)
    first, scale, dictionaries = training.begin(seeds, work / CHECKPOINT, plan)
    explained: list[float] | None = None
    saved = began = time.monotonic()
    with Bars(LineConsole()) as progress, (work / CURVE).open("a", encoding="utf-8") as curve:
        task = progress.add_task("train        SAE tokens", total=n_blocks * in_block, completed=first * in_block)
        for number in range(first, n_blocks if stop_after is None else min(stop_after, n_blocks)):
            block = training.read(number, recipe.sink_multiple * scale.median)
            explained = [training.learn(dictionary, block, scale, number, n_blocks) for dictionary in dictionaries]
            dead, tokens = int(dictionaries[0].dead.sum()), (number + 1) * in_block
            rate = (tokens - first * in_block) / (time.monotonic() - began)
            told = f"explained {explained[0]:.3f}, dead {dead}, {rate:,.0f} tokens/s"
            progress.update(task, completed=tokens, status=told)
            shares = (f"{share:.4f}" for share in explained)
            curve.write("\t".join([str(tokens), str(dead), str(block.n_sinks), *shares]) + "\n")
            curve.flush()
            if number + 1 == n_blocks or time.monotonic() - saved > 60 * recipe.checkpoint_minutes:
                _keep(work / CHECKPOINT, number + 1, scale, dictionaries, plan)
                saved = time.monotonic()
    if stop_after is None or stop_after >= n_blocks:
        for dictionary, seed in zip(dictionaries, seeds, strict=True):
            shutil.rmtree(seed.folder, ignore_errors=True)  # what was measured of an earlier one goes with it
            dictionary.save(seed.folder, scale, n_blocks * in_block)
    return explained


class _Training(NamedTuple):
    """What does not change from block to block."""

    forward: Callable[[Tensor], Tensor]
    recipe: SaeRecipe
    rows: Int64[np.ndarray, "rows positions"]
    per_block: int
    device: str

    def read(self, number: int, bound: float) -> Block:
        rows = self.rows[number * self.per_block : (number + 1) * self.per_block]
        return read_block(self.forward, rows, bound, self.recipe.store_batch_size_prompts, self.device)

    def begin(
        self, seeds: Sequence[Seed], checkpoint: Path, plan: Mapping[str, object]
    ) -> tuple[int, Scale, list[TopKDictionary]]:
        """From the checkpoint, or from fresh weights and the scale of the first block."""
        stored = _read_checkpoint(checkpoint, plan)
        if stored is None:
            done, scale = 0, measure_scale(self.read(0, _UNBOUNDED).activations, self.recipe.sink_multiple)
        else:
            done = int(stored["done"])
            scale = Scale(float(stored["median"]), stored["mean"], float(stored["factor"]))
        dictionaries = [TopKDictionary(self.recipe, scale, seed.number).to(self.device) for seed in seeds]
        if stored is not None:
            for dictionary in dictionaries:
                mark = f"{dictionary.seed}."
                dictionary.restore({n[len(mark) :]: v for n, v in stored.items() if n.startswith(mark)})
        return done, scale, dictionaries

    def learn(self, dictionary: TopKDictionary, block: Block, scale: Scale, number: int, n_blocks: int) -> float:
        """One pass over a block in the SAE's own order; the mean of what was explained."""
        activations = block.activations * scale.factor
        batches = list(split_batches(len(activations), self.recipe.train_batch_size_tokens, (dictionary.seed, number)))
        total = 0.0
        for i, batch in enumerate(batches):
            step, steps = number * len(batches) + i, n_blocks * len(batches)
            total += dictionary.step(activations[batch], rate_at(step, steps, self.recipe))
        return total / len(batches)


def rate_at(step: int, steps: int, recipe: SaeRecipe) -> float:
    """Share of the full learning rate: linear warm-up, plateau, linear decay to zero."""
    warm = (step + 1) / max(1, recipe.lr_warm_up_steps)
    return min(1.0, warm, (steps - step) / max(1, recipe.lr_decay_steps))


def _keep(
    file: Path, done: int, scale: Scale, dictionaries: Sequence[TopKDictionary], plan: Mapping[str, object]
) -> None:
    numbers = {"done": done, "median": scale.median, "factor": scale.factor}
    tensors = {name: torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()}
    tensors["mean"] = scale.mean.contiguous()
    for dictionary in dictionaries:
        tensors |= {f"{dictionary.seed}.{name}": value.contiguous() for name, value in dictionary.state().items()}
    with replacing(file) as new:
        save_file(tensors, new, metadata={"plan": json.dumps(plan, sort_keys=True)})


def _read_checkpoint(file: Path, plan: Mapping[str, object]) -> dict[str, Tensor] | None:
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt") as opened:
            stored = (opened.metadata() or {}).get("plan")
    except (SafetensorError, OSError) as error:
        raise StudyError(f"checkpoint {file} is damaged ({error}): delete it to begin anew") from error
    if stored != json.dumps(plan, sort_keys=True):
        raise StudyError(
            f"{file} belongs to another training (its recipe, seeds or budget differ): delete it or give another --work"
        )
    return load_file(file)
