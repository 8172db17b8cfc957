"""A steering run with a model that judges, end to end over HTTP: stored, gone on with, and on its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.folder.judged import count_verdicts, latest, measure_floor
from agent.steer import main
from agent.steering.page import write_report
from tests.agent.steering.conftest import SMALL, only_run
from tests.agent.steering.test_judging import knowing
from tests.servers.openai_stub import SCRIPTS, serve


def test_a_run_is_judged_and_gone_on_with(
    long_study: Path,
    targets: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    asked = ("--llm-model", "stub", "--pairs", "2", "--judge-repeats", "2")
    with serve(SCRIPTS["forbidden"]) as server:
        given = ["--study", str(long_study), "--toward", *targets, "--runs", str(tmp_path), *SMALL, *asked]
        assert main([*given, "--base-url", server.base_url]) == 0
    run = only_run(tmp_path)
    assert [one.exemplars for one in run.targets() or ()] and all(one.exemplars for one in run.targets() or ())
    assert {prompt.name for prompt in run.manifest().provenance.prompts} == {"resemble.v1", "assess.v1"}
    refused = run.judgements()
    asked_of_all = [one for one in refused if one.failure is not None]
    assert asked_of_all and {one.failure.type for one in asked_of_all if one.failure} == {"authentication"}
    first = run.results()
    assert first and all(row.wins is None or row.wins.mean == 0.5 for row in first.rows), "equal texts alone are ties"
    assert any(row.failed for row in first.rows)

    with serve(knowing) as server:
        assert main(["--resume", str(run.path), "--base-url", server.base_url]) == 0
        assert len(server.requests) <= len(asked_of_all), "what is equal is asked once"
    again = run.results()
    assert again and not any(row.failed for row in again.rows)
    assert any(row.harmonic for row in again.rows)
    verdicts, floor = count_verdicts(run.judgements()), measure_floor(run.judgements())
    assert verdicts.wins and verdicts.ratings and not verdicts.failed and floor.first_of_same.share == 0.5
    assert len(latest(run.judgements())) == len(refused)
    html = write_report(run).read_text("utf-8")
    assert "judge: stub" in html and "What the judge's word is worth" in html
