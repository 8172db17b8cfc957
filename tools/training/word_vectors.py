"""Skip-gram word vectors over all of a study's text, through gensim."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tools.display.progress import track
from tools.training.corpora import read_documents
from tools.training.recipe import VectorsRecipe

_WORD = re.compile(r"[a-z]+")


class _Sentences:
    """Lower-case words, a paragraph at a time; iterable more than once, as gensim needs."""

    def __init__(self, paragraphs: list[list[str]]) -> None:
        self.paragraphs = paragraphs

    def __iter__(self) -> Iterator[list[str]]:
        return iter(track(self.paragraphs, "vectors      paragraphs"))


def train_vectors(data: Path, recipe: VectorsRecipe, out: Path) -> None:
    """Write `vectors.safetensors` (tensor `vectors` [words, dimensions], float16) and `words.txt`, most frequent first."""
    from gensim.models import Word2Vec

    paragraphs = [
        words
        for corpus in recipe.corpora
        for document in read_documents(data, corpus)
        for paragraph in document.lower().split("\n")
        if len(words := _WORD.findall(paragraph)) > 1
    ]
    model = Word2Vec(
        _Sentences(paragraphs),
        vector_size=recipe.dimensions,
        window=recipe.window,
        epochs=recipe.epochs,
        min_count=recipe.min_count,
        max_final_vocab=recipe.max_words,
        sample=1e-4,
        sg=1,
        workers=recipe.workers,
        seed=recipe.seed,
    )
    out.mkdir(parents=True, exist_ok=True)
    save_file({"vectors": model.wv.vectors.astype(np.float16)}, out / "vectors.safetensors")
    (out / "words.txt").write_text("".join(f"{word}\n" for word in model.wv.index_to_key), "utf-8")
