"""A kind of evidence kept from the judge of a run that judges another's again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.folder.store import RunFolder
from agent.folder.withheld import KINDS, Kind, withhold
from agent.run import main
from tests.agent.cases import make_evidence
from tests.servers.openai_stub import StubServer, happy, serve
from tools.records import FeatureRef


@pytest.fixture
def server() -> Iterator[StubServer]:
    with serve(happy) as stub:
        yield stub


@pytest.fixture
def parent(server: StubServer, domain: Path, tmp_path: Path) -> RunFolder:
    """A run over two features with evidence of every kind."""
    file = tmp_path / "whole.jsonl"
    records = [make_evidence(feature=FeatureRef(study="toy", sae="base", index=n)) for n in (7, 8)]
    file.write_text("".join(record.model_dump_json() + "\n" for record in records))
    return begin(server, tmp_path / "runs", "--evidence", str(file), "--study", str(domain))


def begin(server: StubServer, runs: Path, *more: str) -> RunFolder:
    before = set(runs.glob("*/"))
    assert main(["--base-url", server.base_url, "--llm-model", "stub", "--runs", str(runs), *more]) == 0
    (new,) = set(runs.glob("*/")) - before
    return RunFolder(new)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_the_kind_is_shown_to_the_judge_and_the_rest_is(
    server: StubServer, parent: RunFolder, tmp_path: Path, kind: Kind
) -> None:
    marks = {"contexts": "strongest contexts", "projection": "bottom tokens", "steering": "| 1 A:"}
    whole = [json.dumps(request.body["messages"][-1]) for request in server.requests]
    seen = len(server.requests)
    begin(server, tmp_path / "runs", "--rejudge", str(parent.path), "--without", kind)
    shown = [json.dumps(request.body["messages"][-1]) for request in server.requests[seen:]]
    assert shown
    for mark in marks:
        had, has = (any(marks[mark] in text for text in texts) for texts in (whole, shown))
        assert (had, has) == (True, mark != kind), mark


def test_a_run_without_a_kind_says_so_first_replays_and_hands_it_down(
    server: StubServer, parent: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    again = begin(server, runs, "--rejudge", str(parent.path), "--without", "steering")
    assert again.manifest().caveats == ("judged without steering (--without)",)
    assert all(record.steering is None and record.activations for record in again.finished_evidence())
    assert main(["--replay", str(again.path)]) == 0
    third = begin(server, runs, "--rejudge", str(again.path), "--without", "projection")
    assert third.manifest().config.without == ("projection", "steering")
    assert sorted(third.manifest().caveats) == [
        "judged without projection (--without)",
        "judged without steering (--without)",
    ]
    assert main(["--rejudge", str(third.path), "--judge", "rules", "--without", "contexts", "--runs", str(runs)]) == 2
    assert "nothing to judge" in capsys.readouterr().err


def test_a_feature_of_which_nothing_is_left_is_named_before_there_is_a_run(
    server: StubServer, evidence: Path, domain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tokens.jsonl"
    file.write_text('{"feature": 5, "top_tokens": ["heart", "valve"]}\n')
    runs = tmp_path / "runs"
    tokens_alone = begin(server, runs, "--evidence", str(file), "--study", str(domain))
    capsys.readouterr()
    assert main(["--rejudge", str(tokens_alone.path), "--judge", "rules", "--without", "projection"]) == 2
    error = capsys.readouterr().err
    assert "nothing is left to judge of" in error and error.count("\n") == 1
    assert len(list(runs.iterdir())) == 1


def test_it_is_about_runs_that_are_judged_again_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--sae", "base", "--without", "steering"])
    assert ended.value.code == 2
    assert "--rejudge" in capsys.readouterr().err


def test_kinds_share_no_field_and_stand_for_all_that_a_judge_is_shown() -> None:
    fields = [field for kind in KINDS.values() for field in kind]
    assert len(set(fields)) == len(fields)
    record = make_evidence()
    said = {"schema_version", "feature", "stratum"}
    assert set(type(record).model_fields) - said == set(fields)
    (left,) = withhold([record], ["contexts", "steering"])
    assert left.projection == record.projection and left.activations is None and left.causal is None
