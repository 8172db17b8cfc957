"""Splits that never overlap, and rows in which nothing but text counts."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub.constants
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.errors import LoadError, StudyError
from tools.study.corpus import Corpus, check_corpus, cut_rows, drop_copies, replace_corpus
from tools.study.definition import CorpusSource, SplitName, Study
from tools.study.texts import Passage

BOS = 0
HELD_OUT_NAMES = {"everyday-05", "everyday-07", "everyday-13", "everyday-19", "everyday-20"}
"""As they have always been: a released split must never move."""


def with_corpus(study: Study, **source: object) -> Study:
    return study.model_copy(update={"corpus": CorpusSource.model_validate(source)})


def documents(study: Study, split: str) -> set[str]:
    return {passage.document for passage in Corpus(study).passages(split)}  # pyright: ignore


def passages(*texts: str) -> list[Passage]:
    """Texts of one document each, named by their place."""
    return [Passage(str(place), None, text) for place, text in enumerate(texts)]


def words(first: int, last: int) -> str:
    return " ".join(f"word{i}" for i in range(first, last))


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
    assert len(Corpus(split).passages("train")) + len(Corpus(split).passages("held_out")) == 200


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_held_out_share_is_about_what_was_asked_for(study_copy: Path, study: Study, share: float) -> None:
    entries = [{"document": f"document {i}", "text": f"text {i}"} for i in range(1000)]
    (study_copy / "corpus.jsonl").write_text("\n".join(map(json.dumps, entries)), "utf-8")
    split = with_corpus(study, file="corpus.jsonl", held_out_share=share).model_copy(update={"folder": study_copy})
    assert len(Corpus(split).passages("held_out")) == pytest.approx(1000 * share, abs=50)


def test_topic_is_kept_and_may_be_absent(study_copy: Path, study: Study) -> None:
    lines = ['{"document": "a", "topic": "law", "text": "x\\u2028y"}', '{"document": "d0", "text": "z"}']
    (study_copy / "corpus.jsonl").write_text("\n".join(lines), "utf-8")
    split = study.model_copy(update={"folder": study_copy})
    both = Corpus(split).passages("train") + Corpus(split).passages("held_out")
    assert sorted(both) == [Passage("a", "law", "x\u2028y"), Passage("d0", None, "z")]


def test_texts_that_come_with_gensim_are_a_document_a_line(study: Study) -> None:
    found = Corpus(with_corpus(study, gensim_test_data=["lee.cor"], held_out_share=0.01)).passages("train")
    assert 45 <= len(found) <= 50
    assert all(passage.document.startswith("lee.cor:") for passage in found)


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_split_without_a_document_is_an_error(study_copy: Path, study: Study, split: SplitName) -> None:
    in_the_other = {"train": "d0", "held_out": "d1"}[split]
    (study_copy / "corpus.jsonl").write_text(json.dumps({"document": in_the_other, "text": "text"}), "utf-8")
    with pytest.raises(StudyError, match=rf"too few documents \(1\): the {split} split is empty"):
        Corpus(study.model_copy(update={"folder": study_copy})).passages(split)


# Copies


def test_equal_texts_under_different_names_never_stand_in_both_splits(study_copy: Path, study: Study) -> None:
    entries = [{"document": f"d{i}", "text": words(i % 10 * 20, i % 10 * 20 + 20)} for i in range(100)]
    (study_copy / "corpus.jsonl").write_text("\n".join(map(json.dumps, entries)), "utf-8")
    copied = study.model_copy(update={"folder": study_copy})
    train, held_out = ([p.text for p in Corpus(copied).passages(split)] for split in ("train", "held_out"))
    assert not set(train) & set(held_out)
    assert sorted(train + held_out) == sorted({entry["text"] for entry in entries}), "the first of each is kept"


@pytest.mark.parametrize("copy", ["A short one.", "  a SHORT\n one. ", "A\u00a0short one."])
def test_white_space_and_case_make_no_other_text(copy: str) -> None:
    kept = list(drop_copies(passages("A short one.", copy, "A short two.")))
    assert [passage.document for passage in kept] == ["0", "2"]


def test_passage_is_a_copy_from_half_of_its_runs_on() -> None:
    original = words(0, 40)
    for shared, kept in ((22, ["0", "1"]), (23, ["0"])):  # 10 or 11 of a passage's 22 runs are the original's
        later = " ".join([*original.split()[:shared], *words(100, 134 - shared).split()])
        assert [p.document for p in drop_copies(passages(original, later))] == kept, shared


def test_what_a_document_shares_with_itself_is_no_copy() -> None:
    both = [Passage("a", None, words(0, 30)), Passage("a", None, words(5, 35))]
    assert list(drop_copies(both)) == both
    assert list(drop_copies([both[0], both[1]._replace(document="b")])) == both[:1]


def test_dropped_copy_leaves_nothing_behind_that_others_are_held_to() -> None:
    """Only what is kept counts: a passage that shares text with a copy alone stays."""
    original, half, own = words(0, 50), words(100, 130), words(100, 140)
    copy = original + " " + half
    assert [p.document for p in drop_copies(passages(original, copy, own))] == ["0", "2"]


# A corpus of the user's own


def test_corpus_of_the_users_own_replaces_the_studys(study: Study, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("\n\n".join(words(i * 9, i * 9 + 9) for i in range(60)), "utf-8")
    own = replace_corpus(study, str(tmp_path / "own.txt"))
    train, held_out = documents(own, "train"), documents(own, "held_out")
    assert len(train | held_out) == 60 and not train & held_out
    assert own.corpus.held_out_share == study.corpus.held_out_share
    assert all(name.startswith("own.txt:") for name in train), "no path of this machine in a name"


def test_users_corpus_is_found_from_the_working_directory(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.txt").write_text("One.\n\nTwo.\n\nThree.\n\nFour.\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    own = replace_corpus(study, "own.txt")
    monkeypatch.chdir("/")
    assert len(Corpus(own).sha256) == 64


@pytest.mark.parametrize("name", ["nosuch.txt", "nosuch"])
def test_corpus_that_is_missing_is_said_before_anything_is_read(study: Study, name: str) -> None:
    with pytest.raises(StudyError, match=f"no texts at .*{name}"):
        replace_corpus(study, name)
    with pytest.raises(StudyError, match=r"corpus\.jsonl is missing"):
        check_corpus(with_corpus(study, file="../nosuch/corpus.jsonl"))


def test_hub_that_cannot_be_reached_is_said_at_once(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # the discard port: closed
    with pytest.raises(LoadError, match=r"the corpus needs 'nobody/texts' from .* cannot be reached .*on this machine"):
        replace_corpus(study, "hub:nobody/texts")


def test_hash_of_a_corpus_tells_any_change_of_it(study_copy: Path, study: Study) -> None:
    copy = study.model_copy(update={"folder": study_copy})
    assert Corpus(copy).sha256 == Corpus(study).sha256
    path = study_copy / "corpus.jsonl"
    path.write_text(path.read_text("utf-8").replace("everyday-02", "everyday-2"), "utf-8")
    assert Corpus(copy).sha256 != Corpus(study).sha256


# Lines and rows


@pytest.mark.parametrize("line", ["{", '{"document": "a"}', '["a", "b"]', '"text"'])
def test_malformed_line_is_named(study_copy: Path, study: Study, line: str) -> None:
    (study_copy / "corpus.jsonl").write_text('{"document": "a", "text": "b"}\n\n' + line, "utf-8")
    with pytest.raises(StudyError, match=r"corpus\.jsonl:3: not a passage"):
        Corpus(study.model_copy(update={"folder": study_copy})).passages("train")


def test_study_without_a_corpus_says_what_to_set(study: Study) -> None:
    with pytest.raises(StudyError, match=r"set corpus\.file, corpus\.texts"):
        Corpus(with_corpus(study)).passages("train")


def test_unknown_gensim_text_is_an_error(study: Study) -> None:
    with pytest.raises(StudyError, match=r"no file 'nosuch\.cor'"):
        Corpus(with_corpus(study, gensim_test_data=["nosuch.cor"])).passages("train")


@given(st.lists(st.lists(st.integers(1, 99), max_size=40), max_size=8), st.integers(2, 12))
def test_rows_hold_every_token_once_and_count_nothing_else(texts: list[list[int]], width: int) -> None:
    rows = cut_rows(texts, [str(i) for i in range(len(texts))], width, BOS)
    longest = max((len(text) for text in texts), default=0) or width
    assert rows.tokens.shape == rows.real.shape == (len(rows.documents), min(width, longest + 1))
    assert (rows.tokens[:, 0] == BOS).all()
    assert not rows.real[:, 0].any(), "BOS is no text"
    assert (rows.tokens[~rows.real] == BOS).all(), "padding is BOS"
    assert (rows.real[:, 1:].cumprod(axis=1) == rows.real[:, 1:]).all(), "padding lies on the right"
    for number, text in enumerate(texts):
        own = [row for row, document in enumerate(rows.documents) if document == str(number)]
        assert rows.tokens[own][rows.real[own]].tolist() == text
