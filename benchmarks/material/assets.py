"""A study with random weights, in the shapes of GPT-2 small or in toy ones: model, SAE, word vectors, corpus.

It is written into a folder and loaded like any other study, so that what is measured is what users run. Texts are made-up
words, each one token, drawn with the frequencies of words in text (Zipf). The SAE's features are active at about one
token in a hundred.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.material.words import make_word_vectors, spell
from benchmarks.records import Scale
from tools.bench.compute import Compute
from tools.bench.loading import load_arm
from tools.bench.workbench import Workbench
from tools.study.definition import Study
from tools.study.reading import load_study


class Shape(NamedTuple):
    """Sizes of the study's parts."""

    n_layers: int
    n_heads: int
    d_model: int
    d_vocab: int
    d_sae: int
    context: int
    layer: int
    """The SAE reads the residual stream before it."""
    dim: int
    """Of the word vectors."""
    documents: int
    words: int
    """Of each document."""


SHAPES: dict[Scale, Shape] = {
    "small": Shape(
        n_layers=3, n_heads=2, d_model=32, d_vocab=500, d_sae=256, context=64, layer=2, dim=16, documents=40, words=30
    ),
    "full": Shape(
        n_layers=12,
        n_heads=12,
        d_model=768,
        d_vocab=50_257,
        d_sae=24_576,
        context=1024,
        layer=8,
        dim=100,
        documents=60,
        words=127,
    ),
}
END = "<|endoftext|>"
DENSITY_LEVEL = 2.33
"""In standard deviations: a normal variable exceeds it once in a hundred times."""


def make_study(folder: Path, scale: Scale, steering: str) -> Study:
    """Write the study's files.

    Args:
        folder: an existing folder for them.
        scale: of what shape.
        steering: the body of the study file's [steering] table.
    """
    shape = SHAPES[scale]
    hook_name = f"blocks.{shape.layer}.hook_resid_pre"
    write_texts(folder, shape)
    norm = _write_model(folder / "model", shape)
    _write_sae(folder / "sae", shape, hook_name, norm)
    (folder / "study.toml").write_text(
        f"""name = "benchmark"
title = "Random weights"
[domain]
name = "medicine"
definition = "The care of the sick."
vocabulary = "vocabulary.txt"
guideline = "guideline.md"
[arms.base]
model = "model"
sae = "sae"
hook_name = "{hook_name}"
[vectors]
file = "vectors.safetensors"
words = "words.txt"
[corpus]
file = "corpus.jsonl"
[survey]
null_directions = 200
[steering]
{steering}
""",
        "utf-8",
    )
    return load_study(str(folder))


def make_bench(folder: Path, scale: Scale, steering: str) -> tuple[Workbench, Study]:
    """Write the study and put its only arm on the bench."""
    study = make_study(folder, scale, steering)
    return load_quietly(study, Compute()), study


def load_quietly(study: Study, compute: Compute) -> Workbench:
    """The study's only arm on the bench."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_arm(study, "base", compute)


def token_words(shape: Shape) -> list[str]:
    """The word of every token but the one that ends a text."""
    return [spell(number) for number in range(shape.d_vocab - 1)]


def write_texts(folder: Path, shape: Shape) -> None:
    """Word vectors, vocabulary, guideline and corpus."""
    from safetensors.numpy import save_file

    words = token_words(shape)
    vectors = make_word_vectors(len(words), shape.dim)
    save_file({"vectors": vectors.matrix}, folder / "vectors.safetensors")
    (folder / "words.txt").write_text("\n".join(words) + "\n", "utf-8")
    (folder / "vocabulary.txt").write_text("\n".join(words[200:260]) + "\n", "utf-8")
    (folder / "guideline.md").write_text("A feature is medical when its words are.\n", "utf-8")
    shares = 1 / np.arange(1, len(words) + 1)
    drawn = np.random.default_rng(0).choice(len(words), (shape.documents, shape.words), p=shares / shares.sum())
    lines = [
        json.dumps({"document": f"document-{n}", "topic": "none", "text": "".join(f" {words[i]}" for i in row)})
        for n, row in enumerate(drawn.tolist())
    ]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


def _write_model(folder: Path, shape: Shape) -> float:
    """A GPT-2 as it is initialised, with a tokenizer of whole words; the mean norm of its residual stream at the hook."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers
        from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
        from transformers.utils import logging

    logging.disable_progress_bar()
    ids = {END: 0} | {f"Ġ{word}": number for number, word in enumerate(token_words(shape), 1)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=END))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END).save_pretrained(folder)
    config = GPT2Config(
        vocab_size=shape.d_vocab,
        n_positions=shape.context,
        n_embd=shape.d_model,
        n_layer=shape.n_layers,
        n_head=shape.n_heads,
        bos_token_id=0,
        eos_token_id=0,
    )
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model: Any = GPT2LMHeadModel(config).eval()
        model.save_pretrained(folder)
        tokens = torch.randint(1, shape.d_vocab, (1, min(64, shape.context)))
        residual = model(tokens, output_hidden_states=True).hidden_states[shape.layer]
    return float(residual.norm(dim=-1).mean())


def _write_sae(folder: Path, shape: Shape, hook_name: str, norm: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sae_lens import StandardSAE, StandardSAEConfig
        from sae_lens.saes.sae import SAEMetadata

    sae: Any = StandardSAE(
        StandardSAEConfig(d_in=shape.d_model, d_sae=shape.d_sae, metadata=SAEMetadata(hook_name=hook_name))
    )
    W_dec = make_directions(shape.d_sae, shape.d_model)
    with torch.no_grad():
        sae.W_dec.copy_(W_dec)
        sae.W_enc.copy_(W_dec.T)
        sae.b_enc.fill_(-DENSITY_LEVEL * norm / shape.d_model**0.5)
        sae.b_dec.zero_()
    sae.save_model(str(folder))


def make_directions(n: int, d_model: int) -> Float[Tensor, "n d_model"]:
    """Unit rows, made in place: of a quarter of a million there should be no second copy."""
    drawn = torch.randn(n, d_model, generator=torch.Generator().manual_seed(2))
    return drawn.div_(drawn.norm(dim=1, keepdim=True))
