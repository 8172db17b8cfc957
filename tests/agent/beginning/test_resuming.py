"""Going on with a run: what may change, what is refused, and where a key goes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.folder.store import RunFolder
from agent.run import main
from tests.agent.conftest import write_domain, write_evidence
from tests.servers.openai_stub import StubServer, happy, serve

KEY = "sk-planted-0123456789abcdef"
ELSEWHERE = "http://endpoint.invalid/v1"


@pytest.fixture(autouse=True)
def no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def serving() -> Iterator[StubServer]:
    with serve(happy) as stub:
        yield stub


@pytest.fixture(scope="module")
def begun(serving: StubServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped before its first decision."""
    scratch = tmp_path_factory.mktemp("begun")
    arguments = ["--evidence", str(write_evidence(scratch, whole=False)), "--study", str(write_domain(scratch))]
    arguments += ["--base-url", serving.base_url, "--llm-model", "m", "--budget-tokens", "100000"]
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("OPENAI_API_KEY", raising=False)
        assert main([*arguments, "--runs", str(scratch / "r")]) == 0
    (path,) = (scratch / "r").iterdir()
    (path / "decisions.jsonl").unlink()
    (path / "llm_calls.jsonl").unlink()
    return path


@pytest.fixture
def server(serving: StubServer) -> StubServer:
    """The endpoint of the run, of which nothing has been asked."""
    serving.requests.clear()
    serving.probes.clear()
    serving.listed = 0
    return serving


@pytest.fixture
def stopped(begun: Path, server: StubServer, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(begun, tmp_path / begun.name)))


def moved(folder: RunFolder, address: str) -> RunFolder:
    """The same run, begun at another endpoint."""
    copy = RunFolder(Path(shutil.copytree(folder.path, folder.path.with_name("moved"))))
    manifest = copy.manifest()
    assert manifest.config.llm
    llm = manifest.config.llm.model_copy(update={"base_url": address})
    copy.write_manifest(manifest.model_copy(update={"config": manifest.config.model_copy(update={"llm": llm})}))
    return RunFolder(copy.path)  # which has yet to read what another object wrote


def error_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    return said


def test_the_first_line_names_the_endpoint(
    stopped: RunFolder, server: StubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--resume", str(stopped.path)]) == 0
    first = capsys.readouterr().out.split("decisions there already")[1].splitlines()[0]
    assert first == f" · judge: m at {server.base_url}"
    assert len(stopped.decisions()) == 5 and len(server.probes) == 1


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--sae", "base"], "--sae"),
        (["--seed", "0"], "--seed"),
        (["--llm-model", "m"], "--llm-model"),
        (["--max-output-tokens", "9000", "--temperature", "1"], "--max-output-tokens, --temperature"),
        (["--judge-repeats", "1"], "--judge-repeats"),
        (["--controls", "1"], "--controls"),
        (["--dry-run"], "--dry-run"),
        (["--runs", "runs"], "--runs"),
    ],
)
def test_flags_that_would_change_nothing_are_refused_even_at_their_defaults(
    stopped: RunFolder, flags: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (stopped.path / "manifest.json").read_bytes()
    said = error_of(["--resume", str(stopped.path), *flags], capsys)
    assert f"leave out {named} (what may change: --base-url, --timeout" in said
    assert (stopped.path / "manifest.json").read_bytes() == before


def test_a_replay_takes_no_other_flag(stopped: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert "leave out --base-url" in error_of(["--replay", str(stopped.path), "--base-url", ELSEWHERE], capsys)


def test_what_is_corrected_is_used_and_written_down(stopped: RunFolder, server: StubServer) -> None:
    run = moved(stopped, ELSEWHERE)
    flags = ["--timeout", "77", "--concurrency", "2", "--budget-tokens", "900000", "--requests-per-minute", "6000"]
    assert main(["--resume", str(run.path), "--base-url", server.base_url, "--header", f"X-Team={KEY}", *flags]) == 0
    manifest = run.manifest()
    assert {change.name: (change.before, change.after) for change in manifest.changes} == {
        "base_url": (ELSEWHERE, server.base_url),
        "timeout_seconds": (600.0, 77.0),
        "concurrency": (8, 2),
        "budget_tokens": (100000, 900000),
        "requests_per_minute": (None, 6000),
        "headers": ([], ["X-Team"]),
    }
    assert manifest.config.llm and manifest.config.llm.timeout_seconds == 77
    assert manifest.config.limits.budget_tokens == 900000
    assert {request.headers["x-team"] for request in server.requests} == {KEY}
    assert not any(KEY.encode() in file.read_bytes() for file in run.path.rglob("*") if file.is_file())
    assert main(["--replay", str(run.path)]) == 0


def test_a_header_of_the_run_is_asked_for_again(
    stopped: RunFolder, server: StubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    run = moved(stopped, ELSEWHERE)
    here = ["--resume", str(run.path), "--base-url", server.base_url]
    assert main([*here, "--header", f"X-Team={KEY}"]) == 0
    run.decisions_file.unlink()
    assert "--header X-Team=…" in error_of(here, capsys)
    assert main([*here, "--header", f"x-team={KEY}"]) == 0


@pytest.mark.parametrize("flags", [["--concurrency", "0"], ["--budget-usd", "-1"], ["--base-url", "localhost:1/v1"]])
def test_a_correction_out_of_bounds_changes_nothing(
    stopped: RunFolder, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (stopped.path / "manifest.json").read_bytes()
    error_of(["--resume", str(stopped.path), *flags], capsys)
    assert (stopped.path / "manifest.json").read_bytes() == before


# --- where a key goes -------------------------------------------------------------------------------------------------


def test_a_key_goes_to_no_address_that_only_the_run_folder_names(
    stopped: RunFolder, server: StubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    said = error_of(["--resume", str(stopped.path)], capsys)
    assert server.base_url in said and "--base-url" in said
    assert not server.probes and not server.listed and not server.requests


def test_an_address_elsewhere_is_asked_for_even_without_a_key(
    stopped: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "name it with --base-url" in error_of(["--resume", str(moved(stopped, ELSEWHERE).path)], capsys)


def test_two_addresses_are_not_chosen_between(
    stopped: RunFolder, server: StubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    said = error_of(["--resume", str(moved(stopped, ELSEWHERE).path)], capsys)
    assert ELSEWHERE in said and server.base_url in said


@pytest.mark.parametrize("by", ["flag", "environment"])
def test_a_key_goes_to_the_runs_address_when_it_is_named_now(
    stopped: RunFolder, server: StubServer, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    root = server.base_url.removesuffix("/v1")
    if by == "environment":
        monkeypatch.setenv("OPENAI_BASE_URL", root)
    assert main(["--resume", str(stopped.path), *(["--base-url", root] if by == "flag" else [])]) == 0
    assert {request.key for request in (*server.requests, *server.probes)} == {KEY}
    assert not stopped.manifest().changes


def test_a_finished_run_is_looked_through_again_without_anyone_being_asked(
    stopped: RunFolder, server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--resume", str(stopped.path)]) == 0
    asked = len(server.requests), len(server.probes), server.listed
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert main(["--resume", str(stopped.path)]) == 0
    assert (len(server.requests), len(server.probes), server.listed) == asked


def test_a_run_by_rules_takes_no_flag_of_an_endpoint(
    stopped: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = stopped.manifest()
    config = manifest.config.model_copy(update={"llm": None})
    stopped.write_manifest(manifest.model_copy(update={"config": config}))
    said = error_of(["--resume", str(stopped.path), "--timeout", "9"], capsys)
    assert "the rules judge this run" in said and "leave out --timeout" in said
