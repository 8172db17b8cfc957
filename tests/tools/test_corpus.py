"""Splits that never overlap, and rows in which nothing but text counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.corpus import Passage, cut_rows, load_passages
from tools.errors import StudyError
from tools.studies import CorpusSource, Study

BOS = 0
HELD_OUT_NAMES = {"everyday-05", "everyday-07", "everyday-13", "everyday-19", "everyday-20"}
"""As they have always been: a released split must never move."""


def with_corpus(study: Study, **source: object) -> Study:
    return study.model_copy(update={"corpus": CorpusSource.model_validate(source)})


def documents(study: Study, split: str) -> set[str]:
    return {passage.document for passage in load_passages(study, split)}  # pyright: ignore


def test_splits_share_no_document_and_lose_none(study: Study, study_folder: Path) -> None:
    lines = (study_folder / "corpus.jsonl").read_text("utf-8").splitlines()
    everything = {json.loads(line)["document"] for line in lines}
    train, held_out = documents(study, "train"), documents(study, "held_out")
    assert train and held_out
    assert not train & held_out
    assert train | held_out == everything


def test_split_is_the_one_it_has_always_been(study: Study) -> None:
    assert documents(study, "held_out") == HELD_OUT_NAMES


def test_split_of_a_document_does_not_depend_on_the_rest_of_the_corpus(study_copy: Path, study: Study) -> None:
    path = study_copy / "corpus.jsonl"
    path.write_text("\n".join(path.read_text("utf-8").splitlines()[::-2]), "utf-8")
    smaller = study.model_copy(update={"folder": study_copy})
    assert documents(smaller, "held_out") < documents(study, "held_out")
    assert documents(smaller, "train") < documents(study, "train")


def test_passages_of_one_document_stay_together(study_copy: Path, study: Study) -> None:
    entries = [{"document": f"d{i // 5}", "text": f"passage {i}"} for i in range(200)]
    (study_copy / "corpus.jsonl").write_text("\n".join(map(json.dumps, entries)), "utf-8")
    split = study.model_copy(update={"folder": study_copy})
    assert not documents(split, "train") & documents(split, "held_out")
    assert len(load_passages(split, "train")) + len(load_passages(split, "held_out")) == 200


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_held_out_share_is_about_what_was_asked_for(study_copy: Path, study: Study, share: float) -> None:
    entries = [{"document": f"document {i}", "text": "text"} for i in range(1000)]
    (study_copy / "corpus.jsonl").write_text("\n".join(map(json.dumps, entries)), "utf-8")
    split = with_corpus(study, file="corpus.jsonl", held_out_share=share).model_copy(update={"folder": study_copy})
    assert len(load_passages(split, "held_out")) == pytest.approx(1000 * share, abs=50)


def test_topic_is_kept_and_may_be_absent(study_copy: Path, study: Study) -> None:
    lines = ['{"document": "a", "topic": "law", "text": "x\\u2028y"}', '{"document": "b", "text": "z"}']
    (study_copy / "corpus.jsonl").write_text("\n".join(lines), "utf-8")
    split = study.model_copy(update={"folder": study_copy})
    passages = load_passages(split, "train") + load_passages(split, "held_out")
    assert sorted(passages) == [Passage("a", "law", "x\u2028y"), Passage("b", None, "z")]


def test_texts_that_come_with_gensim_are_a_document_a_line(study: Study) -> None:
    passages = load_passages(with_corpus(study, gensim_test_data=["lee.cor"], held_out_share=0.01), "train")
    assert 45 <= len(passages) <= 50
    assert all(passage.document.startswith("lee.cor:") for passage in passages)


@pytest.mark.parametrize("line", ["{", '{"document": "a"}', '["a", "b"]', '"text"'])
def test_malformed_line_is_named(study_copy: Path, study: Study, line: str) -> None:
    (study_copy / "corpus.jsonl").write_text('{"document": "a", "text": "b"}\n' + line, "utf-8")
    with pytest.raises(StudyError, match=r"corpus\.jsonl:2: not a passage"):
        load_passages(study.model_copy(update={"folder": study_copy}), "train")


def test_study_without_a_corpus_says_what_to_set(study: Study) -> None:
    with pytest.raises(StudyError, match=r"set corpus\.file"):
        load_passages(with_corpus(study), "train")


def test_unknown_gensim_text_is_an_error(study: Study) -> None:
    with pytest.raises(StudyError, match=r"no file 'nosuch\.cor'"):
        load_passages(with_corpus(study, gensim_test_data=["nosuch.cor"]), "train")


@given(st.lists(st.lists(st.integers(1, 99), max_size=40), max_size=8), st.integers(2, 12))
def test_rows_hold_every_token_once_and_count_nothing_else(texts: list[list[int]], width: int) -> None:
    rows = cut_rows(texts, [str(i) for i in range(len(texts))], width, BOS)
    assert rows.tokens.shape == rows.real.shape == (len(rows.documents), width)
    assert (rows.tokens[:, 0] == BOS).all()
    assert not rows.real[:, 0].any(), "BOS is no text"
    assert (rows.tokens[~rows.real] == BOS).all(), "padding is BOS"
    assert (rows.real[:, 1:].cumprod(axis=1) == rows.real[:, 1:]).all(), "padding lies on the right"
    for number, text in enumerate(texts):
        own = [row for row, document in enumerate(rows.documents) if document == str(number)]
        assert rows.tokens[own][rows.real[own]].tolist() == text
