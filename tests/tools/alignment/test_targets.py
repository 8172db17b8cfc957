"""A target is read and parted before anything is loaded, and what cannot be one is told in a line."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.alignment.background import find_background
from tools.alignment.targets import LEAST_DOCUMENTS, part, read_target
from tools.errors import StudyError
from tools.study.corpus import Corpus
from tools.study.definition import Study

PASSAGES = tuple(
    f"Passage {word} says that the {word} lies beside the house." for word in ["red", "blue", "old", "new", "wet"]
)


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "target.txt", "\n\n".join(PASSAGES))


def test_every_document_is_either_scored_by_or_held_out(file: Path) -> None:
    target = read_target(file)
    assert sorted(target.documents + target.held_out) == sorted(PASSAGES)
    assert (len(target.documents), len(target.held_out)) == (4, 1)
    assert (target.name, target.unit) == ("target.txt", "documents")
    assert target.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_seed_alone_decides_what_is_held_out(file: Path) -> None:
    assert read_target(file, seed=1) == read_target(file, seed=1)
    assert len({read_target(file, seed=seed).held_out for seed in range(20)}) > 1


def test_one_file_in_any_form_is_one_target(tmp_path: Path, file: Path) -> None:
    lines = "\n".join(json.dumps({"text": text}) for text in PASSAGES)
    forms = [
        write(tmp_path / "a.jsonl", lines),
        write(tmp_path / "a.jsonl.gz", gzip.compress(lines.encode())),
        write(tmp_path / "b.txt", "\ufeff" + "\r\n\r\n".join(PASSAGES)),
        tmp_path / "a.parquet",
    ]
    pd.DataFrame({"text": PASSAGES}).to_parquet(forms[-1])
    for form in forms:
        assert read_target(form)[2:] == read_target(file)[2:], form.name


def test_passages_of_one_name_are_one_document(tmp_path: Path) -> None:
    lines = [{"text": text, "document": f"d{i // 2}"} for i, text in enumerate([*PASSAGES, *map(str.upper, PASSAGES)])]
    joined = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, lines)))
    target = read_target(joined)
    assert len(target.documents + target.held_out) == 5
    assert any("\n" in text for text in target.documents)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("\n\n".join(PASSAGES).replace("\n\n", "\n"), "lines"),
        (" ".join(PASSAGES), "sentences"),
        ("<|doc|>\n" + "\n\n".join(PASSAGES), "paragraphs"),
        ("“" + "” “".join(PASSAGES) + "”", "sentences"),
        (
            "。".join(
                [
                    "犬は庭の中で静かに眠っている" * 3,
                    "猫は窓の外を見ている" * 3,
                    "雨が降り続いている" * 3,
                    "空は青い" * 5,
                ]
            )
            + "。",
            "sentences",
        ),
    ],
)
def test_single_document_is_parted_so_that_something_is_held_out(tmp_path: Path, text: str, unit: str) -> None:
    target = read_target(write(tmp_path / "a.txt", text))
    assert target.unit == unit
    assert target.held_out
    assert len(target.documents + target.held_out) in (4, 5)
    assert unit in target.sentence


def test_copies_within_a_target_are_one_document(tmp_path: Path) -> None:
    twice = write(tmp_path / "a.txt", "\n\n".join(PASSAGES * 3))
    target = read_target(twice)
    assert sorted(target.documents + target.held_out) == sorted(PASSAGES)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1), min_size=1))
def test_parting_loses_no_letter_of_texts_that_are_no_copies(texts: list[str]) -> None:
    parts, unit = part(texts)
    if unit == "documents":
        assert parts == texts
    letters = {letter for text in texts for letter in text if not letter.isspace() and letter not in "\"'”’»)]"}
    assert letters <= set("".join(parts))


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.99])
def test_three_documents_are_always_left_and_one_held_out(file: Path, share: float) -> None:
    target = read_target(file, share)
    assert len(target.documents) >= LEAST_DOCUMENTS - 1
    assert len(target.held_out) >= 1


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_share_that_leaves_nothing_on_one_side_is_an_error(file: Path, share: float) -> None:
    with pytest.raises(ValueError, match="cannot be held out"):
        read_target(file, share)


BAD = {
    "empty": (b"", "holds no text"),
    "blank": (b" \n\n\t\n", "holds no text"),
    "UTF-16": ("\n\n".join(PASSAGES).encode("utf-16"), "is not UTF-8"),
    "UTF-16 without a mark": ("\n\n".join(PASSAGES).encode("utf-16-le"), "is not UTF-8"),
    "Latin-1": ("\n\n".join([*PASSAGES, "Der Käse reift."]).encode("latin-1"), "is not UTF-8"),
    "an archive": (b"PK\x03\x04" + bytes(range(256)), "is not text but an archive"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is not UTF-8"),
    "bytes that are UTF-8 by chance": (b"a text\n" * 9 + b"\x00\x01\x02\n" * 90, "is no text"),
    "one word": (b"word", "too little text"),
    "one long sentence": (b"word " * 500, "too little text"),
    "four short ones": (b"A. B. C. D.", "too little text"),
    "one passage again and again": ("\n\n".join(PASSAGES[:1] * 50).encode(), "too little text"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_target_is_refused_in_a_line_with_its_name(tmp_path: Path, kind: str) -> None:
    data, said = BAD[kind]
    path = write(tmp_path / "target.txt", data)
    with pytest.raises(StudyError, match=said) as raised:
        read_target(path)
    assert "target.txt" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (".", "is a folder"),
        ("nowhere.txt", "there is no file"),
        ("pipe.txt", "is no plain file"),
        ("picture.png", "is none of"),
        ("hub:user/data", "there is no file"),
        ("a\0b", "cannot be read|there is no file"),
        ("x" * 5000, "cannot be read|there is no file"),
    ],
)
def test_what_is_no_file_of_text_is_refused_in_a_line(tmp_path: Path, name: str, said: str) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    write(tmp_path / "picture.png", "text")
    with pytest.raises(StudyError, match=said) as raised:
        read_target(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_parquet_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="is not a parquet file"):
        read_target(write(tmp_path / "a.parquet", "text"))


# What it is held against


def corpus_documents(study: Study) -> list[str]:
    texts: dict[str, list[str]] = {}
    for passage in Corpus(study).passages("train"):
        texts.setdefault(passage.document, []).append(passage.text)
    return ["\n".join(parts) for parts in texts.values()]


def test_background_is_the_studys_corpus_without_the_targets_own(study: Study, tmp_path: Path) -> None:
    documents = corpus_documents(study)
    target = read_target(write(tmp_path / "a.txt", "\n\n".join(documents[:4])))
    found = find_background(Corpus(study), target)
    assert set(found.documents) == set(documents[4:])
    assert found.left_out == 4
    assert "4 that are the target's own" in found.sentence


def test_target_that_is_the_corpus_is_refused(study: Study, tmp_path: Path) -> None:
    target = read_target(write(tmp_path / "a.txt", "\n\n".join(corpus_documents(study))))
    with pytest.raises(StudyError, match="are a.txt's own.*--away"):
        find_background(Corpus(study), target)


@pytest.mark.parametrize(
    "change", ["the same", "another order", "upper case", "one paragraph", "a part", "more beside it"]
)
def test_target_that_is_its_own_reference_is_refused(study: Study, tmp_path: Path, change: str) -> None:
    words = [" ".join(f"w{i}x{j}" for j in range(30)) + "." for i in range(12)]
    other = {
        "the same": "\n\n".join(words),
        "another order": "\n\n".join(words[::-1]),
        "upper case": "\n\n".join(words).upper(),
        "one paragraph": " ".join(words),
        "a part": "\n\n".join(words[:5]),
        "more beside it": "\n\n".join([*words, *PASSAGES * 2]),
    }[change]
    target = read_target(write(tmp_path / "a.txt", "\n\n".join(words)))
    with pytest.raises(StudyError, match="are the same text") as raised:
        find_background(Corpus(study), target, write(tmp_path / "b.txt", other))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("form", ["sentences", "paragraphs", "shuffled"])
def test_target_of_short_sentences_is_known_again_however_it_is_parted(study: Study, tmp_path: Path, form: str) -> None:
    """None of its sentences has as many words as a run; a part of them is held out, so that others stand side by side."""
    sentences = [
        f"The {a} fox saw the {b} hen." for a in ["red", "old", "shy", "wet"] for b in ["fat", "sad", "big", "wee"]
    ]
    shuffled = np.random.default_rng(0).permutation(sentences).tolist()
    other = {"sentences": " ".join(sentences), "paragraphs": "\n\n".join(sentences), "shuffled": " ".join(shuffled)}
    target = read_target(write(tmp_path / "a.txt", " ".join(sentences)))
    with pytest.raises(StudyError, match="are the same text .100% of"):
        find_background(Corpus(study), target, write(tmp_path / "b.txt", other[form]))


def test_a_file_of_other_text_is_what_a_target_is_held_against(study: Study, file: Path, tmp_path: Path) -> None:
    others = [f"Another {word} stands here and there." for word in ["tree", "stone", "lamp", "chair"]]
    away = write(tmp_path / "away.txt", "\n\n".join(others))
    found = find_background(Corpus(study), read_target(file), away)
    assert (list(found.documents), found.name) == (others, "away.txt")
    assert found.sha256 == hashlib.sha256(away.read_bytes()).hexdigest()


def test_too_little_to_hold_a_target_against_is_refused(study: Study, file: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="too little to hold a target against"):
        find_background(Corpus(study), read_target(file), write(tmp_path / "away.txt", "One. Two."))
