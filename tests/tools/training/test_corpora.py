"""Rows of token ids: how they are cut, shared out, shuffled and kept."""

from __future__ import annotations

import gzip
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tests.tools.training.tiny_study import CONTEXT, MEDICAL, write_corpus
from tools.errors import StudyError
from tools.training.corpora import (
    SEPARATOR,
    cut_rows,
    iterate_batches,
    load_rows,
    read_documents,
    tokenize_corpus,
    write_documents,
)
from tools.training.recipe import load_recipe
from tools.training.sparse_autoencoder import mix_rows


@pytest.fixture(scope="module")
def tokenizer(trained: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(trained / "work" / "tokenizer")


def test_rows_are_consecutive_windows_each_opened_by_bos() -> None:
    rows = cut_rows(np.arange(1, 9, dtype=np.uint16), context_size=4, bos=0)
    assert rows.tolist() == [[0, 1, 2, 3], [0, 4, 5, 6]]


def test_a_stream_shorter_than_a_row_gives_none() -> None:
    assert cut_rows(np.arange(2, dtype=np.uint16), context_size=4, bos=0).shape == (0, 4)


def test_an_epoch_shows_every_row_once_and_the_next_in_another_order() -> None:
    rows = np.arange(12)[:, None].repeat(2, axis=1)
    batches = [batch[:, 0].tolist() for batch in islice(iterate_batches(rows, 3, seed=0), 8)]
    first, second = sum(batches[:4], []), sum(batches[4:], [])
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


def test_skipped_batches_are_those_an_uninterrupted_run_has_seen() -> None:
    rows = np.arange(10)[:, None].repeat(2, axis=1)
    whole = [batch.tolist() for batch in islice(iterate_batches(rows, 3, seed=1), 9)]
    assert [batch.tolist() for batch in islice(iterate_batches(rows, 3, seed=1, skip=5), 4)] == whole[5:]


def test_documents_are_joined_by_the_end_of_text(
    tmp_path: Path, data: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    tokens = tokenize_corpus(data, "medical.heldout", tokenizer, tmp_path)
    documents = str(tokenizer.decode(tokens)).split(str(tokenizer.eos_token))
    assert documents == [*read_documents(data, "medical.heldout"), ""]


def test_documents_are_read_as_they_were_written(tmp_path: Path) -> None:
    documents = ["One.\n\nTwo paragraphs.", "Ünïcode: 心臓", "ends in a line break\n"]
    write_documents(tmp_path / "new", "any", documents)
    assert read_documents(tmp_path / "new", "any") == documents


def test_other_text_under_the_same_name_is_tokenized_anew(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    write_corpus(tmp_path, "general", MEDICAL, documents=3, seed=0)
    before = tokenize_corpus(tmp_path, "general", tokenizer, tmp_path / "cache")
    write_corpus(tmp_path, "general", MEDICAL, documents=3, seed=1)
    after = tokenize_corpus(tmp_path, "general", tokenizer, tmp_path / "cache")
    assert before.tolist() != after.tolist()


def test_text_that_is_there_already_is_read_from_the_cache(
    tmp_path: Path, data: Path, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tokenize_corpus(data, "medical.heldout", tokenizer, tmp_path)
    monkeypatch.setattr("tools.training.corpora.read_documents", None)
    assert np.array_equal(tokenize_corpus(data, "medical.heldout", tokenizer, tmp_path), before)


def test_a_file_that_is_no_corpus_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "plain.txt.gz").write_text("not zipped")
    (tmp_path / "binary.txt.gz").write_bytes(gzip.compress(b"\xff\xfe" + SEPARATOR.encode()))
    for name in ("plain", "binary"):
        with pytest.raises(StudyError, match="is not gzipped UTF-8 text"):
            read_documents(tmp_path, name)


def test_mixed_rows_come_in_equal_shares_and_open_with_bos(
    trained: Path, data: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    recipe = load_recipe(trained / "trained" / "study.toml").sae
    cache = trained / "work" / "tokens"
    mixed = mix_rows(data, recipe, tokenizer, cache)
    parts = [
        {tuple(row) for row in load_rows(data, corpus, tokenizer, cache, CONTEXT).tolist()} for corpus in recipe.corpora
    ]
    share = (recipe.training_tokens // CONTEXT + 2 * 8 * 16) // 2 + 1
    assert [sum(tuple(row) in part for row in mixed.tolist()) for part in parts] == [share, share]
    assert (mixed[:, 0] == tokenizer.bos_token_id).all()
    assert not (mixed[:, 1] == tokenizer.bos_token_id).all()


def test_a_corpus_too_short_for_its_share_is_refused(
    trained: Path, data: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    recipe = load_recipe(trained / "trained" / "study.toml").sae.model_copy(update={"training_tokens": 100_000})
    with pytest.raises(StudyError, match=r"'general' holds \d+ rows of 32 tokens and 1,691 are needed"):
        mix_rows(data, recipe, tokenizer, trained / "work" / "tokens")
