"""A sparse autoencoder for one arm, trained by SAELens' own runner on the arm's own activations."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from transformers import PreTrainedTokenizerFast

from tools.training.corpora import bos_id, cut_rows, tokenize_corpus
from tools.training.recipe import SaeRecipe


def mix_rows(
    data: Path, recipe: SaeRecipe, tokenizer: PreTrainedTokenizerFast, cache: Path
) -> Int64[np.ndarray, "rows context_size"]:
    """Rows drawn in equal shares from each corpus: the same rows in the same order for every arm and every seed's order."""
    rng = np.random.default_rng(recipe.seed)
    n_rows = (
        recipe.training_tokens // recipe.context_size + recipe.store_batch_size_prompts * recipe.n_batches_in_buffer * 2
    )
    share = n_rows // len(recipe.corpora) + 1
    parts = []
    for corpus in recipe.corpora:
        rows = cut_rows(tokenize_corpus(data, corpus, tokenizer, cache), recipe.context_size, bos_id(tokenizer))
        parts.append(rows[rng.permutation(len(rows))[:share]])
    mixed = np.concatenate(parts)
    return mixed[rng.permutation(len(mixed))]


def train_sae(
    model_folder: Path, recipe: SaeRecipe, rows: Int64[np.ndarray, "rows context_size"], work: Path, name: str = "sae"
) -> Path:
    """Train on the rows and save the inference SAE into `work/name`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the libraries
        from datasets import Dataset
        from sae_lens import LanguageModelSAETrainingRunner
        from transformer_lens.model_bridge import TransformerBridge

        bridge: Any = TransformerBridge.boot_transformers(str(model_folder), device="cpu", dtype=torch.float32)
        dataset = Dataset.from_dict({"input_ids": rows.tolist()})
        runner = LanguageModelSAETrainingRunner(
            _runner_config(recipe, int(bridge.cfg.d_model), work), override_dataset=dataset, override_model=bridge
        )
        sae = runner.run()
    sae.save_inference_model(str(work / name))
    return work / name


def _runner_config(recipe: SaeRecipe, d_in: int, work: Path) -> Any:
    from sae_lens import (
        BatchTopKTrainingSAEConfig,
        LanguageModelSAERunnerConfig,
        LoggingConfig,
        StandardTrainingSAEConfig,
        TopKTrainingSAEConfig,
    )

    common: dict[str, Any] = {
        "d_in": d_in,
        "d_sae": recipe.d_sae,
        "normalize_activations": recipe.normalize_activations,
    }
    if recipe.architecture == "standard":
        sae = StandardTrainingSAEConfig(**common, l1_coefficient=recipe.l1_coefficient)
    elif recipe.architecture == "topk":
        sae = TopKTrainingSAEConfig(**common, k=recipe.k)
    else:
        sae = BatchTopKTrainingSAEConfig(**common, k=recipe.k)
    return LanguageModelSAERunnerConfig(
        sae=sae,
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
        seed=recipe.seed,
        device="cpu",
        n_eval_batches=1,
        n_checkpoints=0,
        checkpoint_path=str(work / "checkpoints"),
        output_path=None,
        logger=LoggingConfig(log_to_wandb=False),
    )
