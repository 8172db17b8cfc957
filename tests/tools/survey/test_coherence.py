"""Coherence against its definition, pair by pair."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from scipy.spatial.distance import cosine

from tools.errors import LoadError, StudyError
from tools.survey.coherence import (
    WordVectors,
    clean_token,
    load_vectors,
    make_vectors,
    published_rows,
    score_coherence,
    word_rows,
)
from tools.survey.keywords import token_words


def vectors_of(**words: tuple[float, ...]) -> WordVectors:
    return make_vectors(list(words), np.array(list(words.values()), dtype=np.float32))


def score(tokens: list[str], weights: list[float], vectors: WordVectors) -> tuple[float, float, int]:
    """Published score, de-duplicated score and number of valid tokens of one feature's top tokens."""
    result = score_coherence(
        published_rows(tokens, vectors)[None],
        word_rows(token_words(tokens, vectors.words), vectors)[None],
        np.array([weights], dtype=np.float32),
        vectors,
    )
    return float(result.weighted[0]), float(result.deduplicated[0]), int(result.n_valid[0])


def naive(rows: np.ndarray, weights: np.ndarray, matrix: np.ndarray) -> float:
    """The formula of the study, as a double loop; no value for fewer than two words."""
    places = [place for place, row in enumerate(rows) if row >= 0]
    if len(places) < 2:
        return float("nan")
    numerator = denominator = 0.0
    for i, j in combinations(places, 2):
        weight = float(weights[i]) * float(weights[j])
        numerator += weight * (1 - cosine(matrix[rows[i]], matrix[rows[j]]))
        denominator += weight
    return numerator / (denominator + 1e-8)


AXES = vectors_of(heart=(1.0, 0.0), river=(0.0, 1.0), cardiac=(1.0, 0.0))


def test_three_words_of_which_two_agree_score_three_elevenths() -> None:
    weighted, deduplicated, n_valid = score([" heart", " river", " cardiac"], [1, 2, 3], AXES)
    assert weighted == pytest.approx(3 / 11, abs=1e-6)
    assert deduplicated == pytest.approx(3 / 11, abs=1e-6)
    assert n_valid == 3


def test_spellings_of_one_word_score_one_as_published_and_have_no_deduplicated_value() -> None:
    weighted, deduplicated, n_valid = score([" heart", "Heart", " HEART"], [3, 2, 1], AXES)
    assert weighted == pytest.approx(1, abs=1e-6)
    assert np.isnan(deduplicated)
    assert n_valid == 3


@pytest.mark.parametrize("tokens", [[" heart", " xyz"], [" xyz", " abc"], [" heart", "12"]])
def test_fewer_than_two_valid_tokens_have_no_value_rather_than_zero(tokens: list[str]) -> None:
    weighted, deduplicated, n_valid = score(tokens, [2, 1], AXES)
    assert np.isnan(weighted)
    assert np.isnan(deduplicated)
    assert n_valid == (" heart" in tokens)


def test_deduplication_keeps_the_heaviest_token_of_a_word() -> None:
    vectors = vectors_of(heart=(1.0, 0.0), river=(0.0, 1.0), middle=(1.0, 1.0))
    _, deduplicated, _ = score([" heart", " river", " Heart", " middle"], [4, 3, 2, 1], vectors)
    _, without, _ = score([" heart", " river", " middle"], [4, 3, 1], vectors)
    assert deduplicated == pytest.approx(without, abs=1e-6)


def test_inner_pieces_count_as_published_but_not_as_words() -> None:
    weighted, deduplicated, n_valid = score(["heart", "river"], [1, 1], AXES)
    assert weighted == pytest.approx(0, abs=1e-6)
    assert n_valid == 2
    assert np.isnan(deduplicated)


def test_opposite_words_score_below_zero() -> None:
    weighted, _, _ = score([" hot", " cold"], [1, 1], vectors_of(hot=(1.0, 0.0), cold=(-1.0, 0.0)))
    assert weighted == pytest.approx(-1, abs=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(2, 9), st.integers(1, 6))
