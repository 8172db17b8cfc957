"""The steps of `python -m tools.training`, each a function of the recipe and the folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from safetensors.torch import load_file, save_file

from tools.bench.checkpoint import Change
from tools.bench.compute import Compute, settle_precision
from tools.bench.loading import load_model
from tools.border.hub import is_model_cached, offline_mode, require_hub
from tools.errors import StudyError
from tools.study.definition import Arm as StudyArm
from tools.study.definition import Study
from tools.training.activation_stream import cut_before_block
from tools.training.language_model import build_model, read_model, train_language_model
from tools.training.recipe import Arm, Recipe
from tools.training.sparse_autoencoder import train_sae
from tools.training.streamed import Seed, train_side_by_side
from tools.training.tokenizer import train_tokenizer
from tools.training.word_vectors import train_vectors

CARD_ANCHOR = ("doctor", ("physician", "nurse"), ("has", "found"))
"""Words the vectors are checked on: the first must be nearer to the second group than to the third."""
OTHER_SEEDS = "sae-*"
Draw = Callable[[Any], Int64[np.ndarray, "rows context_size"]]
"""Given the model's tokenizer, the rows that SAEs are trained on, each opened by BOS."""
VECTOR_FILES = ("vectors.safetensors", "words.txt")


def make_tokenizer(recipe: Recipe, data: Path, work: Path) -> Path:
    """Train the tokenizer on both arms' corpora."""
    if recipe.tokenizer is None or recipe.base is None:
        raise StudyError("the recipe has no [training.tokenizer]: a pretrained model brings its own")
    corpora = [corpus for settings in (recipe.base, recipe.finetuned) if settings for corpus in settings.corpora]
    train_tokenizer(data, corpora, recipe.tokenizer, work / "tokenizer")
    return work / "tokenizer"


def find_model(folder: Path, recipe: Recipe, arm: Arm, work: Path) -> str:
    """Where an arm's model is: what the recipe gives, or the folder it is trained into. An adapter lies beside it.

    Raises:
        StudyError: it has not been trained.
        LoadError: it is on the hub, which cannot be reached.
    """
    given = recipe.given_model(arm)
    if given is None:
        return str(_require(work / arm / "model", arm))
    if (folder / given).exists():
        return str(folder / given)
    if not _is_at_hand(given):
        require_hub("the recipe", given, "connect once to download it, or give a folder that holds it")
    return given


def make_model(
    folder: Path, recipe: Recipe, arm: Arm, data: Path, work: Path, device: str = "cpu", compile_model: bool = True
) -> dict[str, float]:
    """Train an arm's language model: the base from scratch, the fine-tuned one from the base's weights."""
    given, settings = recipe.given_model(arm), recipe.base if arm == "base" else recipe.finetuned
    if given is not None or settings is None:
        raise StudyError(f"the recipe trains no {arm} model: it is {given or 'not in it'}")
    if arm == "base":
        tokenizer = _read_tokenizer(str(_require(work / "tokenizer", "tokenizer")))
        model = build_model(recipe.model, tokenizer, settings.seed)
    else:
        source = find_model(folder, recipe, "base", work)
        with offline_mode(_is_at_hand(source)):
            tokenizer, model = _read_tokenizer(source), read_model(source)
    return train_language_model(
        model,
        tokenizer,
        settings,
        data=data,
        work=work / arm,
        cache=work / "tokens",
        context_size=recipe.model.context_size,
        device=device,
        compile_model=compile_model,
    )


def make_adapter(
    folder: Path, recipe: Recipe, arm: Arm, data: Path, work: Path, device: str = "cpu"
) -> dict[str, float]:
    """Train an arm's adapter on the given model."""
    if arm not in recipe.adapters:
        raise StudyError(f"the recipe trains no adapter for arm {arm}: {', '.join(recipe.adapters) or 'it has none'}")
    from tools.bench.checkpoint import read_checkpoint
    from tools.training.adapter import train_adapter

    source = find_model(folder, recipe, arm, work)
    with offline_mode(_is_at_hand(source)):
        given = read_checkpoint(source, device, "float32")
    return train_adapter(
        given.model,
        given.tokenizer,
        recipe.adapters[arm],
        base=Path(source).name if Path(source).exists() else source,
        data=data,
        work=work / arm,
        cache=work / "tokens",
        device=device,
    )


