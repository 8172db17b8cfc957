"""A task is read from any table, split by document, and refused in a line where nothing could be learned from it."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pandas as pd
import pytest

from tests.tools.probes.tables import as_csv, make_rows, write_jsonl
from tools.errors import LoadError, StudyError
from tools.probes.definition import find_definition, list_tasks, spell
from tools.probes.reading import load_task
from tools.probes.task import split_of
from tools.study.reading import load_study

Rows = list[dict[str, Any]]


def refused(rows: Rows, folder: Path, toml: str = "") -> str:
    """What is said of a table, or of a task that reads it; one line."""
    name = write_jsonl(folder / "t.jsonl", rows)
    if toml:
        (folder / "t.toml").write_text(toml, "utf-8")
        name = str(folder / "t.toml")
    with pytest.raises(StudyError) as raised:
        load_task(name)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An endpoint that accepts connections, so that the probe finds a hub; locks do not go to the user's cache."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("datasets")))
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield


def test_the_same_table_in_three_formats_is_the_same_task(tmp_path: Path) -> None:
    rows = [{**row, "document": f"d{number}"} for number, row in enumerate(make_rows())]
    write_jsonl(tmp_path / "t.jsonl", rows)
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + as_csv(rows).replace("\n", "\r\n").encode())
    pd.DataFrame(rows).to_parquet(tmp_path / "t.parquet")
    tasks = [load_task(str(tmp_path / f"t.{ending}")) for ending in ("jsonl", "csv", "parquet")]
    assert len({task.sha256 for task in tasks}) == 1
    assert tasks[0].classes == ("cook", "sailor")
    assert tasks[0].attribute_classes == ("new", "old")
    assert Counter(tasks[0].quadrants.tolist()) == dict.fromkeys(range(4), 80)


def test_documents_keep_their_split_whatever_else_a_task_holds(tmp_path: Path) -> None:
    rows = [{**row, "document": f"d{number // 2}"} for number, row in enumerate(make_rows(60))]
    whole = load_task(write_jsonl(tmp_path / "a.jsonl", rows))
    part = load_task(write_jsonl(tmp_path / "b.jsonl", rows[:-40]))
    splits = {text.document: text.split for text in whole.texts}
    assert all(splits[text.document] == text.split for text in part.texts)
    assert all(splits[text.document] == text.split for text in whole.texts)
    assert 0.15 < np.mean(whole.within("test")) < 0.35


def test_a_split_follows_from_the_hash_of_the_document() -> None:
    shares = Counter(split_of(f"d{number}", 0.25, 0.2) for number in range(4000))
    assert shares["test"] / 4000 == pytest.approx(0.25, abs=0.03)
    assert shares["development"] / 4000 == pytest.approx(0.2, abs=0.03)


def test_numbers_and_names_spell_one_class() -> None:
    assert {spell(value) for value in (21, 21.0, " 21 ")} == {"21"}
    assert spell(True) == "true"


def test_named_classes_pick_rows_and_join_values(tmp_path: Path) -> None:
    rows = make_rows(60) + [{"text": f"none of it {n}", "label": "monk", "attribute": "old"} for n in range(30)]
    rows += [{"text": f"{a} pie {n}", "label": "baker", "attribute": a} for n in range(20) for a in ("new", "old")]
    write_jsonl(tmp_path / "t.jsonl", rows)
    (tmp_path / "t.toml").write_text(
        'texts = "t.jsonl"\n[label]\nname = "trade"\nclasses = { sailor = "sailor", kitchen = ["cook", "baker"] }\n'
        '[attribute]\nname = "age"\n',
        "utf-8",
    )
    task = load_task(str(tmp_path / "t.toml"))
    assert task.classes == ("sailor", "kitchen")
    assert Counter(task.labels.tolist()) == {0: 120, 1: 160}


def test_a_task_without_an_attribute_takes_several_classes(tmp_path: Path) -> None:
    rows = [{"text": f"{kind} {n}", "label": kind} for n in range(90) for kind in ("a", "b", "c")]
    write_jsonl(tmp_path / "t.jsonl", rows)
    (tmp_path / "t.toml").write_text('texts = "t.jsonl"\n[label]\nname = "kind"\n', "utf-8")
    assert load_task(str(tmp_path / "t.toml")).classes == ("a", "b", "c")


def test_the_first_texts_of_each_quadrant_are_taken(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "t.jsonl", make_rows(100))
    (tmp_path / "t.toml").write_text(
        'texts = "t.jsonl"\nmost_texts = 70\n[label]\nname = "label"\n[attribute]\nname = "attribute"\n', "utf-8"
    )
    task = load_task(str(tmp_path / "t.toml"))
    assert Counter(task.quadrants.tolist()) == dict.fromkeys(range(4), 70)
    assert task.notes == ("no more than the first 70 texts of a kind are taken (most_texts)",)


def test_long_texts_are_read_as_far_as_a_corpus_is(tmp_path: Path) -> None:
    rows = [{**row, "text": f"{row['text']} {'x' * 5000}"} for row in make_rows()]
    assert {len(text.text) for text in load_task(write_jsonl(tmp_path / "t.jsonl", rows)).texts} == {2000}


def without(quadrant: tuple[str, str]) -> Callable[[Rows], Rows]:
    return lambda rows: [row for row in rows if (row["label"], row["attribute"]) != quadrant]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[:12], r"split has \d texts of \w+ and \w+, and it takes 5"),
        (without(("cook", "old")), "split has 0 texts of cook and old"),
        (lambda rows: [{**row, "attribute": row["label"]} for row in rows], "attribute attribute is its label label"),
        (
            lambda rows: [{**row, "attribute": "old" if row["label"] == "cook" else "new"} for row in rows],
            "under another name",
        ),
        (lambda rows: [*rows, {**rows[0], "label": "monk"}], r"label has 3 classes \(cook, monk, sailor\) where two"),
        (lambda rows: [{**row, "attribute": "old"} for row in rows], "its column attribute has 1 classes"),
        (lambda rows: [{**row, "label": i / 7 + 0.01} for i, row in enumerate(rows)], r":1: its label is 0.01, and a"),
        (lambda rows: [{**row, "label": float(i % 2)} for i, row in enumerate(rows)], "its label is 0.0, and a class"),
        (lambda rows: [{**row, "label": None} for row in rows], "its label is nothing"),
        (lambda rows: [{**row, "label": ["a"]} for row in rows], "its label is ..a.., and a class"),
        (lambda rows: [*rows, {**rows[0], "text": " \n"}], ":321: its text is empty"),
        (lambda rows: [*rows, {**rows[0], "text": 3}], ":321: its text is no text"),
        (lambda rows: [{"text": "a", "label": "b"}], ":1 has no column attribute: it has text, label"),
        (lambda rows: [], "has 0 classes"),
        (
            lambda rows: [{**row, "label": f"a\nb{row['label']}"} for row in rows],
            "cannot name a class: it holds a line break: it is one line",
        ),
        (lambda rows: [{**row, "label": f"c{n}"} for n, row in enumerate(rows)], "has 320 classes, and 2 to 100 are"),
        (lambda rows: [{**row, "label": float("nan")} for row in rows], "its label is nan, and a class"),
        (lambda rows: [{**row, "text": "the same"} for row in rows], r"319 texts are copies"),
    ],
)
def test_what_nothing_can_be_learned_from_is_refused(tmp_path: Path, change: Callable[[Rows], Rows], said: str) -> None:
    assert re.search(said, refused(change(make_rows()), tmp_path))


def test_fractions_in_a_csv_are_no_classes(tmp_path: Path) -> None:
    rows = [{**row, "label": f"{n / 7:.2f}"} for n, row in enumerate(make_rows())]
    (tmp_path / "t.csv").write_text(as_csv(rows), "utf-8")
    with pytest.raises(StudyError, match=r"row 1: its label is '0.00', and a class is a name or a whole number"):
        load_task(str(tmp_path / "t.csv"))


def test_whole_floats_are_classes_once_these_are_named(tmp_path: Path) -> None:
    """As a table of ratings has them."""
    rows = [{**row, "attribute": 5.0 if row["attribute"] == "old" else 1.0} for row in make_rows()]
    write_jsonl(tmp_path / "t.jsonl", rows)
    (tmp_path / "t.toml").write_text(
        'texts = "t.jsonl"\n[label]\nname = "label"\n[attribute]\nname = "stars"\ncolumn = "attribute"\n'
        "classes = { bad = 1, good = 5 }\n",
        "utf-8",
    )
    assert load_task(str(tmp_path / "t.toml")).attribute_classes == ("bad", "good")


def test_copies_are_left_out_and_told(tmp_path: Path) -> None:
    """A text with another document's name could stand in two splits."""
    rows = make_rows()
    copied = [{**row, "text": f"  {row['text'].upper()} "} for row in rows[:3]]
    task = load_task(write_jsonl(tmp_path / "t.jsonl", rows + copied))
    assert len(task.texts) == len(rows)
    assert task.notes == ("3 texts are copies of earlier ones in other documents and left out",)


