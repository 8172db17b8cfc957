"""Our own labels files: one schema, written and read back, settled, and refused where they are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evals.agreement.people import describe_people
from evals.errors import LabelError
from evals.labels import main
from evals.manual.files import read_label_files, settle
from evals.manual.own import read_own, write_own
from evals.manual.reading import Options
from evals.manual.records import ON_VERDICTS, Item, Label
from tests.evals.worlds import feature, label

texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).map(str.strip)
words = texts.filter(bool)


@st.composite
def labels(draw: st.DrawFn) -> Label:
    question = draw(
        st.sampled_from(
            ["relevant", "input_relevant", "output_relevant", "interpretable", "annotation", "nurse", "fuzz"]
        )
    )
    value = {
        **dict.fromkeys(ON_VERDICTS, st.sampled_from(["yes", "no", "undecided"])),
        "interpretable": st.integers(0, 4),
        "annotation": words,
        "nurse": st.integers(0, 4),
        "fuzz": st.floats(0.01, 0.99),
    }[question]
    item = Item(
        study=draw(st.none() | words),
        sae=draw(words),
        index=draw(st.integers(0, 99_999)),
        kind=draw(st.sampled_from(["feature", "random_direction"])),
    )
    return Label(
        annotator=draw(words),
        item=item,
        question=question,
        value=draw(value),
        time=draw(st.none() | st.just("2026-01-31T10:00:00+00:00")),
        source=draw(words),
        note=draw(st.none() | words),
        machine=draw(st.booleans()),
    )


@given(st.lists(labels(), min_size=1, max_size=5), st.sampled_from([".csv", ".jsonl"]))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, written: list[Label], suffix: str
) -> None:
    file = tmp_path_factory.mktemp("labels") / f"labels{suffix}"
    write_own(file, written)
    found = read_own(file, Options())
    assert found.problems == ()
    assert list(found.labels) == written


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("relevant", "maybe"),
        ("relevant", 1),
        ("input_relevant", 2),
        ("output_relevant", "both"),
        ("interpretable", 5),
        ("interpretable", "good"),
        ("annotation", 3),
    ],
)
def test_an_answer_must_answer_its_question(question: str, value: object) -> None:
    with pytest.raises(ValidationError, match=question):
        label(1, value, question=question)


def test_labels_fit_the_feature_they_name_and_no_other() -> None:
    item = Item(sae="base", index=3)
    assert item.fits(feature(3))
    assert not item.fits(feature(4))
    assert not item.fits(feature(3, "random_direction"))
    assert not Item(study="other", sae="base", index=3).fits(feature(3))
    path = feature(3).model_copy(update={"sae": "rel/blocks.8"})
    assert Item(sae="rel/blocks.8", index=3).fits(path)
    assert Item(sae=path.key.rsplit("-", 1)[0], index=3).fits(path)


def test_bad_rows_are_named_by_line_and_the_good_ones_read(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(
        "annotator,sae,index,question,value,time\n"
        "ana,base,1,relevant,yes,2026-01-31T10:00:00+00:00\n"
        "\n"
        "ana,base,2,relevant,perhaps,\n"
        "ana,base,minus,relevant,yes,\n"
        "ana,base,4,relevant,yes,yesterday\n"
        "ana,base,5,relevant\n"
        'ana,base,6,relevant,no,"2026-01-31"\n',
        "utf-8",
    )
    found = read_own(file, Options())
    assert [one.item.index for one in found.labels] == [1, 6]
    assert [problem.where for problem in found.problems] == [f"labels.csv:{n}" for n in (4, 5, 6, 7)]
    assert "not 'perhaps'" in found.problems[0].text
    with pytest.raises(LabelError, match=r"labels.csv:4: .*and 3 more bad rows"):
        read_label_files([file])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("annotator,sae,index,value\na,b,1,yes\n", "it lacks question"),
        ("annotator,sae,index,question,value,mood\na,b,1,relevant,yes,good\n", "mood is unknown"),
        ("", "holds no label"),
        ('annotator,sae,index,question,value\n"a,b,1,relevant,yes\n', "not CSV"),
    ],
)
def test_a_table_that_is_no_labels_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(content, "utf-8")
    with pytest.raises(LabelError, match=message):
        read_label_files([file])


def test_files_that_cannot_be_read_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    latin = tmp_path / "latin.csv"
    latin.write_bytes(b"annotator,caf\xe9\n")
    for path in (tmp_path / "none.csv", tmp_path, latin):
        assert main(["own", str(path)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1


def test_the_latest_answer_counts_and_the_change_is_reported() -> None:
    first = label(1, "yes", time="2026-01-02T10:00:00+00:00")
    older = label(1, "no", time="2026-01-01T10:00:00+00:00", source="old")
    kept, remarks = settle([first, older])
    assert [one.value for one in kept] == ["yes"]
    assert remarks[0].text == "'yes' is kept; 'no' at old"
    kept, _ = settle([older, first])
    assert [one.value for one in kept] == ["yes"]


def test_without_times_the_last_answer_counts() -> None:
    kept, remarks = settle([label(1, "no"), label(2, "no"), label(1, "undecided"), label(2, "no")])
    assert [(one.item.index, one.value) for one in kept] == [(1, "undecided"), (2, "no")]
    assert len(remarks) == 2
    assert remarks[1].text == "1 repeat an answer given before and count once"


def test_two_annotators_do_not_overwrite_each_other() -> None:
    kept, remarks = settle([label(1, "no"), label(1, "yes", "ben"), label(1, 3, question="interpretable")])
    assert len(kept) == 3
    assert remarks == ()


def test_labels_are_renamed_to_the_run_they_are_for(tmp_path: Path) -> None:
    file, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_own(file, [label(1, "yes")])
    assert main(["own", str(file), "--sae", "blocks.8", "--study", "gpt2", "--out", str(out)]) == 0
    written = json.loads(out.read_text("utf-8"))
    assert written["item"] == {"study": "gpt2", "sae": "blocks.8", "index": 1}


def test_the_command_shows_how_far_people_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "labels.csv"
    values = [("yes", "yes")] * 20 + [("no", "no")] * 15 + [("yes", "no")] * 10 + [("no", "yes")] * 5
    pairs = [
        (i, name, value) for i, both in enumerate(values) for name, value in zip(("ana", "ben"), both, strict=True)
    ]
    write_own(file, [label(i, value, name) for i, name, value in pairs])
    assert main(["own", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "ana: relevant, 50 labels on 50 features; no 20, yes 30" in shown
    assert "ana and ben, relevant: 50 answers on 50 features; same answer 0.70" in shown
    assert "kappa 0.40 [" in shown


def test_people_are_compared_on_ratings_over_all_concepts_together() -> None:
    ratings = [(i, c, v) for i, (a, b) in enumerate([(0, 4), (1, 0), (0, 0), (3, 0)]) for c, v in (("a", a), ("b", b))]
    both = [label(i, v, name, question=c) for i, c, v in ratings for name in ("ana", "ben")]
    lines = describe_people(both)
    assert len(lines) == 1
    assert lines[0].startswith("ana and ben, ratings: 8 answers on 4 features; same rating 1.00")


def test_a_programs_labels_are_not_among_the_people() -> None:
    assert describe_people([label(1, "yes"), label(1, "no", "delphi", machine=True)]) == []


def test_rows_that_were_refused_show_in_the_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "labels.jsonl"
    write_own(file, [label(1, "yes")])
    file.write_text(file.read_text("utf-8") + '{"annotator": "x"}\n', "utf-8")
    assert main(["own", str(file)]) == 1
    assert "rows refused: 1\n  labels.jsonl:2: " in capsys.readouterr().out


def test_evidence_is_not_promised_where_the_source_has_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "labels.jsonl", tmp_path / "labels-out.jsonl"
    write_own(file, [label(1, "yes")])
    assert main(["own", str(file), "--out-evidence", str(tmp_path / "e.jsonl"), "--out", str(out)]) == 2
    assert "leave out --out-evidence" in capsys.readouterr().err
    assert not out.exists()