def test_both_scores_equal_the_double_loop(seed: int, n: int, k: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = make_vectors([f"w{i}" for i in range(7)], rng.normal(size=(7, dim)).astype(np.float32))
    published = rng.integers(-1, 7, size=(n, k))
    words = rng.integers(-1, 7, size=(n, k))
    weights = np.sort(rng.uniform(0.1, 5, size=(n, k)).astype(np.float32), axis=1)[:, ::-1].copy()
    result = score_coherence(published, words, weights, vectors)
    for i in range(n):
        first = np.array([row if row not in words[i, :place] else -1 for place, row in enumerate(words[i])])
        assert result.weighted[i] == pytest.approx(
            naive(published[i], weights[i], vectors.matrix), abs=1e-5, nan_ok=True
        )
        assert result.deduplicated[i] == pytest.approx(naive(first, weights[i], vectors.matrix), abs=1e-5, nan_ok=True)
        assert result.n_valid[i] == (published[i] >= 0).sum()


@pytest.mark.parametrize("light", [0.3, 1e-2, 1e-5])
def test_one_heavy_token_does_not_blur_the_score(light: float) -> None:
    vectors = make_vectors(["heart", "river"], np.random.default_rng(0).normal(size=(2, 300)).astype(np.float32))
    weighted, _, _ = score([" heart", " river"], [1.0, light], vectors)
    expected = 1 - cosine(vectors.matrix[0].astype(float), vectors.matrix[1].astype(float))
    assert weighted == pytest.approx(expected * light / (light + 1e-8), abs=1e-6)


@given(st.floats(0.01, 100))
def test_score_does_not_depend_on_the_scale_of_the_weights(scale: float) -> None:
    tokens = [" heart", " river", " cardiac"]
    plain, scaled = score(tokens, [1, 2, 3], AXES), score(tokens, [scale, 2 * scale, 3 * scale], AXES)
    assert plain == pytest.approx(scaled, abs=1e-3)


@pytest.mark.parametrize(
    ("token", "word"), [(" Heart", "heart"), ("heart-attack", "heartattack"), ("42", ""), (" ", "")]
)
def test_published_cleaning_keeps_lower_case_letters(token: str, word: str) -> None:
    assert clean_token(token) == word


def test_saved_vectors_come_back_with_unit_length(tmp_path: Path) -> None:
    save_file({"vectors": np.array([[3.0, 4.0], [0.0, 2.0]], dtype=np.float16)}, tmp_path / "v.safetensors")
    (tmp_path / "words.txt").write_text("heart\nriver\n", "utf-8")
    vectors = load_vectors(tmp_path / "v.safetensors", tmp_path / "words.txt")
    assert vectors.row == {"heart": 0, "river": 1}
    assert vectors.matrix.tolist() == pytest.approx(np.array([[0.6, 0.8], [0.0, 1.0]]), abs=1e-6)


def test_corrupt_vectors_are_a_load_error(tmp_path: Path) -> None:
    (tmp_path / "v.safetensors").write_bytes(b"not safetensors")
    (tmp_path / "words.txt").write_text("heart\n", "utf-8")
    with pytest.raises(LoadError, match=r"v\.safetensors is not a readable safetensors file"):
        load_vectors(tmp_path / "v.safetensors", tmp_path / "words.txt")


def test_vectors_under_another_name_are_a_load_error(tmp_path: Path) -> None:
    save_file({"glove": np.eye(2, dtype=np.float32)}, tmp_path / "v.safetensors")
    (tmp_path / "words.txt").write_text("heart river\n", "utf-8")
    with pytest.raises(LoadError, match="'vectors'"):
        load_vectors(tmp_path / "v.safetensors", tmp_path / "words.txt")


def test_word_list_of_another_length_is_an_error(tmp_path: Path) -> None:
    save_file({"vectors": np.eye(3, dtype=np.float32)}, tmp_path / "v.safetensors")
    (tmp_path / "words.txt").write_text("heart\nriver\n", "utf-8")
    with pytest.raises(StudyError, match=r"3 rows .* 2 words"):
        load_vectors(tmp_path / "v.safetensors", tmp_path / "words.txt")