def make_saes(
    folder: Path,
    recipe: Recipe,
    arm: Arm,
    draw: Draw,
    work: Path,
    seeds: Sequence[int | None] = (None,),
    device: str = "cpu",
    beside: str = "",
) -> str:
    """Train SAEs of an arm, one for each seed, None being the recipe's; every arm and every seed sees the same text.

    Those of a varied recipe (`SaeRecipe.varied`) go into a folder `beside` the arm's own, where `publish` does not look.

    The arms start from different weights, as two seeds do, so that what differs between them can be held against what
    differs between seeds.
    """
    beside_arm = work / arm / beside
    wanted = number_seeds(recipe, arm, seeds, beside_arm)
    model, streams = find_model(folder, recipe, arm, work), recipe.sae.trainer == "stream"
    with offline_mode(_is_at_hand(model)):
        # SAELens' runner reads in float32, and lowers the precision of single products by itself.
        precision = recipe.sae.precision if streams else "float32"
        bridge = load_model(model, device, precision, change_of(recipe, arm, work)).bridge
        if recipe.model.finetuned is not None and arm == "finetuned":
            _check_vocabulary(bridge.tokenizer, find_model(folder, recipe, "base", work), model)
        rows, told = draw(bridge.tokenizer), [""] * len(wanted)
        if streams:
            forward = cut_before_block(bridge, recipe.sae)
            training = beside_arm / "-".join(["training", *(str(seed.number) for seed in wanted)])
            explained = train_side_by_side(forward, recipe.sae, rows, wanted, training, device)
            told = [f"explained {share:.3f} of the last block" for share in explained or ()] or ["was ready"] * len(
                wanted
            )
        else:
            for seed in wanted:
                train_sae(bridge, recipe.sae, rows, seed.folder, seed=seed.number, device=device)
    return "; ".join(f"{seed.folder} {share}".strip() for seed, share in zip(wanted, told, strict=True))


def number_seeds(recipe: Recipe, arm: Arm, seeds: Sequence[int | None], folder: Path) -> list[Seed]:
    """What each SAE's weights are drawn by, and its folder in that of all."""
    return [
        Seed(
            len(recipe.arms) * (recipe.sae.seed if seed is None else seed) + recipe.arms.index(arm),
            folder / name_seed(recipe, seed, len(seeds) > 1),
        )
        for seed in seeds
    ]


def name_seed(recipe: Recipe, seed: int | None, among_others: bool = False) -> str:
    """The folder of an SAE: the study's own seed's is `sae`, even where it is named among others."""
    return "sae" if seed is None or (among_others and seed == recipe.sae.seed) else f"sae-{seed}"


def change_of(recipe: Recipe, arm: Arm, work: Path) -> Change:
    """What is done to an arm's model when it is loaded."""
    adapter = _require(work / arm / "adapter", f"adapter --arm {arm}") if arm in recipe.adapters else None
    return Change(adapter, 0 if arm == recipe.untrained else None)


def make_vectors(recipe: Recipe, data: Path, work: Path) -> Path:
    """Train the word vectors."""
    if recipe.vectors is None:
        raise StudyError("the recipe has no [training.vectors]")
    train_vectors(data, recipe.vectors, work / "vectors")
    return work / "vectors"