def test_unbalanced_test_quadrants_are_told(tmp_path: Path) -> None:
    rare = [row for row in make_rows(120) if (row["label"], row["attribute"]) == ("cook", "old")][:48]
    rows = [row for row in make_rows(120) if (row["label"], row["attribute"]) != ("cook", "old")] + rare
    (note,) = load_task(write_jsonl(tmp_path / "t.jsonl", rows)).notes
    assert note.startswith("the test split is unbalanced (")
    assert "\n" not in note


@pytest.mark.parametrize(
    ("data", "ending", "said"),
    [
        ("text,label,attribute\na,b,c".encode("utf-16"), "csv", "is not UTF-8 but looks like UTF-16"),
        (b"text,label,attribute\ncaf\xe9,b,c", "csv", "is not UTF-8: line 2"),
        (b"text,label\na,b", "csv", "has no column attribute: it has text, label"),
        (b"text,label,attribute\na,b,c,d", "csv", "row 1 has more cells than its header"),
        (b'text,label,attribute\n"a,b,c', "csv", "is not CSV: line 2"),
        (b"", "csv", "has no column text: it has none"),
        (b"{", "jsonl", ":1 is not JSON"),
        (b"[1]", "jsonl", ":1 is no object"),
        (b"PAR0", "parquet", "is not a parquet file"),
        (b"label = 1", "toml", "texts: Field required|label: Input should be"),
        (b"label = ", "toml", "is not TOML"),
    ],
)
def test_files_that_do_not_read_are_named(tmp_path: Path, data: bytes, ending: str, said: str) -> None:
    file = tmp_path / f"t.{ending}"
    file.write_bytes(data)
    with pytest.raises(StudyError, match=said) as raised:
        load_task(str(file))
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('classes = { a = "1", b = 1 }', "label: a value stands in two classes"),
        ('classes = { a = "1" }', "label: one class is named"),
        ("classes = { a = 0.5, b = 1 }", "label.classes.a: 0.5 is no name and no whole number"),
        ('class = { a = "1" }', "label.class: Extra inputs"),
    ],
)
def test_a_definition_that_does_not_fit_is_one_line(tmp_path: Path, table: str, said: str) -> None:
    toml = f'texts = "t.jsonl"\n[label]\nname = "label"\n{table}\n'
    assert said in refused(make_rows(), tmp_path, toml)


