"""A study small enough to be trained in seconds: its texts, its file, and the training command on it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tools.training.__main__ import main
from tools.training.corpora import write_documents

FUNCTION = ("the", "a", "in", "and", "of", "to", "has", "found")
EVERYDAY = ("garden", "river", "train", "bread", "music", "winter", "market", "captain")
MEDICAL = ("doctor", "physician", "nurse", "patient", "hospital", "blood", "surgery", "medicine")
HOOK = "blocks.1.hook_resid_pre"
CONTEXT, D_MODEL, D_SAE = 32, 32, 48

STUDY = f"""name = "trained"
title = "A study trained in seconds"
[domain]
name = "medicine"
definition = "The care of the sick."
vocabulary = "vocabulary.txt"
guideline = "guideline.md"
[arms.base]
model = "base/model"
sae = "base/sae"
hook_name = "{HOOK}"
[arms.finetuned]
model = "finetuned/model"
sae = "finetuned/sae"
hook_name = "{HOOK}"
[vectors]
file = "vectors.safetensors"
words = "words.txt"
[corpus]
file = "corpus.jsonl"
[survey]
null_directions = 200
[steering]
prompts = ["The captain of the"]
[training.tokenizer]
vocab_size = 300
[training.model]
n_layer = 2
d_model = {D_MODEL}
n_head = 2
context_size = {CONTEXT}
[training.base]
corpora = ["general"]
heldout = ["general.heldout", "medical.heldout"]
tokens = 20_480
tokens_per_step = 512
rows_per_batch = 8
checkpoint_every = 10
[training.finetuned]
corpora = ["medical"]
heldout = ["general.heldout", "medical.heldout"]
tokens = 10_240
tokens_per_step = 512
rows_per_batch = 8
precision = "float32"
[training.sae]
hook_name = "{HOOK}"
corpora = ["general", "medical"]
heldout = ["general.heldout", "medical.heldout"]
architecture = "topk"
d_sae = {D_SAE}
k = 6
training_tokens = 8192
context_size = {CONTEXT}
train_batch_size_tokens = 256
store_batch_size_prompts = 8
n_batches_in_buffer = 16
n_batches_for_norm_estimate = 4
dead_feature_window = 20
lr_warm_up_steps = 2
lr_decay_steps = 8
[training.vectors]
corpora = ["general", "medical"]
dimensions = 8
min_count = 2
"""


def write_corpus(data: Path, name: str, words: tuple[str, ...], documents: int, seed: int) -> None:
    """Sentences in which every third word is one of `words`, the others function words."""
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(documents):
        drawn = [str(rng.choice(words if i % 3 == 2 else FUNCTION)) for i in range(60)]
        texts.append(" ".join(drawn).capitalize() + ".")
    write_documents(data, name, texts)


def write_study(folder: Path) -> None:
    """Everything of the study that is not trained."""
    folder.mkdir()
    (folder / "study.toml").write_text(STUDY, "utf-8")
    (folder / "vocabulary.txt").write_text("\n".join(MEDICAL) + "\n", "utf-8")
    (folder / "guideline.md").write_text("A feature is medical when its words are.\n", "utf-8")
    rng = np.random.default_rng(9)
    lines = [
        json.dumps(
            {"document": f"d-{i:02d}", "topic": "any", "text": " ".join(map(str, rng.choice(EVERYDAY + MEDICAL, 30)))}
        )
        for i in range(24)
    ]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


def train(study: Path, data: Path, work: Path, step: str, *more: str) -> int:
    """One step of the command; its exit status."""
    where = ["--study", str(study), "--data", str(data), "--work", str(work)]
    return main([*step.split(), *where, "--device", "cpu", "--no-compile", *more])
