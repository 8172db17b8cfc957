"""Raw training text on disk, and its tokens.

A corpus `X` is `X.txt.gz` in the data folder: UTF-8 documents separated by a line `<|doc|>` between blank lines.
Tokens are kept as one flat `uint16`/`uint32` array a corpus, documents joined by the end-of-text token.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, Integer
from torch import Tensor, from_numpy
from transformers import PreTrainedTokenizerFast

from tools.display.progress import track
from tools.errors import StudyError

SEPARATOR = "\n\n<|doc|>\n"
_ENCODE_BATCH = 256


def read_documents(data: Path, corpus: str) -> list[str]:
    """All documents of a corpus, in file order.

    Raises:
        StudyError: the file is not there, or is something else.
    """
    path = _find_corpus(data, corpus)
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [document for document in file.read().split(SEPARATOR) if document.strip()]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} is not gzipped UTF-8 text: {error}") from error


def write_documents(data: Path, corpus: str, documents: Iterable[str]) -> Path:
    """Write a corpus as `read_documents` reads it; the folder is made if need be."""
    data.mkdir(parents=True, exist_ok=True)
    path = data / f"{corpus}.txt.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(SEPARATOR.join(documents))
    return path


def _find_corpus(data: Path, corpus: str) -> Path:
    path = data / f"{corpus}.txt.gz"
    if not path.is_file():
        raise StudyError(f"no corpus {corpus!r}: expected {path} (give the folder with --data)")
    return path


def tokenize_corpus(
    data: Path, corpus: str, tokenizer: PreTrainedTokenizerFast, cache: Path
) -> Integer[np.ndarray, " n"]:
    """The corpus as one array of token ids, read from `cache` when this text under this tokenizer is there.

    Raises:
        StudyError: as `read_documents`.
    """
    path = cache / f"{corpus}-{_fingerprint(data, corpus, tokenizer)}.tokens.npy"
    if not path.is_file():
        dtype = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
        parts: list[Any] = []
        documents = read_documents(data, corpus)
        for start in track(range(0, len(documents), _ENCODE_BATCH), f"tokenize     {corpus}"):
            batch = tokenizer(documents[start : start + _ENCODE_BATCH], add_special_tokens=False, verbose=False)
            parts += [np.asarray([*ids, tokenizer.eos_token_id], dtype=dtype) for ids in batch["input_ids"]]
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".new.npy")
        np.save(unfinished, np.concatenate(parts or [np.zeros(0, dtype=dtype)]))
        unfinished.replace(path)
    return np.load(path)


def _fingerprint(data: Path, corpus: str, tokenizer: PreTrainedTokenizerFast) -> str:
    digest = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode())
    with _find_corpus(data, corpus).open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()[:16]


def bos_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """Id at position 0 of every row; tokenizers without a BOS use their end-of-text token, as GPT-2 does."""
    found: Any = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return int(found)


def cut_rows(tokens: Integer[np.ndarray, " n"], context_size: int, bos: int) -> Int64[np.ndarray, "rows context_size"]:
    """Consecutive windows of the stream, each opened by the BOS token: position 0 is always the same sink.

    The models then see in training what instruments and SAE training show them later.
    """
    width = context_size - 1
    rows = len(tokens) // width
    body = tokens[: rows * width].reshape(rows, width).astype(np.int64)
    return np.concatenate([np.full((rows, 1), bos), body], axis=1)


def load_rows(
    data: Path, corpus: str, tokenizer: PreTrainedTokenizerFast, cache: Path, context_size: int, least: int = 1
) -> Int64[np.ndarray, "rows context_size"]:
    """All rows of a corpus.

    Raises:
        StudyError: it is not there, or holds fewer than `least` rows.
    """
    rows = cut_rows(tokenize_corpus(data, corpus, tokenizer, cache), context_size, bos_id(tokenizer))
    if len(rows) < least:
        raise StudyError(
            f"corpus {corpus!r} holds {len(rows):,} rows of {context_size} tokens and {least:,} are needed: "
            "give more text, or lower the recipe's tokens"
        )
    return rows


def iterate_batches(
    rows: Integer[np.ndarray, "rows context_size"], batch: int, seed: int, skip: int = 0
) -> Iterator[Tensor]:
    """Endless shuffled batches [batch, context_size]; a new order each epoch; `skip` batches are passed over."""
    epoch = 0
    while True:
        order = np.random.default_rng((seed, epoch)).permutation(len(rows))
        for start in range(0, len(order) - batch + 1, batch):
            if skip > 0:
                skip -= 1
                continue
            yield from_numpy(rows[order[start : start + batch]].astype(np.int64))
        epoch += 1