def publish(study: Path, recipe: Recipe, work: Path) -> str:
    """Copy the finished assets into the study's folder, SAEs of all seeds, each arm's in a folder of its name.

    Weights that were trained from scratch are stored in half precision, to ship; others keep theirs, as the arm that they
    are compared with does.

    Raises:
        StudyError: something has not been trained; nothing is changed then.
    """
    copies: dict[Path, Path] = {}
    half = recipe.model.pretrained is None if recipe.published.half is None else recipe.published.half
    for arm in recipe.arms:
        target = study / recipe.published.of(arm)
        if arm in recipe.adapters:
            copies[target / "adapter"] = _require(work / arm / "adapter", f"adapter --arm {arm}")
        elif recipe.given_model(arm) is None:
            copies[target / "model"] = _require(work / arm / "model", arm)
        copies[target / "sae"] = _require(work / arm / "sae", f"sae --arm {arm}")
        copies |= {target / folder.name: folder for folder in (work / arm).glob(OTHER_SEEDS)}
    if recipe.vectors is not None:
        copies |= {study / name: _require(work / "vectors" / name, "vectors") for name in VECTOR_FILES}
    for target, source in copies.items():
        if source.is_file():
            shutil.copy(source, target)
            continue
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
        if target.name != "adapter" and half:
            halve(target)
    total = sum(file.stat().st_size for file in study.rglob("*") if file.is_file())
    return f"published to {study}: {total / 1e6:.1f} MB"


def measure(study_folder: Path, recipe: Recipe, data: Path, work: Path, rows: int, device: str = "cpu") -> Path:
    """Measure the published assets, and SAEs of other seeds: `figures.json` beside the study file, and sparsity files.

    An SAE without its sparsity file counts as one whose features are all alive; so every one made here gets one, or seeds
    could not be compared.
    """
    from tools.bench.arms import locate
    from tools.bench.loading import SPARSITY_FILE, load_arm
    from tools.study.reading import load_study
    from tools.survey.lexicon import load_study_vectors
    from tools.training.measure import measure_arm, nearest_check

    study = load_study(str(study_folder))
    vectors = load_study_vectors(study)
    anchor, near, far = CARD_ANCHOR
    known = all(word in vectors.row for word in (anchor, *near, *far))
    figures: dict[str, object] = {"vectors": nearest_check(vectors, anchor, near, far) if known else {}}
    study = study.model_copy(update={"arms": {**study.arms, **_other_seeds(study, recipe)}})
    for arm in study.arms:
        bench = load_arm(study, arm, Compute(device, settle_precision("auto", study.precision)))
        measured, density = measure_arm(bench, study, data, recipe.sae.heldout, work / "tokens", rows)
        figures[arm.removeprefix(f"{study.folder}/")] = measured.model_dump()
        sae = locate(study, study.arms[arm].sae)
        if isinstance(sae, Path):
            save_file({"sparsity": density.clamp_min(1e-10).log10()}, sae / SPARSITY_FILE)
    file = study_folder / "figures.json"
    file.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    return file


def _other_seeds(study: Study, recipe: Recipe) -> dict[str, StudyArm]:
    """Arms for the published SAEs of other seeds that no arm names, called by where they lie."""
    named = {(study.folder / arm.sae).resolve() for arm in study.arms.values()}
    return {
        str(folder): study.arms[arm].model_copy(update={"sae": str(folder)})
        for arm in map(recipe.published.of, recipe.arms)
        for folder in sorted((study.folder / arm).glob(OTHER_SEEDS))
        if folder.resolve() not in named
    }


def _is_at_hand(model: str) -> bool:
    return Path(model).is_dir() or is_model_cached(model)


def _require(path: Path, step: str) -> Path:
    if not path.exists():
        raise StudyError(f"{path} is missing: run step {step} first (python -m tools.training {step} --data TEXTS)")
    return path


def _read_tokenizer(source: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(source)


def _check_vocabulary(tokenizer: Any, base: str, finetuned: str) -> None:
    if tokenizer.get_vocab() != _read_tokenizer(base).get_vocab():
        raise StudyError(
            f"{finetuned} has another vocabulary than {base}: the two arms' SAEs cannot be trained on the same tokens"
        )


def halve(folder: Path) -> None:
    """Store the weights of a folder, a model's or an SAE's, in half precision."""
    for file in folder.glob("*.safetensors"):
        tensors = {name: tensor.to(torch.float16).contiguous() for name, tensor in load_file(file).items()}
        save_file(tensors, file, metadata={"format": "pt"})
    config = next(file for name in ("config.json", "cfg.json") if (file := folder / name).is_file())
    content = json.loads(config.read_text("utf-8"))
    config.write_text(json.dumps({**content, "dtype": "float16"}, indent=1) + "\n", "utf-8")
