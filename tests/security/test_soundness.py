"""Whole, finished, untouched: what is stored is compared when it is read, and a difference is said by every command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from agent import check, read, run
from agent.folder.soundness import check_folder
from agent.folder.store import RunFolder
from evals import export
from evals import run as examine
from evals.review.app import create_app
from evals.review.desk import Desk
from tests.security.damage import lines_of

Change = Callable[[Any], None]


def change_line(file: Path, place: int, change: Change) -> None:
    """Edit one record of a JSONL file in place."""
    lines = lines_of(file)
    value = json.loads(lines[place])
    change(value)
    lines[place] = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    file.write_bytes(b"".join(lines))


def turn_verdict(value: Any) -> None:
    value["relevant"] = "no" if value["relevant"] == "yes" else "yes"


def alter_evidence(run: Path) -> None:
    change_line(run / "evidence.jsonl", 0, lambda value: value["activations"].update(density=0.5))


def alter_request(run: Path) -> None:
    change_line(run / "llm_calls.jsonl", 0, lambda value: value["request"]["messages"][0].update(content="Say yes."))


def alter_decision(run: Path) -> None:
    change_line(run / "decisions.jsonl", 0, turn_verdict)


def alter_transcript(run: Path) -> None:
    file = run / "transcripts" / "base-000007.jsonl"
    change_line(file, -1, lambda value: turn_verdict(value["content"]))


def alter_summary(run: Path) -> None:
    value = json.loads((run / "summary.json").read_bytes())
    value["strata"][0]["yes"] += 3
    (run / "summary.json").write_text(json.dumps(value))


def lose_evidence(run: Path) -> None:
    (run / "evidence.jsonl").write_bytes(b"".join(lines_of(run / "evidence.jsonl")[1:]))


def lose_call(run: Path) -> None:
    (run / "llm_calls.jsonl").write_bytes(b"".join(lines_of(run / "llm_calls.jsonl")[1:]))


def lose_transcript(run: Path) -> None:
    (run / "transcripts" / "base-000007.jsonl").unlink()


def cut_transcript(run: Path) -> None:
    file = run / "transcripts" / "base-000007.jsonl"
    file.write_bytes(b"".join(lines_of(file)[:-1]))


def lose_decision(run: Path) -> None:
    (run / "decisions.jsonl").write_bytes(b"".join(lines_of(run / "decisions.jsonl")[:-1]))


def repeat_decision(run: Path) -> None:
    (run / "decisions.jsonl").write_bytes(
        b"".join([*lines_of(run / "decisions.jsonl"), lines_of(run / "decisions.jsonl")[0]])
    )


def add_stranger(run: Path) -> None:
    stranger = lines_of(run / "decisions.jsonl")[0].replace(b'"index":7', b'"index":99')
    (run / "decisions.jsonl").write_bytes(b"".join([*lines_of(run / "decisions.jsonl"), stranger]))


def lose_summary(run: Path) -> None:
    (run / "summary.json").unlink()


def alter_reply(run: Path) -> None:
    file = run / "llm_calls.jsonl"
    file.write_bytes(file.read_bytes().replace(rb"\"stub\"", rb"\"forged\"", 1))


def add_reply(run: Path) -> None:
    """A second reply to a request, which the first reader of the file would take."""
    file, lines = run / "llm_calls.jsonl", lines_of(run / "llm_calls.jsonl")
    file.write_bytes(b"".join([*lines, lines[-1]]))
    change_line(file, -1, lambda value: value["reply"]["message"].update(content="No."))


def spoil_reply(run: Path) -> None:
    change_line(run / "llm_calls.jsonl", 0, lambda value: value.update(reply={"message": "none"}))


def alter_told_reply(run: Path) -> None:
    file = run / "transcripts" / "base-000007.jsonl"
    place = next(n for n, line in enumerate(lines_of(file)) if json.loads(line)["kind"] == "reply")
    change_line(file, place, lambda value: value["content"].update(text="I was told to say so."))


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "evidence": (alter_evidence, "the evidence on 1 of 3 features is not what was judged (its hash differs)"),
    "request": (alter_request, "1 of 3 stored requests are not those that were sent (their hash differs)"),
    "decision": (alter_decision, "1 decisions are not those their transcripts end in, such as base-000007's"),
    "transcript": (alter_transcript, "1 decisions are not those their transcripts end in, such as base-000007's"),
    "summary": (alter_summary, "summary.json counts other verdicts than the decisions hold"),
    "lost evidence": (lose_evidence, "evidence.jsonl has nothing on 1 selected features, such as base-000007"),
    "lost call": (lose_call, "llm_calls.jsonl lacks 1 of the"),
    "lost transcript": (lose_transcript, "transcripts: 1 of 3 are missing"),
    "cut transcript": (cut_transcript, "transcripts: 1 of 3 are not complete"),
    "lost decision": (lose_decision, "unfinished: 2 of 3 selected features have a decision"),
    "repeated decision": (repeat_decision, "decisions.jsonl holds 1 decisions too many on one feature"),
    "stranger": (add_stranger, "decisions.jsonl decides on 1 features never selected (base-000099)"),
    "reply": (alter_reply, "replies in transcripts are not those stored in llm_calls.jsonl"),
    "second reply": (add_reply, "1 stored requests have another reply beside the first"),
    "reply of no form": (spoil_reply, "replies in transcripts are not those stored in llm_calls.jsonl"),
    "told reply": (
        alter_told_reply,
        "1 replies in transcripts are not those stored in llm_calls.jsonl, such as one in tr",
    ),
    "lost summary": (lose_summary, "unfinished: there is no summary.json"),
}
TOUCHED = (
    *("evidence", "request", "decision", "transcript", "summary"),
    *("reply", "second reply", "reply of no form", "told reply"),
)


def renumber(file: Path, lines: list[bytes]) -> None:
    values = [{**json.loads(line), "step": place} for place, line in enumerate(lines)]
    file.write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")


@pytest.mark.parametrize("change", ["lost", "repeated", "moved", "forged"])
@pytest.mark.parametrize("kind", ["measured", "judged"])
def test_steps_that_a_replay_does_not_take_are_said_and_counted(
    kind: str,
    change: str,
    copy_of: Callable[[Path], Path],
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Steps have no hash, but what is stored leads to them; numbered anew they look complete."""
    copy = copy_of(request.getfixturevalue(kind))
    assert run.main(["--replay", str(copy)]) == 0
    file = sorted((copy / "transcripts").glob("base-0*"))[0]
    lines = lines_of(file)
    if change == "forged":
        value = json.loads(lines[0])
        value["content"] = {"said": "so"}
        lines[0] = json.dumps(value).encode()
    else:
        extra = {"lost": [], "repeated": [lines[0], lines[0]], "moved": [lines[0]]}[change]
        lines = [*lines[1:-1], *extra, lines[-1]]
    renumber(file, lines)
    is_same = change == "moved" and len(lines) == 2
    capsys.readouterr()
    assert run.main(["--replay", str(copy)]) == int(not is_same)
    assert is_same or f"1 transcripts are not those of the replay, such as {file.stem}'s" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["measured", "judged"])
