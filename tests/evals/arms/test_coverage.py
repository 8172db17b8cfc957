"""Embedding coverage, in total and over different tokens, by any set of vectors."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from agent.errors import RunError
from evals.arms.coverage import measure_coverage, read_word_list
from evals.arms.summary import read_run
from tests.evals.arms.worlds import N_FEATURES, write_arm


def test_tokens_are_counted_in_total_and_once(tmp_path: Path) -> None:
    """Every list has " the"; tokens like " base7a" are cleaned to "basea", which 60 features share."""
    arm = read_run(write_arm(tmp_path / "b")).arm
    found = {row.over: row for row in measure_coverage(arm, "two words", frozenset({"the", "basea"}))}
    assert (found["all"].tokens, found["all"].known) == (3 * N_FEATURES, 2 * N_FEATURES)
    assert (found["all"].different, found["all"].different_known) == (3, 2)
    assert found["judged relevant"].tokens == 8 * 3
    assert found["keyword features"].tokens == 16 * 3


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("words.txt", "heart\nlung\n\n"),
        ("glove.txt", "heart 0.1 -0.2\nlung 0.3 0.4\n"),
        ("glove.txt.gz", "heart 0.1 -0.2\nlung 0.3 0.4\n"),
    ],
)
def test_word_lists_and_text_vectors_are_read_by_their_first_column(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    assert read_word_list(file) == {"heart", "lung"}


def test_safetensors_have_their_words_beside_them(tmp_path: Path) -> None:
    file = tmp_path / "vectors.safetensors"
    file.write_bytes(b"")
    with pytest.raises(RunError, match="has no word list beside it: write vectors.txt"):
        read_word_list(file)
    (tmp_path / "words.txt").write_text("heart\n")
    assert read_word_list(file) == {"heart"}


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00heart"])
def test_what_holds_no_words_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "words.txt"
    file.write_bytes(content)
    with pytest.raises(RunError, match="holds no"):
        read_word_list(file)
    with pytest.raises(RunError, match="holds no readable words"):
        read_word_list(tmp_path / "nowhere.txt")
