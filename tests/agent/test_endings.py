"""How runs end: what is kept, what is said, and with which status."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.folder.config import Limits, RunConfig
from agent.folder.records import Manifest, Summary
from agent.folder.store import RunFolder
from agent.llm.settings import LlmChoice
from agent.report.closing import first_messages, remark_on, remedy
from agent.run import main
from tests.agent.conftest import write_evidence
from tests.security.disks import full_disk
from tests.servers.openai_stub import JsonDict, Policy, Scripted, StubServer, failing, happy, saying, serve
from tests.warm import live


@pytest.fixture(autouse=True)
def no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def arguments(domain: Path, tmp_path: Path) -> list[str]:
    evidence = write_evidence(tmp_path, whole=False)
    return ["--evidence", str(evidence), "--study", str(domain), "--runs", str(tmp_path / "r"), "--llm-model", "m"]


def only_run(tmp_path: Path) -> RunFolder:
    (path,) = [path for path in (tmp_path / "r").iterdir() if not path.name.startswith(".")]
    return RunFolder(path)


def begin(policy: Policy, arguments: list[str]) -> int:
    with serve(policy) as server:
        return main([*arguments, "--base-url", server.base_url])


def to_one(feature: str, bad: Policy) -> Policy:
    """One feature meets another policy than the rest."""
    return lambda body, attempt: (bad if feature in json.dumps(body["messages"]) else happy)(body, attempt)


# --- failures are told ------------------------------------------------------------------------------------------------


def test_when_every_feature_failed_the_status_says_so_and_the_reason_stands_alone_on_the_last_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert begin(failing(400, "The roof is on fire."), arguments) == 1
    told = capsys.readouterr()
    assert told.err == "error: every feature failed (5 of 5), 5 by bad_request: HTTP 400: The roof is on fire.\n"


def test_when_some_failed_each_type_has_an_example_and_a_command_follows(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert begin(to_one("valve2", failing(400, "The roof\nis on fire.")), arguments) == 0
    told, run = capsys.readouterr(), only_run(tmp_path)
    assert "failed: 1 bad_request, such as: HTTP 400: The roof is on fire." in told.out
    assert f"again: python -m agent.run --resume {run.path} --retry-failed" in told.out
    page = (run.path / "report.html").read_text()
    assert "The roof" in page and f"--resume {run.path} --retry-failed" in page
    summary = Summary.model_validate_json((run.path / "summary.json").read_bytes())
    assert summary.examples == {"bad_request": "HTTP 400: The roof\nis on fire."}
    assert first_messages(run.decisions()) == summary.examples


def test_the_command_that_is_shown_works(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    down = [True]
    policy = to_one("valve2", lambda body, attempt: (failing(400, "no") if down[0] else happy)(body, attempt))
    with serve(policy) as server:
        assert main([*arguments, "--base-url", server.base_url]) == 0
        shown = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("again: "))
        down[0] = False
        assert main(shown.split()[4:]) == 0
    assert all(decision.status == "decided" for decision in only_run(tmp_path).decisions())


@pytest.mark.parametrize(
    ("failures", "config", "flags"),
    [
        ({"timeout": 1}, RunConfig(llm=LlmChoice(model="m", concurrency=8)), "--timeout 1800 --concurrency 2"),
        ({"rate_limited": 1}, RunConfig(llm=LlmChoice(model="m")), "--requests-per-minute 30"),
        ({"budget": 1}, RunConfig(llm=LlmChoice(model="m"), limits=Limits(budget_usd=1.5)), "--budget-usd 3"),
        ({"length": 1}, RunConfig(llm=LlmChoice(model="m")), "  or anew with --max-output-tokens 8000"),
        ({"authentication": 1}, RunConfig(llm=LlmChoice(model="m")), "  with another key in OPENAI_API_KEY"),
        ({"bug": 1}, RunConfig(), ""),
    ],
)
def test_the_command_has_the_flags_that_may_help(failures: dict[str, int], config: RunConfig, flags: str) -> None:
    said = remedy(Path("runs/a b"), failures, config)
    assert said == " ".join(["python -m agent.run --resume 'runs/a b' --retry-failed", *([flags] if flags else [])])


def test_a_reply_that_ran_in_a_circle_needs_no_more_room_but_another_temperature() -> None:
    cut = "the reply was cut at its limit after 2000 tokens: it repeats '1.' without end; try --temperature 0.7"
    said = remedy(Path("runs/a"), {"length": 4}, RunConfig(llm=LlmChoice(model="m")), cut)
    assert "--temperature 0.7" in said
    assert "--max-output-tokens" not in said


def test_another_model_that_answered_is_told_in_terminal_report_and_summary(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Posing(StubServer):
        def _reply(self, method: str, path: str, data: bytes, headers: JsonDict) -> Scripted:  # type: ignore[override]
            return super()._reply(method, path, data.replace(b'"model":"m"', b'"model":"tiny"'), headers)

    with serve(happy, kind=Posing) as server:
        assert main([*arguments, "--base-url", server.base_url]) == 0
    said = "tiny gave 5 replies where m was asked"
    run = only_run(tmp_path)
    assert said in capsys.readouterr().out and said in (run.path / "report.html").read_text()
    assert Summary.model_validate_json((run.path / "summary.json").read_bytes()).remarks == (said,)


def test_the_model_that_was_asked_is_not_told_of(arguments: list[str], tmp_path: Path) -> None:
    from agent.stages.gather import calls_of

    assert begin(happy, arguments) == 0
    store = calls_of(only_run(tmp_path))
    assert sum(store.answered.values()) == 5 and remark_on(store) == ()


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["file", "below a file", "/proc/nowhere"])
def test_a_runs_folder_that_cannot_be_is_told_of_before_anyone_is_asked(
    arguments: list[str], place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    runs = {"file": str(tmp_path / "file"), "below a file": str(tmp_path / "file" / "r")}.get(place, place)
    arguments[arguments.index("--runs") + 1] = runs
    with serve(happy) as server:
        for more in ([], ["--dry-run"]):
            assert main([*arguments, "--base-url", server.base_url, *more]) == 2
            said = capsys.readouterr().err
            assert said.startswith(f"error: the runs folder {runs} cannot be written: ") and said.count("\n") == 1
        assert not server.probes
    assert (tmp_path / "file").read_bytes() == b""


def test_a_runs_folder_that_can_be_is_left_as_it_was(arguments: list[str], tmp_path: Path) -> None:
    assert begin(happy, [*arguments, "--dry-run"]) == 0
    assert not (tmp_path / "r").exists()


def test_a_disk_that_fills_up_fails_no_feature_keeps_what_is_finished_and_says_how_to_go_on(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_evidence(tmp_path)
    with serve(happy) as server:
        with full_disk(18_000):
            assert main([*arguments, "--concurrency", "1", "--base-url", server.base_url]) == 2
        run, asked, said = only_run(tmp_path), len(server.requests), capsys.readouterr().err
        assert said.count("\n") == 1, said
        line = said.strip()
        assert "cannot be written: File too large" in line and line.endswith(f"python -m agent.run --resume {run.path}")
        stored = (run.path / "llm_calls.jsonl").read_text().count("\n")
        assert stored >= 1 and asked == stored + 1  # the one that did not fit was the last
        assert all(decision.status == "decided" for decision in run.decisions())
        assert main(["--resume", str(run.path)]) == 0
        assert len(server.requests) == 5 + 1
    assert [decision.status for decision in run.decisions()] == ["decided"] * 5
    assert main(["--replay", str(run.path)]) == 0


# --- interruption -----------------------------------------------------------------------------------------------------


def test_ctrl_c_names_the_run_and_the_command_to_go_on(arguments: list[str], tmp_path: Path) -> None:
    out, err = tmp_path / "out.txt", tmp_path / "err.txt"
    with (
        serve(to_one("valve3", saying(hang=True))) as server,
        live("agent.run", [*arguments, "--base-url", server.base_url], out, errors=err) as process,
    ):
        wait_until(lambda: len(server.requests) >= 5)
        os.kill(process.pid, signal.SIGINT)
        process.join(60)
        assert process.exitcode == 130
        run = only_run(tmp_path)
    assert err.read_text("utf-8").strip() == (
        f"interrupted: what was finished is kept; go on with python -m agent.run --resume {run.path}"
    )


def wait_until(done: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- old runs ---------------------------------------------------------------------------------------------------------


def test_a_manifest_from_before_these_settings_is_read(arguments: list[str], tmp_path: Path) -> None:
    assert begin(happy, arguments) == 0
    run = only_run(tmp_path)
    manifest = json.loads((run.path / "manifest.json").read_text())
    manifest.pop("changes")
    for name in ("headers", "reasoning_effort"):
        manifest["config"]["llm"].pop(name)
    manifest["config"]["llm"] |= {"base_url": None, "timeout_seconds": 120.0, "max_output_tokens": 1200, "prices": None}
    old = Manifest.model_validate_json(json.dumps(manifest))
    assert old.config.llm and old.config.llm.base_url == "https://api.openai.com/v1"
    assert old.config.llm.max_output_tokens == 1200
