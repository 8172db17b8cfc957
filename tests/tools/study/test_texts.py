"""Readers of text: what is a document, what is refused with its place, how much is read."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tools.errors import StudyError
from tools.study.texts import DOCUMENT_CHARACTERS, HUB, Passage, read_texts


def read(path: Path, documents: int = 100) -> list[Passage]:
    return read_texts(str(path), Path("/nowhere"), documents)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An endpoint that accepts connections, so that the probe finds a hub; locks do not go to the user's cache."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("datasets")))
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield


def test_paragraph_of_a_text_file_is_a_document(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_bytes(b"\xef\xbb\xbfOne line\r\nand another.\r\n\r\n  \t\r\n\r\nThe second.\n\nThird\n")
    assert read(path) == [
        Passage("book.txt:1", None, "One line\nand another."),
        Passage("book.txt:6", None, "The second."),
        Passage("book.txt:8", None, "Third"),
    ]


def test_json_line_may_name_its_document_and_topic(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    lines = [
        '{"text": "a"}',
        "",
        '{"document": 7, "topic": "law", "text": "b"}',
        '{"document": "7", "text": "c", "x": 1}',
    ]
    path.write_text("\n".join(lines), "utf-8")
    assert read(path) == [Passage("t.jsonl:1", None, "a"), Passage("7", "law", "b"), Passage("7", None, "c")]


def test_row_of_a_parquet_file_is_a_document(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": [1, 2, 3], "text": ["a", " ", "c"], "topic": ["law", None, None]}), path)
    assert read(path) == [Passage("t.parquet:1", "law", "a"), Passage("t.parquet:3", None, "c")]


def test_folder_is_read_in_order_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "b" / "x.txt").write_text("second", "utf-8")
    (tmp_path / "a.jsonl").write_text('{"text": "first"}', "utf-8")
    (tmp_path / "c.TXT").write_text("third", "utf-8")
    for left_out in (tmp_path / "notes.md", tmp_path / ".git" / "x.txt", tmp_path / ".hidden.txt"):
        left_out.write_text("nothing of this", "utf-8")
    assert read(tmp_path) == [
        Passage("a.jsonl:1", None, "first"),
        Passage("b/x.txt:1", None, "second"),
        Passage("c.TXT:1", None, "third"),
    ]


def test_source_is_looked_for_in_the_study_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "study").mkdir()
    for folder, text in ((tmp_path, "working directory"), (tmp_path / "study", "study")):
        (folder / "t.txt").write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    assert read_texts("t.txt", tmp_path / "study", 9)[0].text == "study"
    assert read_texts("t.txt", tmp_path / "elsewhere", 9)[0].text == "working directory"


def test_as_many_documents_are_read_as_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    entries = [{"document": f"d{i // 2}", "text": f"text {i}"} for i in range(20)]
    path.write_text("\n".join(map(json.dumps, entries)) + "\n{", "utf-8")  # what lies behind the last one is not read
    assert [passage.text for passage in read(path, 3)] == [f"text {i}" for i in range(6)]


def test_long_texts_are_read_in_part(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("word " * DOCUMENT_CHARACTERS, "utf-8")
    assert len(read(path)[0].text) == DOCUMENT_CHARACTERS


def test_half_a_surrogate_pair_does_not_survive(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a \\ud83d b \\ud83d\\ude00"}', "utf-8")
    assert read(path)[0].text == "a ? b \U0001f600"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"text": 5}', "not a passage: its text"),
        (b'{"text": null}', "not a passage: its text"),
        (b'{"text": "a", "topic": 3}', "not a passage: its text, and its topic"),
        (b'{"txt": "a"}', "not a passage"),
        (b'["text"]', "not a passage"),
        (b"text", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
    ],
)
def test_malformed_line_is_named_in_one_line(tmp_path: Path, line: bytes, said: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"text": "a"}\n\n' + line + b"\n")
    with pytest.raises(StudyError, match=rf"t\.jsonl:3: .*{said}") as raised:
        read(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["t.txt", "t.jsonl"])
def test_text_file_that_is_not_utf_8_is_named_with_its_line(tmp_path: Path, name: str) -> None:
    whole = '{"text": "Größe"}'
    (tmp_path / name).write_bytes(f"{whole}\n\n".encode() + whole.encode("latin-1"))
    with pytest.raises(StudyError, match=rf"{name} is not UTF-8: line 3, invalid .* at byte"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"txt": ["a"], "n": [1]}, "has no column text: it has txt, n"),
        ({"text": ["a", None]}, "t.parquet, row 2: not a passage"),
        ({"text": [1]}, "t.parquet, row 1: not a passage"),
    ],
)
def test_parquet_file_of_another_form_is_named(tmp_path: Path, table: dict[str, list[object]], said: str) -> None:
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    with pytest.raises(StudyError, match=said):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"text" * 100])
def test_file_that_is_no_parquet_is_named_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(StudyError, match=r"t\.parquet is not a parquet file") as raised:
        read(tmp_path / "t.parquet")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("notes.md", r"notes\.md is none of \.txt, \.jsonl, \.parquet"),
        ("empty", r"the folder .*empty holds no file that ends in \.txt"),
        ("blank.txt", r"blank\.txt holds no text"),
        ("nosuch", r"there are no texts at .*nosuch: give a file, a folder, or hub:NAME"),
    ],
)
def test_source_that_holds_no_texts_is_refused(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "blank.txt").write_text(" \n\n", "utf-8")
    (tmp_path / "notes.md").write_text("notes", "utf-8")
    with pytest.raises(StudyError, match=said):
        read(tmp_path / name)


@pytest.mark.usefixtures("hub")
def test_data_set_is_streamed(tmp_path: Path) -> None:
    """The library takes a folder for a data set too, so that no network is needed to see it read one."""
    lines = [json.dumps({"text": text, "id": 1}) for text in ("first", "", "third", "fourth")]
    (tmp_path / "train.jsonl").write_text("\n".join(lines), "utf-8")
    name = f"{HUB}{tmp_path}"
    found = read_texts(name, Path("/nowhere"), 3)
    assert found == [Passage(f"{tmp_path}:1", None, "first"), Passage(f"{tmp_path}:3", None, "third")]


@pytest.mark.usefixtures("hub")
def test_data_set_without_text_is_named_with_its_row(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"content": "a"}', "utf-8")
    with pytest.raises(StudyError, match=r"hub:.*, row 1: not a passage"):
        read_texts(f"{HUB}{tmp_path}", Path("/nowhere"), 3)


@pytest.mark.usefixtures("hub")
def test_data_set_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"the data set .*nosuch cannot be read from the hub: ") as raised:
        read_texts(f"{HUB}{tmp_path}/nosuch", Path("/nowhere"), 3)
    assert "\n" not in str(raised.value)