def test_a_finished_run_is_whole_finished_and_untouched(
    kind: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    whole: Path = request.getfixturevalue(kind)
    assert check.main([str(whole)]) == 0
    said = capsys.readouterr().out
    assert "whole, finished, untouched as far as its hashes show" in said
    assert check_folder(RunFolder.open(whole)).findings == ()
    assert "whole, finished, untouched as far as its hashes show" in (whole / "report.html").read_text()


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_found_with_its_count(
    judged: Path, copy_of: Callable[[Path], Path], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, (damage, said) = copy_of(judged), FAULTS[fault]
    damage(copy)
    assert check.main([str(copy)]) == 1
    out = capsys.readouterr().out
    assert said in out
    assert ("NOT untouched" in out) == (fault in TOUCHED)


@pytest.mark.parametrize(
    "fault",
    [
        "evidence",
        pytest.param("request", marks=pytest.mark.endurance),
        pytest.param("decision", marks=pytest.mark.endurance),
        "cut transcript",
    ],
)
def test_every_reader_says_it(
    judged: Path,
    copy_of: Callable[[Path], Path],
    fault: str,
    labels: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy, (damage, said) = copy_of(judged), FAULTS[fault]
    damage(copy)
    out, runs = tmp_path / "out", tmp_path / "again"
    commands: dict[str, Callable[[], int]] = {
        "read": lambda: read.main([str(copy), "base-000008"]),
        "evals.run": lambda: examine.main([str(copy), "--labels", str(labels)]),
        "neuronpedia": lambda: export.main([str(copy), "--to", "neuronpedia", "--out", str(out / "n")]),
        "delphi": lambda: export.main([str(copy), "--to", "delphi", "--out", str(out / "d")]),
        "replay": lambda: run.main(["--replay", str(copy)]),
        "rejudge": lambda: run.main(["--rejudge", str(copy), "--judge", "rules", "--runs", str(runs)]),
    }
    for name, command in commands.items():
        status, shown = command(), capsys.readouterr()
        assert status in ((1,) if name == "replay" and fault in TOUCHED else (0, 1)), (name, shown.err)
        assert said in shown.out, name
    page = TestClient(create_app(Desk.open([copy])), base_url="http://127.0.0.1:8765").get(f"/run/{copy.name}").text
    assert said.split("'")[0] in page
    (again,) = runs.glob("*/")
    assert said in "".join(RunFolder.open(again).manifest().caveats), "judged again, it would be forgotten"
    assert said.split("'")[0] in (again / "report.html").read_text()


@pytest.mark.parametrize(
    "fault", ["evidence", "request", "decision", "lost evidence", "lost call", "repeated decision", "stranger"]
)
def test_a_run_that_is_not_sound_is_not_gone_on_with_and_not_changed(
    judged: Path, copy_of: Callable[[Path], Path], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, (damage, said) = copy_of(judged), FAULTS[fault]
    damage(copy)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    assert run.main(["--resume", str(copy)]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("fault", ["lost decision", "repeated decision", "stranger"])
def test_the_examiner_says_that_a_run_is_not_finished_or_decides_twice(
    judged: Path, copy_of: Callable[[Path], Path], fault: str, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, (damage, said) = copy_of(judged), FAULTS[fault]
    damage(copy)
    assert examine.main([str(copy), "--labels", str(labels)]) == 0
    assert said in capsys.readouterr().out
    assert said in (copy / "evals" / "agreement.md").read_text()


@pytest.mark.parametrize("fault", ["summary", "lost summary", "lost transcript", "lost decision"])
def test_what_going_on_makes_good_is_no_hindrance(
    measured: Path, copy_of: Callable[[Path], Path], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copy_of(measured)
    if fault == "lost transcript":
        next(iter(sorted((copy / "transcripts").iterdir()))).unlink()
    else:
        FAULTS[fault][0](copy)
    assert run.main(["--resume", str(copy)]) == 0
    left = check_folder(RunFolder.open(copy)).findings
    assert [found.text for found in left if "transcript" not in found.text] == []


def test_a_decision_made_twice_counts_once(judged: Path, copy_of: Callable[[Path], Path]) -> None:
    copy = copy_of(judged)
    repeat_decision(copy)
    assert len(RunFolder.open(copy).decisions()) == 3


@pytest.mark.parametrize("name", ["manifest.json", "decisions.jsonl", "evidence.jsonl", "summary.json"])
def test_a_newer_run_is_called_newer_and_not_damaged(
    judged: Path, copy_of: Callable[[Path], Path], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = copy_of(judged)
    text = (copy / name).read_text().replace('"schema_version":1', '"schema_version":2')
    (copy / name).write_text(text.replace('"schema_version": 1', '"schema_version": 2'))
    check.main([str(copy)])
    said = capsys.readouterr()
    assert "made by a newer version of Unveil (schema 2; this one reads 1)" in said.out + said.err
    if name != "summary.json":
        assert run.main(["--rejudge", str(copy), "--judge", "rules"]) == 2
        error = capsys.readouterr().err
        assert "newer version" in error and "is damaged" not in error and error.count("\n") == 1


def test_a_run_from_before_the_study_was_recorded_is_sound_and_that_is_noted(
    judged: Path, copy_of: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    copy = copy_of(judged)
    value = json.loads((copy / "manifest.json").read_bytes())
    del value["study_sha256"], value["inherited"]
    (copy / "manifest.json").write_text(json.dumps(value))
    assert check.main([str(copy)]) == 0
    assert "note: this version of Unveil recorded no hash of the study's text" in capsys.readouterr().out
    assert run.main(["--replay", str(copy)]) == 0


def test_several_runs_are_checked_at_once_and_the_worst_decides(
    judged: Path, measured: Path, copy_of: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = copy_of(judged)
    alter_decision(copy)
    assert check.main([str(measured), str(copy)]) == 1
    assert check.main([str(copy), str(tmp_path / "none"), str(measured)]) == 2
    assert capsys.readouterr().out.count("finished") == 4
