"""Text as editors write it is read alike everywhere; what is no UTF-8 is said to be none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import RunError
from agent.llm.prices import PriceTable
from agent.stages.imported import read_evidence
from tools.border.text_files import decode, read_text
from tools.errors import LoadError, StudyError, UnveilError
from tools.study.reading import load_study
from tools.study.texts import read_texts
from tools.survey.coherence import load_vectors
from tools.survey.keywords import load_vocabulary

TEXT = "first line, with an é\nsecond\n"


@pytest.mark.parametrize(
    "data", [TEXT.encode(), TEXT.encode("utf-8-sig"), TEXT.replace("\n", "\r\n").encode("utf-8-sig")]
)
def test_byte_order_mark_and_line_ends_are_no_text(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(data)
    assert read_text(file) == TEXT


@given(st.text(st.characters(exclude_characters="\0\r\ufeff", exclude_categories=["Cs"])))
def test_any_text_in_utf_8_is_itself(text: str) -> None:
    assert decode(text.encode(), "a") == decode(text.encode("utf-8-sig"), "a") == text


OTHER = {
    "Latin-1": TEXT.encode("latin-1"),
    "UTF-16": TEXT.encode("utf-16"),
    "UTF-16 without a mark": TEXT.encode("utf-16-le"),
    "an archive": b"PK\x03\x04 and what follows",
}


@pytest.mark.parametrize("encoding", OTHER)
def test_other_encodings_are_refused_in_a_line(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(OTHER[encoding])
    said = "not text but an archive" if "archive" in encoding else "is not UTF-8"
    with pytest.raises(LoadError, match=rf"{file} {said}|{file} is {said}") as raised:
        read_text(file, LoadError)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["nowhere.txt", "."])
def test_what_is_no_file_is_refused_in_a_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(StudyError, match="cannot be read"):
        read_text(tmp_path / name)


READERS: dict[str, Callable[[Path], object]] = {
    "vocabulary": load_vocabulary,
    "study": lambda file: load_study(str(file)),
    "prices": PriceTable.read,
    "evidence": lambda file: read_evidence(file, "x"),
    "paragraphs": lambda file: read_texts(str(file), file.parent, 9),
    "passages": lambda file: read_texts(str(file), file.parent, 9),
}
SUFFIXES = {"study": ".toml", "prices": ".toml", "passages": ".jsonl", "evidence": ".jsonl"}


@pytest.mark.parametrize("encoding", ["Latin-1", "UTF-16", "UTF-16 without a mark"])
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_says_that_a_file_is_not_utf_8(tmp_path: Path, reader: str, encoding: str) -> None:
    file = tmp_path / f"a{SUFFIXES.get(reader, '.txt')}"
    file.write_bytes(OTHER[encoding])
    with pytest.raises(UnveilError, match=f"{file} is not UTF-8"):
        READERS[reader](file)


def test_word_list_that_is_not_utf_8_is_refused(study_copy: Path) -> None:
    words = study_copy / "words.txt"
    words.write_bytes(words.read_bytes().replace(b"garden", b"g\xe4rden"))
    with pytest.raises(StudyError, match=r"words\.txt is not UTF-8"):
        load_vectors(study_copy / "vectors.safetensors", words)


def test_study_and_evidence_with_a_byte_order_mark_are_read(study_copy: Path, tmp_path: Path) -> None:
    file = study_copy / "study.toml"
    file.write_bytes("﻿".encode() + file.read_bytes())
    assert load_study(str(study_copy)).name == "tiny"
    evidence = tmp_path / "evidence.jsonl"
    evidence.write_bytes('﻿{"feature": 3, "sae": "base", "top_tokens": [" heart"]}\r\n'.encode())
    (found,) = read_evidence(evidence, "x")
    assert found.feature.index == 3


def test_evidence_that_is_missing_is_refused_as_before(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be read"):
        read_evidence(tmp_path / "nowhere.jsonl", "x")