def test_a_task_that_is_not_there_lists_those_that_are() -> None:
    study = load_study("pocket")
    assert {"bios", "topics", "domains"} <= set(list_tasks(study))
    with pytest.raises(StudyError, match="there is no task 'nix': study pocket has bios, domains, topics; or give a"):
        load_task("nix", study)


@pytest.mark.parametrize("name", ["a" * 5000 + ".csv", "nul\0.toml", "folder.csv", "", "missing.jsonl"])
def test_a_name_that_is_no_file_is_no_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError, match=r"there is no task '.{0,83}: no study is given; or give a file"):
        load_task(name)


@pytest.mark.parametrize("texts", ["nix.csv", "a" * 5000, ".", "t.txt"])
def test_texts_that_are_missing_or_of_no_kind_are_named(tmp_path: Path, texts: str) -> None:
    (tmp_path / "t.txt").write_text("text", "utf-8")
    assert re.search(
        "are missing$|is none of", refused(make_rows(), tmp_path, f'texts = "{texts}"\n[label]\nname = "a"\n')
    )


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("bib-professor-nurse", ("hard_text", "profession", "gender")),
        ("amazon-books-cds", ("text", "category", "rating")),
    ],
)
def test_published_tasks_read_a_data_set_in_the_hubs_layout(
    tmp_path: Path, name: str, columns: tuple[str, str, str]
) -> None:
    """The library takes a folder for a data set too, so that no network is needed to see it read one."""
    definition = find_definition(name, load_study("smollm2"))
    assert definition.attribute is not None
    values = [[int(of[0]) for of in concept.classes.values()] for concept in (definition.label, definition.attribute)]
    number = float if "rating" in columns else int
    rows = [
        {columns[0]: f"word {n} of {a} and {b}", columns[1]: a, columns[2]: number(b)}
        for n in range(60)
        for a in [*values[0], 999]
        for b in values[1]
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "train.parquet")
    toml = (load_study("smollm2").folder / "tasks" / f"{name}.toml").read_text("utf-8")
    (tmp_path / "t.toml").write_text(toml.replace(definition.texts, f"hub:{tmp_path}"), "utf-8")
    task = load_task(str(tmp_path / "t.toml"))
    assert Counter(task.quadrants.tolist()) == dict.fromkeys(range(4), 60)
    assert task.texts[0].text.startswith("word 0 of")


@pytest.mark.usefixtures("hub")
def test_a_data_set_without_its_columns_is_named(tmp_path: Path) -> None:
    pd.DataFrame([{"text": "a", "label": 1}]).to_parquet(tmp_path / "train.parquet")
    (tmp_path / "t.toml").write_text(
        f'texts = "hub:{tmp_path}"\n[label]\nname = "label"\nclasses = {{ a = 1, b = 2 }}\n'
        '[attribute]\nname = "x"\nclasses = { a = 1, b = 2 }\n',
        "utf-8",
    )
    with pytest.raises(StudyError, match="has no column attribute: it has text, label"):
        load_task(str(tmp_path / "t.toml"))


def test_a_published_task_says_that_the_hub_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        LoadError, match=r"task bib-professor-nurse needs 'LabHC/bias_in_bios' from the Hugging Face hub"
    ):
        load_task("bib-professor-nurse", load_study("smollm2"))
