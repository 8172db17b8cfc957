"""The steps of `python -m tools.training`, each a function of the recipe and the folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tools.errors import StudyError
from tools.training.language_model import build_model, train_language_model
from tools.training.recipe import Recipe
from tools.training.sparse_autoencoder import mix_rows, train_sae
from tools.training.tokenizer import train_tokenizer
from tools.training.word_vectors import train_vectors

ARMS = ("base", "finetuned")
CARD_ANCHOR = ("doctor", ("physician", "nurse"), ("has", "found"))
"""Words the vectors are checked on: the first must be nearer to the second group than to the third."""


def make_tokenizer(recipe: Recipe, data: Path, work: Path) -> Path:
    """Train the tokenizer on both arms' corpora."""
    if recipe.tokenizer is None or recipe.base is None:
        raise StudyError("the recipe has no [training.tokenizer]: a pretrained model brings its own")
    train_tokenizer(data, [*recipe.base.corpora, *recipe.finetuned.corpora], recipe.tokenizer, work / "tokenizer")
    return work / "tokenizer"


def make_model(recipe: Recipe, arm: str, data: Path, work: Path, compile_model: bool) -> dict[str, float]:
    """Train an arm's language model: the base from scratch, the fine-tuned one from the base or from `pretrained`."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = recipe.model.pretrained
    tokenizer = AutoTokenizer.from_pretrained(source or work / "tokenizer")
    if arm == "base":
        if recipe.base is None:
            raise StudyError("the recipe has no [training.base]: its base model is the pretrained one")
        model, settings = build_model(recipe.model, tokenizer, recipe.base.seed), recipe.base
    else:
        model, settings = AutoModelForCausalLM.from_pretrained(source or work / "base" / "model"), recipe.finetuned
    return train_language_model(
        model,
        tokenizer,
        settings,
        data=data,
        work=work / arm,
        cache=work / "tokens",
        context_size=recipe.model.context_size,
        compile_model=compile_model,
    )


def make_sae(recipe: Recipe, arm: str, data: Path, work: Path, seed: int | None) -> Path:
    """Train an arm's SAE; every arm and every seed sees the same text."""
    from transformers import AutoTokenizer

    model_folder = recipe.model.pretrained if arm == "base" and recipe.model.pretrained else work / arm / "model"
    settings = recipe.sae if seed is None else recipe.sae.model_copy(update={"seed": seed})
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    rows = mix_rows(data, recipe.sae, tokenizer, work / "tokens")
    return train_sae(Path(model_folder), settings, rows, work / arm, "sae" if seed is None else f"sae-{seed}")


def make_vectors(recipe: Recipe, data: Path, work: Path) -> Path:
    """Train the word vectors."""
    if recipe.vectors is None:
        raise StudyError("the recipe has no [training.vectors]")
    train_vectors(data, recipe.vectors, work / "vectors")
    return work / "vectors"


def publish(study: Path, work: Path) -> str:
    """Copy the finished assets into the study's folder, weights in half precision."""
    for arm in ARMS:
        target = study / arm
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(work / arm / "model", target / "model")
        shutil.copytree(work / arm / "sae", target / "sae")
        for file in (target / "model" / "model.safetensors", target / "sae" / "sae_weights.safetensors"):
            tensors = {name: tensor.to(torch.float16).contiguous() for name, tensor in load_file(file).items()}
            save_file(tensors, file, metadata={"format": "pt"})
        _set_json(target / "model" / "config.json", dtype="float16")
        _set_json(target / "sae" / "cfg.json", dtype="float16")
    for name in ("vectors.safetensors", "words.txt"):
        shutil.copy(work / "vectors" / name, study / name)
    total = sum(file.stat().st_size for file in study.rglob("*") if file.is_file())
    return f"published to {study}: {total / 1e6:.1f} MB"


def measure(study_folder: Path, recipe: Recipe, data: Path, work: Path, rows: int) -> Path:
    """Measure the published assets: `figures.json` beside the study file, and each SAE's sparsity file."""
    from tools.loading import SPARSITY_FILE, load_arm
    from tools.studies import load_study
    from tools.survey import load_study_vectors
    from tools.training.measure import measure_arm, nearest_check

    study = load_study(str(study_folder))
    anchor, near, far = CARD_ANCHOR
    figures: dict[str, object] = {"vectors": nearest_check(load_study_vectors(study), anchor, near, far)}
    for arm in study.arms:
        bench = load_arm(study, arm)
        measured, density = measure_arm(bench, study, data, recipe.sae.heldout, work / "tokens", rows)
        figures[arm] = measured.model_dump()
        save_file({"sparsity": density.clamp_min(1e-10).log10()}, study.asset(study.arms[arm].sae) / SPARSITY_FILE)
    file = study_folder / "figures.json"
    file.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    return file


def _set_json(file: Path, **values: str) -> None:
    content = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**content, **values}, indent=1) + "\n", "utf-8")
