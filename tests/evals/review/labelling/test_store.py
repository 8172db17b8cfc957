"""Labels written at the desk: on disk at once, in one schema, by many at a time, never rewritten."""

from __future__ import annotations

import json
import resource
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evals.errors import LabelError
from evals.manual.files import read_label_files, settle
from evals.manual.records import Beside, Label
from evals.review.labelling.store import ADJUDICATION, LabelStore
from tests.evals.worlds import label

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore(tmp_path / "labels")


def lines(store: LabelStore, name: str = "ana") -> list[Label]:
    text = (store.folder / f"{name}.jsonl").read_text("utf-8")
    return [Label.model_validate_json(line) for line in text.split("\n")[:-1]]


def test_a_label_is_a_line_of_the_schema_with_its_time_in_utc_and_its_place(store: LabelStore) -> None:
    store.append("ana", [label(1, "yes", note="doses", seconds=4.5)], NOON)
    store.append("ana", [label(2, 3, question="interpretable")], NOON)
    first, second = lines(store)
    assert (first.value, first.note, first.seconds) == ("yes", "doses", 4.5)
    assert (first.time, first.source) == ("2026-01-31T12:00:00.000+00:00", "ana.jsonl:1")
    assert (second.value, second.source) == (3, "ana.jsonl:2")


def test_the_examiner_reads_what_was_written(store: LabelStore) -> None:
    store.append("ana", [label(1, "yes"), label(2, "no")])
    store.append("ana", [label(1, "undecided")])
    store.append("ben", [label(1, "no", "ben")])
    read, remarks = read_label_files(sorted(store.folder.glob("*.jsonl")))
    assert {(one.annotator, one.item.index): one.value for one in read} == {
        ("ana", 1): "undecided",
        ("ana", 2): "no",
        ("ben", 1): "no",
    }
    assert "'undecided' is kept; 'yes' at ana.jsonl:1" in [remark.text for remark in remarks]


@pytest.mark.parametrize("shared", [True, False], ids=["one file", "a file each"])
def test_labels_written_at_the_same_time_are_all_there(store: LabelStore, shared: bool) -> None:
    names, each = ("ana", "ben", "eve", "joe"), 60

    def write(name: str) -> None:
        own = LabelStore(store.folder)  # as another process would have it
        for index in range(each):
            own.append("ana" if shared else name, [label(index, "yes", name), label(index, 2, name, "interpretable")])

    threads = [threading.Thread(target=write, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = lines(store) if shared else [one for name in names for one in lines(store, name)]
    assert len({one.place for one in found}) == len(found) == len(names) * each * 2
    if shared:
        assert [one.source for one in found] == [f"ana.jsonl:{number + 1}" for number in range(len(found))]
        assert sorted(one.time or "" for one in found) == [one.time for one in found]


def test_taking_back_adds_lines_and_changes_none(store: LabelStore) -> None:
    store.append("ana", [label(1, "yes", note="doses"), label(1, 4, question="interpretable"), label(2, "no")])
    before = (store.folder / "ana.jsonl").read_bytes()
    taken = store.take_back("ana", label(1, "yes").item.key)
    assert {one.question for one in taken} == {"relevant", "interpretable"}
    assert (store.folder / "ana.jsonl").read_bytes().startswith(before)
    assert [one.item.index for one in store.standing("ana").values()] == [2]
    read, remarks = read_label_files([store.folder / "ana.jsonl"])
    assert [one.item.index for one in read] == [2]
    assert [remark.text for remark in remarks] == ["2 were taken back and are left out"]
    assert store.take_back("ana", label(1, "yes").item.key) == []


def test_an_answer_given_again_after_it_was_taken_back_stands(store: LabelStore) -> None:
    for value in ("yes", "yes", "no"):
        store.append("ana", [label(1, value)])
        store.take_back("ana", label(1, "yes").item.key)
    assert store.standing("ana") == {}
    store.append("ana", [label(1, "no")])
    kept, remarks = settle(store.written("ana").labels)
    assert [one.value for one in kept] == ["no"]
    assert remarks == ()


def test_a_clock_that_is_set_back_does_not_bring_an_older_answer_back(store: LabelStore) -> None:
    store.append("ana", [label(1, "yes")], NOON)
    store.append("ana", [label(1, "no")], NOON - timedelta(hours=1))
    assert [one.value for one in store.standing("ana").values()] == ["no"]


def test_a_line_that_was_cut_off_is_set_aside_and_named(store: LabelStore) -> None:
    store.append("ana", [label(1, "yes")])
    file = store.folder / "ana.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:-20])
    assert "does not read" in store.remarks("ana")[0]
    assert len(store.standing("ana")) == 1
    store.append("ana", [label(2, "no")])
    assert [one.item.index for one in lines(store)] == [1, 2]
    assert (store.folder / "ana.jsonl.cut").read_bytes() == whole[:-20] + b"\n"
    assert store.remarks("ana") == [
        "a line of ana.jsonl was cut off by a stop and counts for nothing; it is kept in ana.jsonl.cut"
    ]
    assert read_label_files([file])[0]


def test_a_line_that_lacks_only_its_end_keeps_its_answer(store: LabelStore) -> None:
    store.append("ana", [label(1, "yes")])
    file = store.folder / "ana.jsonl"
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    store.append("ana", [label(2, "no")])
    assert [one.value for one in lines(store)] == ["yes", "no"]
    assert store.remarks("ana") == []


def test_a_damaged_line_is_named_and_the_others_count(store: LabelStore) -> None:
    store.append("ana", [label(1, "yes")])
    with (store.folder / "ana.jsonl").open("a", encoding="utf-8") as opened:
        opened.write('{"annotator": "ana"}\n')
    store.append("ana", [label(2, "no")])
    assert [one.value for one in store.standing("ana").values()] == ["yes", "no"]
    assert [remark.split(":")[:2] for remark in store.remarks("ana")] == [["ana.jsonl", "2 does not read"]]


def test_a_full_disk_loses_the_new_answer_only_and_says_so(store: LabelStore) -> None:
    store.append("ana", [label(1, "yes")])
    file = store.folder / "ana.jsonl"
    before = file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 30, limits[1]))
    try:
        with pytest.raises(LabelError, match="not saved"):
            store.append("ana", [label(2, "no")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before
    store.append("ana", [label(2, "no")])
    assert len(lines(store)) == 2


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("a file stands in the way")
    store = LabelStore(tmp_path / "labels")
    with pytest.raises(LabelError, match="labels"):
        store.append("ana", [label(1, "yes")])
    with pytest.raises(LabelError, match="nobody can label"):
        store.secret()


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "../x", "a/b", "a\\b", ".ana", "-ana", "_ana", "a\x00b", "a\nb", "a" * 41, "ana b", "a\u202eb"]
    + ["adjudication", "Adjudication", "<b>", "a'b", 'a"b', "a|b", "a?b", "~"],
)
def test_a_name_that_names_no_file_is_refused(store: LabelStore, name: str) -> None:
    with pytest.raises(LabelError):
        store.check_name(name)


