"""Runs that an old version made: they open, replay byte for byte, are gone on with, compared, judged again and exported.

`stored/rules` and `stored/llm` were made by commit f812ebf on the embedded study, three features each, the second with
that version's stand-in endpoint; the survey's table, figures and page, which have no hash and are large, are left out.
Those runs read a news corpus beside the project's own passages. Its 14 excerpts were replaced afterwards by stretches of the
project's passages with as many tokens, and every rendering and hash of them with it; the figures are those of the texts read
then. So the contexts named after the passages of law, sport, religion, war, travel and the like do not show what was measured.
That version steered wrongly with the libraries of today, which nobody looked for then: what reads its runs says so.
"""

from __future__ import annotations

import csv
import json
import shutil
import socket
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from agent.check import main as check
from agent.folder.records import Manifest
from agent.folder.store import RunFolder
from agent.read import main as read
from agent.run import main as run
from evals.export import main as export
from evals.review.app import create_app
from evals.review.desk import Desk
from evals.run import main as compare
from tests.servers.openai_stub import happy, serve
from tools.study.reading import STUDIES

STORED = Path(__file__).parent / "stored"
KINDS = ("rules", "llm")
FEATURES = ("base-000963", "base-001143", "base-000174")
DEAD = "steering: this instrument measured nothing here"


@pytest.fixture(params=KINDS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of each: opening a run makes its lock."""
    return copied(request.param, tmp_path)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """People's answers on all three."""
    file = tmp_path / "labels.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(("annotator", "study", "sae", "index", "kind", "question", "value", "time"))
        for index, value in ((963, "yes"), (1143, "no"), (174, "no")):
            writer.writerow(("ann", "pocket", "base", index, "feature", "relevant", value, "2026-11-21T15:00:42+00:00"))
    return file


def copied(kind: str, folder: Path) -> Path:
    return Path(shutil.copytree(STORED / kind, folder / kind))


def cut_short(old: Path) -> bytes:
    """Take the last feature's decision and transcript away, as a kill does; what stood there."""
    file = old / "decisions.jsonl"
    whole = file.read_bytes()
    file.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    (old / "transcripts" / f"{FEATURES[-1]}.jsonl").unlink()
    (old / "summary.json").unlink()
    return whole


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_stored_is_old_small_and_speaks_of_no_machine(kind: str) -> None:
    files = [file for file in (STORED / kind).rglob("*") if file.is_file()]
    manifest = json.loads((STORED / kind / "manifest.json").read_text())
    assert not {"proof", "study_sha256", "floors"} & manifest.keys(), "written anew by a later version"
    assert sum(file.stat().st_size for file in files) < 300_000
    for file in files:
        assert not any(place in file.read_bytes() for place in (b"/root", b"/home", b"/tmp", b"/work", b"Bearer"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_stored_quotes_the_projects_own_passages_alone(kind: str) -> None:
    lines = (STUDIES / "pocket" / "corpus.jsonl").read_text("utf-8").splitlines()
    passages = {json.loads(line)["document"] for line in lines}
    for evidence in RunFolder(STORED / kind).evidence() or []:
        assert evidence.activations
        found = evidence.activations
        assert {context.document for context in (*found.top, *found.quantiles, *found.near_misses)} <= passages


def test_an_old_run_replays_byte_for_byte_without_network(
    old: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a replay asks nobody")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert run(["--replay", str(old)]) == 0
    assert "3 of 3 decisions reproduced byte for byte" in capsys.readouterr().out


def test_an_old_run_is_sound_and_what_it_cannot_show_is_noted(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check([str(old)]) == 0
    first, counts, *notes = capsys.readouterr().out.splitlines()
    assert first == f"{old}: whole, finished, untouched as far as its hashes show"
    assert counts.startswith("  3 decisions, 3 evidence, 3 transcripts")
    assert notes == [
        "  note: this version of Unveil recorded no hash of the study's text: domain and definition cannot be compared",
        "  note: the bench was not proved by the version that made this run",
    ]


def test_an_old_transcript_is_read(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in FEATURES:
        assert read([str(old), name]) == 0
        text = capsys.readouterr().out
        assert "relevant: " in text
        assert ("apply_rules" in text, "measure_activations" in text) == (old.name == "rules", old.name == "llm")


def test_an_old_run_is_compared_with_people(old: Path, labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare([str(old), "--labels", str(labels)]) == 0
    said = capsys.readouterr().out
    assert "people: ann (3)" in said and DEAD in said
    assert (old / "evals" / "agreement.json").is_file()


@pytest.mark.parametrize(
    ("kind", "count"), [("neuronpedia", "3 features, 3 explanations"), ("delphi", "3 explanations")]
)
def test_an_old_run_is_exported(old: Path, kind: str, count: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert export([str(old), "--to", kind]) == 0
    said = capsys.readouterr().out
    assert count in said and DEAD in said


def test_the_desk_opens_every_page_of_an_old_run(old: Path, labels: Path, tmp_path: Path) -> None:
    other = copied("rules", tmp_path / "other")
    at = f"/run/{old.name}"
    pages = ["/", at, f"{at}/agreement", f"{at}/label", "/compare"]
    pages += [f"{at}/feature/{name}{more}" for name in FEATURES for more in ("/transcript", "")]
    if old.name == "llm":
        first = json.loads((old / "llm_calls.jsonl").read_text("utf-8").splitlines()[0])
        pages.insert(0, f"{at}/call/{first['request_sha256']}")
    with TestClient(create_app(Desk.open([old, other], [labels], "ann")), base_url="http://localhost") as browser:
        for page in pages:
            answer = browser.get(page)
            assert answer.status_code == 200, page
        assert "measured nothing here" in browser.get(f"{at}/feature/{FEATURES[0]}").text


def test_an_old_run_is_judged_again_by_the_rules_on_its_own_evidence(old: Path, tmp_path: Path) -> None:
    assert run(["--rejudge", str(old), "--judge", "rules", "--runs", str(tmp_path / "runs")]) == 0
    (new,) = (tmp_path / "runs").iterdir()
    again, parent = RunFolder.open(new), RunFolder.open(old)
    assert again.manifest().parent == parent.manifest().run_id
    assert again.evidence() == parent.evidence()
    assert [decision.relevant for decision in again.decisions()] == ["undecided", "undecided", "no"]
    assert not any(decision.steering for decision in again.decisions()), "the steering of then measured nothing"


def test_an_old_run_by_rules_that_was_killed_ends_as_it_would_have(tmp_path: Path) -> None:
    old = copied("rules", tmp_path)
    whole = cut_short(old)
    assert run(["--resume", str(old)]) == 0
    assert (old / "decisions.jsonl").read_bytes() == whole
    assert check([str(old)]) == 0


def test_an_old_run_by_a_model_goes_on_without_asking_what_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    old = copied("llm", tmp_path)
    whole, calls = cut_short(old), (old / "llm_calls.jsonl").read_bytes()
    with serve(happy) as server:
        assert run(["--resume", str(old), "--base-url", server.base_url]) == 0
        assert not server.requests, "bodies of then are found in the stored calls of then"
    assert (old / "decisions.jsonl").read_bytes() == whole
    assert (old / "llm_calls.jsonl").read_bytes() == calls
    assert Manifest.model_validate_json((old / "manifest.json").read_bytes()).changes
