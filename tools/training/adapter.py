"""A LoRA adapter: a small change of given weights, trained by itself and kept in peft's layout."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.pytorch_utils import Conv1D

from tools.errors import StudyError
from tools.training.language_model import train_language_model
from tools.training.recipe import AdapterRecipe


def train_adapter(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    recipe: AdapterRecipe,
    *,
    base: str,
    data: Path,
    work: Path,
    cache: Path,
    device: str = "cpu",
) -> dict[str, float]:
    """Train to the recipe's budget, going on from `work/checkpoint.pt`, and save half-precision weights into `work/adapter`.

    Args:
        model: given weights, in float32; it is changed.
        tokenizer: of the model.
        recipe: of the adapter.
        base: what the adapter says it was trained on: the model's name, and no path of this machine.
        data: folder of the corpora.
        work: folder for the checkpoint, the log and the adapter.
        cache: folder for token ids.
        device: as `tools.bench.compute.choose_device` returns it.

    Returns:
        Held-out loss in nats for each held-out corpus.

    Raises:
        StudyError: peft is not installed, or as `train_language_model`.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise StudyError("adapters are trained with peft: pip install -c constraints.txt -e '.[training]'") from None
    torch.manual_seed(recipe.seed)
    settings: Any = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),  # GPT-2's matrices
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # between the two libraries
        adapted: Any = get_peft_model(model, settings)
    losses = train_language_model(
        adapted.base_model.model,
        tokenizer,
        recipe,
        data=data,
        work=work,
        cache=cache,
        context_size=recipe.context_size,
        device=device,
        compile_model=False,
        save=False,
    )
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.half()
    adapted.peft_config["default"].base_model_name_or_path = base
    # Embeddings are not trained; asked to find out by itself, the library would look the model up on the hub.
    adapted.save_pretrained(str(work / "adapter"), save_embedding_layers=False)
    (work / "adapter" / "README.md").unlink(missing_ok=True)  # an empty form for a model card
    return losses