@pytest.mark.parametrize("name", ["ana", "Ana-2", "ana.l_b", "José", "Jose\u0301", "陈", "0", "a" * 40, "  ana  "])
def test_a_persons_name_names_a_file_in_the_folder(store: LabelStore, name: str) -> None:
    plain = store.check_name(name)
    store.append(plain, [label(1, "yes", plain)])
    assert [file.parent for file in store.folder.glob("*.jsonl")] == [store.folder]
    assert store.annotators() == (plain,)
    assert store.check_name(name) == plain


def test_two_names_that_differ_in_case_only_are_one_person(store: LabelStore) -> None:
    store.append("ana", [label(1, "yes")])
    with pytest.raises(LabelError, match="there is an annotator ana already"):
        store.check_name("Ana")


def test_the_secret_stays_and_is_nobodys_else(tmp_path: Path) -> None:
    one, other = LabelStore(tmp_path / "one"), LabelStore(tmp_path / "other")
    assert one.secret() == LabelStore(tmp_path / "one").secret() != other.secret()
    assert len(one.secret()) == 32
    assert (tmp_path / "one" / ".secret").stat().st_mode & 0o077 == 0


def test_answers_that_settle_are_kept_apart_from_blind_ones(store: LabelStore) -> None:
    beside = Beside(judged="yes", evidence_sha256="0", answers={"ana": "no"})
    store.append("ana", [label(1, "no")])
    store.append(ADJUDICATION, [label(1, "yes", note="wards", settles=beside)])
    assert store.annotators() == ("ana",)
    assert [one.value for one in store.standing("ana").values()] == ["no"]
    assert [one.note for one in store.settled()[label(1, "no").item.key, "relevant"]] == ["wards"]
    read, remarks = read_label_files(sorted(store.folder.glob("*.jsonl")))
    assert [one.value for one in read] == ["no"]
    assert [remark.text for remark in remarks] == [
        "1 settle a question knowing the machine's answer and are no blind labels"
    ]


def test_a_line_holds_text_of_any_kind(store: LabelStore) -> None:
    note = 'line\nfeed \u2028 \u202e \x00 "quote" </script> 😀'
    store.append("ana", [label(1, "yes", note=note)])
    assert (store.folder / "ana.jsonl").read_bytes().count(b"\n") == 1
    assert lines(store)[0].note == note
    assert json.loads((store.folder / "ana.jsonl").read_text("utf-8"))["note"] == note
