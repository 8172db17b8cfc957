"""A sparse autoencoder for one arm, trained by SAELens' own runner on the arm's own activations, or by its trainer on any."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from tools.errors import StudyError
from tools.training.activation_stream import check_context
from tools.training.corpora import load_rows
from tools.training.recipe import SaeRecipe


def mix_rows(
    data: Path, recipe: SaeRecipe, tokenizer: PreTrainedTokenizerFast, cache: Path
) -> Int64[np.ndarray, "rows context_size"]:
    """Rows drawn in equal shares from each corpus: the same rows in the same order for every arm and every seed.

    Raises:
        StudyError: a corpus is not there, or too short for its share.
    """
    rng = np.random.default_rng(recipe.seed)
    n_rows = (
        recipe.training_tokens // recipe.context_size + recipe.store_batch_size_prompts * recipe.n_batches_in_buffer * 2
    )
    share = n_rows // len(recipe.corpora) + 1
    parts = []
    for corpus in recipe.corpora:
        rows = load_rows(data, corpus, tokenizer, cache, recipe.context_size, least=share)
        parts.append(rows[rng.permutation(len(rows))[:share]])
    mixed = np.concatenate(parts)
    return mixed[rng.permutation(len(mixed))]


def train_sae(
    bridge: Any,
    recipe: SaeRecipe,
    rows: Int64[np.ndarray, "rows context_size"],
    out: Path,
    *,
    seed: int,
    device: str = "cpu",
) -> None:
    """Train on the rows and save the inference SAE into `out`.

    Args:
        bridge: the language model (`tools.bench.loading.load_model`), in float32.
        recipe: of the SAE.
        rows: token ids, each row opened by BOS.
        out: folder to make.
        seed: of the first weights and of the order in which activations are seen. The runner's own setting of that name
            is never read by the library, which would draw from whatever state torch is in.
        device: as `tools.bench.compute.choose_device` returns it.

    Raises:
        StudyError: the recipe's hook or context does not fit the model.
    """
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")  # deprecations inside the libraries
        from datasets import Dataset
        from sae_lens import LanguageModelSAETrainingRunner

        _check_fit(bridge, recipe)
        torch.manual_seed(seed)
        runner = LanguageModelSAETrainingRunner(
            _runner_config(recipe, int(bridge.cfg.d_model), device),
            override_dataset=Dataset.from_dict({"input_ids": rows}),
            override_model=bridge,
        )
        sae = runner.run()
    _save(sae, out)


def make_fresh(recipe: SaeRecipe, d_in: int, *, seed: int, device: str = "cpu") -> Any:
    """An SAE before any training, with weights drawn by its seed."""
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")  # deprecations inside the libraries
        from sae_lens import TrainingSAE

        config = _runner_config(recipe, d_in, device)
        torch.manual_seed(seed)
        return TrainingSAE.from_dict(config.get_training_sae_cfg_dict()).to(device)


def train_on_stream(sae: Any, recipe: SaeRecipe, activations: Iterator[Float[Tensor, "batch d_in"]], out: Path) -> None:
    """Train a fresh SAE on activations as they come, with the trainer that SAELens' runner uses, and save it into `out`.

    Args:
        sae: as `make_fresh` gives it.
        recipe: of the SAE; batches have its `train_batch_size_tokens`.
        activations: without end.
        out: folder to make.
    """
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")  # deprecations inside the libraries
        from sae_lens.training.sae_trainer import SAETrainer

        config = _runner_config(recipe, int(sae.cfg.d_in), str(sae.device)).to_sae_trainer_config()
        SAETrainer(cfg=config, sae=sae, data_provider=activations).fit()
    _save(sae, out)


def _save(sae: Any, out: Path) -> None:
    """For use, in a folder of its own."""
    shutil.rmtree(out, ignore_errors=True)  # what was measured of an earlier one goes with it
    sae.save_inference_model(str(out))


def _check_fit(bridge: Any, recipe: SaeRecipe) -> None:
    if recipe.hook_name not in bridge.hook_dict:
        raise StudyError(
            f"training.sae.hook_name {recipe.hook_name!r} is no place in the model: it has {bridge.cfg.n_layers} layers, "
            "blocks.0.hook_resid_pre the first"
        )
    check_context(bridge, recipe)


def _runner_config(recipe: SaeRecipe, d_in: int, device: str) -> Any:
    from sae_lens import LanguageModelSAERunnerConfig, LoggingConfig

    return LanguageModelSAERunnerConfig(
        sae=_sae_config(recipe, d_in),
        model_name="local",
        hook_name=recipe.hook_name,
        dataset_path="local",
        is_dataset_tokenized=True,
        streaming=False,
        context_size=recipe.context_size,
        training_tokens=recipe.training_tokens,
        train_batch_size_tokens=recipe.train_batch_size_tokens,
        store_batch_size_prompts=recipe.store_batch_size_prompts,
        n_batches_in_buffer=recipe.n_batches_in_buffer,
        n_batches_for_norm_estimate=recipe.n_batches_for_norm_estimate,
        exclude_special_tokens=True,
        lr=recipe.lr,
        lr_warm_up_steps=recipe.lr_warm_up_steps,
        lr_decay_steps=recipe.lr_decay_steps,
        dead_feature_window=recipe.dead_feature_window,
        feature_sampling_window=recipe.dead_feature_window,
        autocast_lm=recipe.precision == "bfloat16",
        device=device,
        n_eval_batches=1,
        n_checkpoints=0,
        checkpoint_path=None,
        output_path=None,
        logger=LoggingConfig(log_to_wandb=False),
    )


def _sae_config(recipe: SaeRecipe, d_in: int) -> Any:
    """What is trained, as SAELens is told."""
    from sae_lens import (
        BatchTopKTrainingSAEConfig,
        GatedTrainingSAEConfig,
        JumpReLUTrainingSAEConfig,
        StandardTrainingSAEConfig,
        TopKTrainingSAEConfig,
    )

    common: dict[str, Any] = {
        "d_in": d_in,
        "d_sae": recipe.d_sae,
        "normalize_activations": recipe.normalize_activations,
    }
    l1: dict[str, Any] = {"l1_coefficient": recipe.l1_coefficient, "l1_warm_up_steps": recipe.l1_warm_up_steps}
    l0: dict[str, Any] = {"l0_coefficient": recipe.l0_coefficient, "l0_warm_up_steps": recipe.l1_warm_up_steps}
    match recipe.architecture:
        case "topk":
            return TopKTrainingSAEConfig(**common, k=recipe.k)
        case "batchtopk":
            return BatchTopKTrainingSAEConfig(**common, k=recipe.k)
        case "standard":
            return StandardTrainingSAEConfig(**common, **l1)
        case "gated":
            return GatedTrainingSAEConfig(**common, **l1)
        case "jumprelu":
            return JumpReLUTrainingSAEConfig(**common, **l0)
        case "p-annealing":
            return _annealed_config(recipe, common | l1)


def _annealed_config(recipe: SaeRecipe, settings: dict[str, Any]) -> Any:
    """The power changes from a share of the training on, as often as the recipe says, but at most once a step."""
    from tools.training.p_annealing import PAnnealingTrainingSAEConfig, register

    register()
    steps = max(1, recipe.training_tokens // recipe.train_batch_size_tokens)
    start = min(int(recipe.anneal_start_share * steps), steps - 1)
    return PAnnealingTrainingSAEConfig(
        **settings,
        p_end=recipe.p_end,
        n_changes=min(recipe.p_changes, steps - start),
        anneal_start=start,
        anneal_end=steps,
    )
